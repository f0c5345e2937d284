"""KiU-Net: a small U-Net beside a branch that enlarges the image instead of shrinking it.

Shapes: B images, S channels, C classes, H and W sides, w0, w1, ... the widths (16, 32, 64).
Level k of the U-Net ("under") is 2^(k+1) times smaller than the image, of the Kite-Net ("over")
2^(k+1) times larger.
"""

from functools import partial
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gutseg.models.limits import Size, check_size
from gutseg.models.padding import run_padded
from gutseg.models.places import Levels, Place

# Every further level makes the largest map four times larger.
Widths = Annotated[tuple[Size, ...], Field(min_length=1, max_length=4)]


def _step(in_channels: int, out_channels: int, resize: nn.Module) -> nn.Sequential:
    """A 3x3 convolution, a change of size, a batch norm and a ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        resize,
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def _smaller() -> nn.Module:
    return nn.MaxPool2d(2)


def _larger() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


def _as_large_as(features: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(features, other.shape[-2:], mode="bilinear", align_corners=False)


class Fusion(nn.Module):
    """Cross residual fusion: each branch adds what the other one sees, brought to its size.

    under: (B, C, h, w); over: (B, C, r h, r w); returned in the same shapes.
    Source: [Valanarasu 2020] figure 4 b.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_over = _step(channels, channels, nn.Identity())
        self.from_under = _step(channels, channels, nn.Identity())

    def forward(self, under: Tensor, over: Tensor) -> tuple[Tensor, Tensor]:
        lifted = _as_large_as(self.from_under(under), over)  # (B, C, r h, r w)
        lowered = _as_large_as(self.from_over(over), under)  # (B, C, h, w)
        return under + lowered, over + lifted


class KiUNet(nn.Module):
    """U-Net and Kite-Net side by side, fused at every level, added at full resolution.

    images: (B, in_channels, H, W) of any H, W; returns logits (B, classes, H, W).
    The largest map has 2^n times the image's sides: 64 x 2560 x 3072 for a slice of 320 x 384,
    1 GB in float16, so train it on crops of at most 128 x 128 and predict in tiles of that size.
    217 131 parameters for 3 channels and 3 classes. [Valanarasu 2020] prints 0.29 M: its code
    also makes two fusion convolutions of 64 channels (74 112 parameters) that it never calls.
    Unlike there, no ReLU follows the head: it would cut every logit off at zero.
    """

    # of images that it is tried out on: the usual 128 x 128 take 70 thousand million products
    example = (32, 32)

    def __init__(self, in_channels: int, classes: int, *, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.multiple = 2 ** len(widths)
        self.under, self.over = nn.ModuleList(), nn.ModuleList()
        self.fusions = nn.ModuleList(Fusion(width) for width in widths)
        for below, above in zip((in_channels, *widths), widths, strict=False):
            self.under.append(_step(below, above, _smaller()))
            self.over.append(_step(below, above, _larger()))
        self.under_back, self.over_back = nn.ModuleList(), nn.ModuleList()
        back = [max(widths[0] // 2, 1), *widths]  # channels of the levels above each
        for below, above in reversed(list(zip(back[1:], back, strict=False))):
            self.under_back.append(_step(below, above, _larger()))
            self.over_back.append(_step(below, above, _smaller()))
        self.fusions_back = nn.ModuleList(Fusion(width) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(back[0], classes, 1)

    @property
    def levels(self) -> Levels:
        """Where attention can be added: to the U-Net, behind its fusions; it has no level 0."""
        depth = len(self.fusions)
        down = [[Place(f"fusions.{k}", (0,))] for k in range(depth)]
        back = [[Place(f"fusions_back.{depth - 2 - k}", (0,))] for k in range(depth - 1)]
        return [[], *(one + other for one, other in zip(down, [*back, []], strict=True))]

    def forward(self, images: Tensor) -> Tensor:
        return run_padded(self._forward, images, self.multiple)

    def _forward(self, images: Tensor) -> Tensor:
        under = over = images  # (B, S, H, W)
        skips = []
        for down, up, fuse in zip(self.under, self.over, self.fusions, strict=True):
            # (B, wk, H/2^(k+1), W/2^(k+1)) and (B, wk, 2^(k+1) H, 2^(k+1) W)
            under, over = fuse(down(under), up(over))
            skips.append((under, over))
        skips.pop()
        for up, down, fuse in zip(self.under_back, self.over_back, self.fusions_back, strict=False):
            under, over = fuse(up(under), down(over))
            beside_under, beside_over = skips.pop()
            under, over = under + beside_under, over + beside_over
        merged = self.under_back[-1](under) + self.over_back[-1](over)  # (B, w0/2, H, W)
        return self.head(merged)  # (B, C, H, W)


def kiunet(in_channels: int, classes: int, *, widths: Widths = (16, 32, 64)) -> KiUNet:
    """KiU-Net; widths: channels of every level, the image first.

    Source: [Valanarasu 2020] arXiv:2006.04878 and, in full, arXiv:2010.01663.
    """
    make = partial(KiUNet, in_channels, classes, widths=widths)
    check_size(make)
    return make()
