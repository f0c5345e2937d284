"""The original U-Net: valid convolutions, cropped skips.

Shapes at the widths of the paper, for the 572 x 572 pixels of its figure 1:

    images                     (B, S, 572, 572)
    down 0   2 x conv 3x3      (B, 64, 568, 568)    skip, cropped to 392
    down 1   pool, 2 x conv    (B, 128, 280, 280)   skip, cropped to 200
    down 2   pool, 2 x conv    (B, 256, 136, 136)   skip, cropped to 104
    down 3   pool, 2 x conv    (B, 512, 64, 64)     skip, cropped to 56
    bottom   pool, 2 x conv    (B, 1024, 28, 28)
    up 3     conv^T, 2 x conv  (B, 512, 52, 52)
    up 2     conv^T, 2 x conv  (B, 256, 100, 100)
    up 1     conv^T, 2 x conv  (B, 128, 196, 196)
    up 0     conv^T, 2 x conv  (B, 64, 388, 388)
    head     conv 1x1          (B, C, 388, 388)     92 pixels less on every side
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gutseg.models.limits import Drop, Size, check_size
from gutseg.models.places import Levels, Place
from gutseg.models.valid import ValidNet, initialise, middle

# A pooling more than doubles what the border loses: six would take 760 pixels.
Widths = Annotated[tuple[Size, ...], Field(min_length=2, max_length=6)]

WIDTHS = (64, 128, 256, 512, 1024)


def conv_stage(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two valid 3x3 convolutions, each followed by a ReLU: four pixels less a side."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3),
        nn.ReLU(inplace=True),
    )


class ValidUNet(ValidNet):
    """U-Net of valid convolutions with any widths; n widths make n − 1 poolings.

    dropout drops single values at the end of the contracting path, as the paper says without a
    rate. Source: [Ronneberger 2015] figure 1 and section 3.
    """

    def __init__(
        self, in_channels: int, classes: int, *, widths: Sequence[int], dropout: float = 0.0
    ):
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        # a level loses 4 pixels going down and 4 going up, and doubles what is lost below:
        # 16, 40, 88, 184, 376 for 1 to 5 poolings
        self.shrink = 12 * self.stride - 8
        # going up, the sides are doubled and lose 4
        self.remainder = 4 % self.stride
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        pairs = zip((in_channels, *widths), widths, strict=False)
        self.encoder = nn.ModuleList(conv_stage(below, width) for below, width in pairs)
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.up.append(nn.ConvTranspose2d(below, width, 2, stride=2))
            self.decoder.append(conv_stage(2 * width, width))
        self.head = nn.Conv2d(widths[0], classes, 1)
        self.apply(initialise)

    @property
    def levels(self) -> Levels:
        """Where attention can be added: behind both stages of a level, at the bottom the one."""
        depth = len(self.encoder)
        sides = [[Place(f"decoder.{depth - 2 - level}")] for level in range(depth - 1)]
        return [[Place(f"encoder.{level}"), *side] for level, side in enumerate([*sides, []])]

    def valid(self, images: Tensor) -> Tensor:
        features = self.encoder[0](images)  # (B, widths[0], H - 4, W - 4)
        skips = []
        for stage in self.encoder[1:]:
            skips.append(features)
            features = stage(self.pool(features))  # (B, width, h / 2 - 4, w / 2 - 4)
        features = self.dropout(features)
        for up, stage in zip(self.up, self.decoder, strict=True):
            grown = up(features)  # (B, width, 2 h, 2 w)
            skip = middle(skips.pop(), grown.shape[2:])  # (B, width, 2 h, 2 w)
            features = stage(torch.cat((skip, grown), dim=1))  # (B, width, 2 h - 4, 2 w - 4)
        return self.head(features)  # (B, C, H - shrink, W - shrink)


def unet_valid(
    in_channels: int, classes: int, *, widths: Widths = WIDTHS, dropout: Drop = 0.0
) -> ValidUNet:
    """Original U-Net with valid convolutions, 31.03 M parameters, 184 pixels less a side.

    31,030,658 parameters for one channel and two classes. The paper loses 572 − 388 pixels; here
    the border is mirrored by them first. Source: [Ronneberger 2015].
    """
    make = partial(ValidUNet, in_channels, classes, widths=widths, dropout=dropout)
    check_size(make)
    return make()
