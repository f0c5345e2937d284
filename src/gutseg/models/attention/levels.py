"""Attention blocks at chosen levels of a U-shaped network."""

from collections.abc import Sequence

from torch import nn

from gutseg.models.attention.external import ExternalAttention
from gutseg.models.attention.local import LocalAttention


class AttentionLevels:
    """Makes the blocks of a network's levels; called with a level and its channels.

    depth: number of levels. Levels count from 0 at full resolution; negative ones from the bottom,
    which is -1. Where both kinds meet, local comes first; a level with neither gets a block that
    does nothing. Source: [Xu 2022] section II.
    """

    def __init__(
        self,
        depth: int,
        *,
        local_levels: Sequence[int] = (),
        external_levels: Sequence[int] = (),
        window: int = 4,
        local_heads: int = 8,
        external_heads: int = 32,
        residual: bool = True,
    ):
        self.local = _levels(local_levels, depth, "local_levels")
        self.external = _levels(external_levels, depth, "external_levels")
        self.window = window
        self.local_heads = local_heads
        self.external_heads = external_heads
        self.residual = residual

    def __call__(self, level: int, channels: int) -> nn.Sequential:
        blocks: list[nn.Module] = []
        if level in self.local:
            blocks.append(
                LocalAttention(
                    channels, heads=self.local_heads, window=self.window, residual=self.residual
                )
            )
        if level in self.external:
            blocks.append(
                ExternalAttention(channels, heads=self.external_heads, residual=self.residual)
            )
        return nn.Sequential(*blocks)


def _levels(levels: Sequence[int], depth: int, key: str) -> set[int]:
    for level in levels:
        if not -depth <= level < depth:
            raise ValueError(f"{key} {level}: choices are 0 to {depth - 1}, or -1 for the bottom")
    return {level % depth for level in levels}
