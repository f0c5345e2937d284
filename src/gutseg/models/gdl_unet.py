"""The U-Net of the generalised-Dice paper: two poolings, valid convolutions.

images                     (B, S, 56, 56)
down 0   2 x conv 3x3      (B, 64, 52, 52)      skip, cropped to 20
down 1   pool, 2 x conv    (B, 128, 22, 22)     skip, cropped to 14
bottom   pool, 2 x conv    (B, 256, 7, 7)
up 1     conv^T, 2 x conv  (B, 128, 10, 10)
up 0     conv^T, 2 x conv  (B, 64, 16, 16)
head     conv 1x1          (B, C, 16, 16)
"""

from functools import partial

from gutseg.models.limits import Drop, check_size
from gutseg.models.unet_valid import ValidUNet, Widths

WIDTHS = (64, 128, 256)


def gdl_unet(
    in_channels: int, classes: int, *, widths: Widths = WIDTHS, dropout: Drop = 0.0
) -> ValidUNet:
    """U-Net with two poolings and valid convolutions, 1.86 M parameters, 40 pixels less a side.

    [Sudre 2017] prints neither depth nor widths. Its table 1 does say 56 → 16, 64 → 24 and
    88 → 48 pixels, and a U-Net of valid convolutions loses 40 with two poolings only; the widths
    are the first three of [Ronneberger 2015].
    """
    make = partial(ValidUNet, in_channels, classes, widths=widths, dropout=dropout)
    check_size(make)
    return make()
