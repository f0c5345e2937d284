"""How channels are shared out among attention heads."""


def head_size(channels: int, heads: int) -> int:
    """Channels per head; raises ValueError when the heads do not share them evenly."""
    if heads < 1 or channels % heads:
        choices = [count for count in range(1, channels + 1) if channels % count == 0]
        raise ValueError(f"heads {heads} does not divide {channels} channels; choices: {choices}")
    return channels // heads
