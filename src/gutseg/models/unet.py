"""The U-Nets of [Xu 2022]: one class, plain or with attention at any level."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gutseg.models.attention import ExternalAttention, LocalAttention
from gutseg.models.limits import Drop, Size, check_size
from gutseg.models.padding import run_padded
from gutseg.registry import shown, suggest

Norm = Literal["none", "batch", "instance", "group"]

# Images are padded to a multiple of 2 ** poolings: with more levels a slice would be mostly margin.
Widths = Annotated[tuple[Size, ...], Field(min_length=2, max_length=10)]
Window = Annotated[int, Field(ge=1, le=64)]

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "instance": partial(nn.InstanceNorm2d, affine=True),
    # Eight groups where the width allows, else the largest common divisor.
    "group": lambda channels: nn.GroupNorm(math.gcd(8, channels), channels),
}

PLAIN_WIDTHS = (40, 64, 80, 144, 256)
HYBRID_WIDTHS = (16, 32, 64, 128, 256)


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

    images: (B, in_channels, H, W) of any H, W; returns logits (B, classes, H, W).
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
        attention: Callable[[int, int], nn.Module] = no_attention,
    ):
        super().__init__()
        _check_widths(widths)
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
        self._initialise()

    def forward(self, images: Tensor) -> Tensor:
        return run_padded(self._forward, images, self.multiple)

    def _forward(self, images: Tensor) -> Tensor:
        features = self.encoder[0](images)
        skips = []
        for stage in self.encoder[1:]:
            skips.append(features)
            features = stage(self.pool(features))
        features = self.dropout(features)
        for up, stage in zip(self.up, self.decoder, strict=True):
            features = stage(torch.cat((skips.pop(), up(features)), dim=1))
        return self.head(features)

    def _initialise(self) -> None:
        """He for the convolutions, unit gain for the upsampling, which no ReLU follows."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.ConvTranspose2d):
                # Kernel 2, stride 2: every output pixel sees each input channel exactly once.
                nn.init.normal_(module.weight, std=module.in_channels**-0.5)
            else:
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _check_widths(widths: Sequence[int]) -> None:
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths {list(widths)}: give two or more positive channel counts")


def _levels(levels: Sequence[int], depth: int, key: str) -> set[int]:
    for level in levels:
        if not -depth <= level < depth:
            raise ValueError(f"{key} {level}: choices are 0 to {depth - 1}, or -1 for the bottom")
    return {level % depth for level in levels}


def unet(
    in_channels: int,
    classes: int,
    *,
    widths: Widths = PLAIN_WIDTHS,
    norm: Norm = "none",
    dropout: Drop = 0.0,
) -> UNet:
    """Plain U-Net with free widths."""
    make = partial(UNet, in_channels, classes, widths=widths, norm=norm, dropout=dropout)
    check_size(make)
    return make()


def hybrid_unet(
    in_channels: int,
    classes: int,
    *,
    widths: Widths = HYBRID_WIDTHS,
    local_levels: tuple[int, ...] = (2,),
    external_levels: tuple[int, ...] = (-1,),
    window: Window = 4,
    local_heads: Size = 8,
    external_heads: Size = 32,
    residual: bool = True,
    norm: Norm = "none",
    dropout: Drop = 0.0,
) -> UNet:
    """U-Net with local and external attention at chosen levels, either list empty for none.

    Levels count from 0 at full resolution; negative ones from the bottom, which is -1. A level
    above the bottom gets a block on the encoder's and on the decoder's side; where both kinds
    meet, local comes first. [Xu 2022] does not say where its blocks are: the defaults reconstruct
    its parameter counts. Source: [Xu 2022] section II.
    """
    _check_widths(widths)
    local = _levels(local_levels, len(widths), "local_levels")
    external = _levels(external_levels, len(widths), "external_levels")

    def attention(level: int, channels: int) -> nn.Module:
        blocks: list[nn.Module] = []
        if level in local:
            blocks.append(
                LocalAttention(channels, heads=local_heads, window=window, residual=residual)
            )
        if level in external:
            blocks.append(ExternalAttention(channels, heads=external_heads, residual=residual))
        return nn.Sequential(*blocks)

    make = partial(
        UNet, in_channels, classes, widths=widths, norm=norm, dropout=dropout, attention=attention
    )
    check_size(make)
    return make()


def unet4(in_channels: int, classes: int, *, norm: Norm = "none", dropout: Drop = 0.0) -> UNet:
    """U-Net of [Xu 2022] with 4 poolings, 2.50 M parameters.

    A reconstruction: the paper prints the total only, and 40-64-80-144-256 is the plain set of
    widths (all multiples of 8) that gives both its totals, not the only one.
    """
    return unet(in_channels, classes, widths=PLAIN_WIDTHS, norm=norm, dropout=dropout)


def unet5(in_channels: int, classes: int, *, norm: Norm = "none", dropout: Drop = 0.0) -> UNet:
    """U-Net of [Xu 2022] with 5 poolings, 5.72 M parameters.

    A reconstruction like unet4: its widths and one more level of 256, which is exactly the
    difference between the paper's two totals.
    """
    return unet(in_channels, classes, widths=(*PLAIN_WIDTHS, 256), norm=norm, dropout=dropout)


def hybrid4(in_channels: int, classes: int, *, norm: Norm = "none", dropout: Drop = 0.0) -> UNet:
    """Hybrid-attention U-Net of [Xu 2022] with 4 poolings, 2.50 M parameters.

    A reconstruction: doubling widths 16 to 256, external attention at the bottom and local
    attention on both sides of the 64-channel level give the paper's total too.
    """
    return hybrid_unet(in_channels, classes, widths=HYBRID_WIDTHS, norm=norm, dropout=dropout)


def hybrid5(in_channels: int, classes: int, *, norm: Norm = "none", dropout: Drop = 0.0) -> UNet:
    """Hybrid-attention U-Net of [Xu 2022] with 5 poolings, 5.72 M parameters; see hybrid4."""
    widths = (*HYBRID_WIDTHS, 256)
    return hybrid_unet(in_channels, classes, widths=widths, norm=norm, dropout=dropout)
