"""One class for every U-Net of our own, plain or with attention at any level."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gutseg.models.limits import Drop, Size, check_size
from gutseg.models.padding import run_padded
from gutseg.models.places import Levels, Place
from gutseg.models.valid import initialise
from gutseg.registry import shown, suggest

Norm = Literal["none", "batch", "instance", "group"]

# Images are padded to a multiple of 2 ** poolings: with more levels a slice would be mostly margin.
Widths = Annotated[tuple[Size, ...], Field(min_length=2, max_length=10)]

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "instance": partial(nn.InstanceNorm2d, affine=True),
    # Eight groups where the width allows, else the largest common divisor.
    "group": lambda channels: nn.GroupNorm(math.gcd(8, channels), channels),
}

PLAIN_WIDTHS = (40, 64, 80, 144, 256)


def no_attention(level: int, channels: int) -> nn.Module:
    """Leave a stage as it is."""
    return nn.Identity()


def conv_stage(in_channels: int, out_channels: int, norm: str) -> nn.Sequential:
    """Two padded 3x3 convolutions, each followed by the norm and a ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        # A norm brings its own shift, so the bias would be idle.
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=norm == "none"))
        layers.append(NORMS[norm](out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net with padded convolutions, transposed-convolution upsampling and free widths.

    images: (B, in_channels, H, W) of any H, W; returns logits (B, classes, H, W), in training mode
    with deep_supervision a list of them, one a level of the decoder, the finest first.
    widths: channels of every level, from full resolution to the bottom; n widths make n − 1
    poolings. attention(level, channels) makes the block that follows the convolutions of a level,
    called once for the encoder's stage and, above the bottom, once for the decoder's.
    dropout drops whole channels at the bottom. Source: [Ronneberger 2015] arXiv:1505.04597;
    padded convolutions as in [Xu 2022] section V.B.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        widths: Sequence[int],
        norm: str = "none",
        dropout: float = 0.0,
        deep_supervision: bool = False,
        attention: Callable[[int, int], nn.Module] = no_attention,
    ):
        super().__init__()
        check_widths(widths)
        if norm not in NORMS:
            raise ValueError(f"unknown norm {shown(norm)}; {suggest(norm, list(NORMS))}")
        self.multiple = 2 ** (len(widths) - 1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        self.encoder = nn.ModuleList()
        for level, (below, width) in enumerate(zip((in_channels, *widths), widths, strict=False)):
            stage = conv_stage(below, width, norm)
            self.encoder.append(nn.Sequential(stage, attention(level, width)))
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for level in reversed(range(len(widths) - 1)):
            width = widths[level]
            self.up.append(nn.ConvTranspose2d(widths[level + 1], width, 2, stride=2))
            stage = conv_stage(2 * width, width, norm)
            self.decoder.append(nn.Sequential(stage, attention(level, width)))
        self.head = nn.Conv2d(widths[0], classes, 1)
        self.apply(initialise)
        # after all that draws weights, so that both kinds of training start from the same
        self.side_heads = nn.ModuleList(
            nn.Conv2d(width, classes, 1) for width in (widths[1:-1] if deep_supervision else ())
        )

    @property
    def levels(self) -> Levels:
        """Where attention can be added: behind both stages of a level, at the bottom the one."""
        depth = len(self.encoder)
        sides = [[Place(f"decoder.{depth - 2 - level}")] for level in range(depth - 1)]
        return [[Place(f"encoder.{level}"), *side] for level, side in enumerate([*sides, []])]

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        return run_padded(self._forward, images, self.multiple)

    def _forward(self, images: Tensor) -> Tensor | list[Tensor]:
        features = self.encoder[0](images)  # (B, w0, H, W)
        skips = []
        for stage in self.encoder[1:]:
            skips.append(features)
            features = stage(self.pool(features))  # (B, wk, H/2^k, W/2^k)
        features = self.dropout(features)
        found = []
        for up, stage in zip(self.up, self.decoder, strict=True):
            features = stage(torch.cat((skips.pop(), up(features)), dim=1))  # (B, wk, H/2^k, W/2^k)
            found.append(features)
        masks = self.head(features)  # (B, C, H, W)
        if not (self.training and self.side_heads):
            return masks
        coarser = zip(self.side_heads, found[-2::-1], strict=True)
        return [masks, *(head(below) for head, below in coarser)]  # (B, C, H/2^k, W/2^k)


def check_widths(widths: Sequence[int]) -> None:
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths {list(widths)}: give two or more positive channel counts")


def unet(
    in_channels: int,
    classes: int,
    *,
    widths: Widths = PLAIN_WIDTHS,
    norm: Norm = "none",
    dropout: Drop = 0.0,
    deep_supervision: bool = False,
) -> UNet:
    """Plain U-Net with free widths; deep_supervision: one more output a level, in training."""
    make = partial(
        UNet,
        in_channels,
        classes,
        widths=widths,
        norm=norm,
        dropout=dropout,
        deep_supervision=deep_supervision,
    )
    check_size(make)
    return make()
