"""Does the image show the class? One logit a class beside the masks, and what it does to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from gutseg.settings import Share

Effect = Literal["off", "multiply", "threshold"]
# The logit of a probability that is 0: 9e-14, finite in every precision that logits have.
NEVER = -30.0


class Outputs(NamedTuple):
    """What a network with a presence head returns in training mode; in eval, gated masks alone."""

    # logits (B, C, H, W), or a list of them, the finest first
    masks: Tensor | list[Tensor]
    # logits (B, C) of "the image shows the class"
    presence: Tensor


class Gate(nn.Module):
    """Lowers the masks of classes that the image is not believed to show; no parameters.

    masks: logits (B, C, H, W) or (B, C, Z, H, W); presence: logits (B, C). Returns logits of the
    masks' shape in float32. effect: `multiply` the probability of every pixel by that of the
    class being shown, or make it 0 where that is below the `threshold`. Exclusive classes
    (a softmax) share out anew what a gate takes away, so where all are taken nothing changes.
    Source: the classification-guided module of [Huang 2020], on probabilities and not on logits.
    """

    def __init__(
        self, effect: Effect = "multiply", *, threshold: Share = 0.5, exclusive: bool = False
    ):
        super().__init__()
        self.effect = effect
        self.threshold = threshold
        self.exclusive = exclusive

    @property
    def acts(self) -> bool:
        """Whether it changes the masks."""
        return self.effect != "off"

    def forward(self, masks: Tensor, presence: Tensor) -> Tensor:
        masks = masks.float()
        shown = presence.float().reshape(*presence.shape, *[1] * (masks.dim() - 2))  # (B, C, 1, 1)
        if self.effect == "threshold":
            hidden = shown.sigmoid() < self.threshold
            # a softmax over classes that are all hidden is what it was
            lowered = masks + NEVER if self.exclusive else torch.full_like(masks, NEVER)
            return torch.where(hidden, lowered, masks)
        if self.effect == "multiply" and self.exclusive:
            return masks + nn.functional.logsigmoid(shown)
        if self.effect == "multiply":
            # 1 / p - 1 of p = sigmoid(m) sigmoid(s) is exp(-m) + exp(-s) + exp(-m - s)
            parts = torch.broadcast_tensors(-masks, -shown, -masks - shown)
            return -torch.stack(parts).logsumexp(dim=0)
        return masks


def shows(target: Tensor, classes: int, ignore: Tensor | None = None) -> Tensor:
    """Return whether each image shows each class: (B, C) float32 in {0, 1}.

    target: (B, C, ...) in [0, 1], a class being where it is 0.5 or more, or class numbers
    (B, ...). ignore: (B, ...), pixels that show nothing.
    """
    if target.is_floating_point():
        planes = target >= 0.5  # (B, C, ...)
    else:
        planes = torch.stack([target == number for number in range(classes)], dim=1)
    if ignore is not None:
        planes = planes & ~ignore.bool()[:, None]
    return planes.flatten(2).any(dim=2).float()


@contextmanager
def watched(network: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Collect what the gates of a network in eval mode are given: (masks, presence) at each call.

    The list stays empty for a network without a presence head.
    """
    seen: list[tuple[Tensor, Tensor]] = []
    hooks = [
        gate.register_forward_hook(lambda _, given, __: seen.append(given))
        for gate in gates(network)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def ungated(network: nn.Module) -> Iterator[None]:
    """Let a network answer with masks as they are before its gate."""
    effects = {gate: gate.effect for gate in gates(network)}
    for gate in effects:
        gate.effect = "off"
    try:
        yield
    finally:
        for gate, effect in effects.items():
            gate.effect = effect


def gates(network: nn.Module) -> list[Gate]:
    """Return the gates of a network: none where it has no presence head."""
    return [module for module in network.modules() if isinstance(module, Gate)]


class PresenceHead(nn.Module):
    """One logit a class from the deepest features of a network.

    features: (B, channels, ...), or tokens (B, N, channels) of a transformer; returns (B, classes).
    Mean and maximum over all places say how much there is and whether there is any.
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.linear = nn.Linear(2 * channels, classes)

    def forward(self, features: Tensor) -> Tensor:
        places = features.transpose(1, 2) if features.dim() == 3 else features.flatten(2)
        return self.linear(torch.cat((places.mean(dim=2), places.amax(dim=2)), dim=1))
