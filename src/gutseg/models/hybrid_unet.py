"""The U-Nets of [Xu 2022]: four or five poolings, plain or with attention at any level."""

from functools import partial
from typing import Annotated

from pydantic import Field

from gutseg.models.attention import AttentionLevels
from gutseg.models.limits import Drop, Size, check_size
from gutseg.models.unet import PLAIN_WIDTHS, Norm, UNet, Widths, check_widths, unet

WindowSide = Annotated[int, Field(ge=1, le=64)]

HYBRID_WIDTHS = (16, 32, 64, 128, 256)


def hybrid_unet(
    in_channels: int,
    classes: int,
    *,
    widths: Widths = HYBRID_WIDTHS,
    local_levels: tuple[int, ...] = (2,),
    external_levels: tuple[int, ...] = (-1,),
    window: WindowSide = 4,
    local_heads: Size = 8,
    external_heads: Size = 32,
    residual: bool = True,
    norm: Norm = "none",
    dropout: Drop = 0.0,
    deep_supervision: bool = False,
) -> UNet:
    """U-Net with local and external attention at chosen levels, either list empty for none.

    Levels count from 0 at full resolution; negative ones from the bottom, which is -1. A level
    above the bottom gets a block on the encoder's and on the decoder's side; where both kinds
    meet, local comes first. [Xu 2022] does not say where its blocks are: the defaults reconstruct
    its parameter counts. Source: [Xu 2022] section II.
    """
    check_widths(widths)
    attention = AttentionLevels(
        len(widths),
        local_levels=local_levels,
        external_levels=external_levels,
        window=window,
        local_heads=local_heads,
        external_heads=external_heads,
        residual=residual,
    )
    make = partial(
        UNet,
        in_channels,
        classes,
        widths=widths,
        norm=norm,
        dropout=dropout,
        deep_supervision=deep_supervision,
        attention=attention,
    )
    check_size(make)
    return make()


def unet4(
    in_channels: int,
    classes: int,
    *,
    norm: Norm = "none",
    dropout: Drop = 0.0,
    deep_supervision: bool = False,
) -> UNet:
    """U-Net of [Xu 2022] with 4 poolings, 2.50 M parameters.

    A reconstruction: the paper prints the total only, and 40-64-80-144-256 is the plain set of
    widths (all multiples of 8) that gives both its totals, not the only one.
    """
    return unet(
        in_channels,
        classes,
        widths=PLAIN_WIDTHS,
        norm=norm,
        dropout=dropout,
        deep_supervision=deep_supervision,
    )


def unet5(
    in_channels: int,
    classes: int,
    *,
    norm: Norm = "none",
    dropout: Drop = 0.0,
    deep_supervision: bool = False,
) -> UNet:
    """U-Net of [Xu 2022] with 5 poolings, 5.72 M parameters.

    A reconstruction like unet4: its widths and one more level of 256, which is exactly the
    difference between the paper's two totals.
    """
    return unet(
        in_channels,
        classes,
        widths=(*PLAIN_WIDTHS, 256),
        norm=norm,
        dropout=dropout,
        deep_supervision=deep_supervision,
    )


def hybrid4(
    in_channels: int,
    classes: int,
    *,
    norm: Norm = "none",
    dropout: Drop = 0.0,
    deep_supervision: bool = False,
) -> UNet:
    """Hybrid-attention U-Net of [Xu 2022] with 4 poolings, 2.50 M parameters.

    A reconstruction: doubling widths 16 to 256, external attention at the bottom and local
    attention on both sides of the 64-channel level give the paper's total too.
    """
    return hybrid_unet(
        in_channels,
        classes,
        widths=HYBRID_WIDTHS,
        norm=norm,
        dropout=dropout,
        deep_supervision=deep_supervision,
    )


def hybrid5(
    in_channels: int,
    classes: int,
    *,
    norm: Norm = "none",
    dropout: Drop = 0.0,
    deep_supervision: bool = False,
) -> UNet:
    """Hybrid-attention U-Net of [Xu 2022] with 5 poolings, 5.72 M parameters; see hybrid4."""
    widths = (*HYBRID_WIDTHS, 256)
    return hybrid_unet(
        in_channels,
        classes,
        widths=widths,
        norm=norm,
        dropout=dropout,
        deep_supervision=deep_supervision,
    )
