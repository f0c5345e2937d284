"""DeepMedic: one path at full resolution, one on a third of it that sees three times as far.

Shapes for the 57 voxels a side of the papers, in 3-D; in 2-D the last axis is missing:

    images                                (B, S, 57, 57, 57)
    fine     middle of the images         (B, S, 25, 25, 25)
             8 x conv 3, norm, PReLU      (B, 50, 9, 9, 9)
    coarse   mean over 3 x 3 x 3          (B, S, 19, 19, 19)
             8 x conv 3, norm, PReLU      (B, 50, 3, 3, 3), repeated to 9
    both     2 x conv 1, norm, PReLU      (B, 150, 9, 9, 9)
    head     conv 1                       (B, C, 9, 9, 9)      24 voxels less on every side
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from gutseg.models.limits import Drop, Size, check_size
from gutseg.models.places import Place
from gutseg.models.valid import ValidNet, initialise, middle

# How much coarser the second path sees.
FACTOR = 3

# The eight convolutions of both paths; their number decides how much of the border is lost.
Widths = Annotated[tuple[Size, ...], Field(min_length=8, max_length=8)]
CONV: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORM: dict[int, Callable[..., nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MEAN: dict[int, Callable[..., Tensor]] = {2: functional.avg_pool2d, 3: functional.avg_pool3d}


def conv_layer(in_channels: int, out_channels: int, *, kernel: int, dims: int) -> nn.Sequential:
    """A valid convolution, batch norm (which brings the shift) and PReLU, one slope a map."""
    return nn.Sequential(
        CONV[dims](in_channels, out_channels, kernel, bias=False),
        NORM[dims](out_channels),
        nn.PReLU(out_channels),
    )


class DeepMedic(ValidNet):
    """DeepMedic's two paths, fully convolutional, on images or volumes.

    images: (B, S, H, W) or (B, S, Z, H, W). widths: of the convolutions of either path; fused: of
    the 1x1 convolutions on both. dropout: behind either of the fused layers.
    """

    stride = FACTOR
    deepest = Place("fuse")

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        dims: int,
        widths: Sequence[int],
        fused: Sequence[int],
        dropout: float,
    ):
        super().__init__()
        # the coarse path loses two of its voxels a convolution
        self.shrink = 2 * len(widths) * FACTOR
        self.dims = dims
        steps = [*pairwise((in_channels, *widths))]
        conv3 = partial(conv_layer, kernel=3, dims=dims)
        self.fine = nn.Sequential(*(conv3(*step) for step in steps))
        self.coarse = nn.Sequential(*(conv3(*step) for step in steps))
        conv1 = partial(conv_layer, kernel=1, dims=dims)
        first, second = pairwise((2 * widths[-1], *fused))
        self.fuse = nn.Sequential(
            conv1(*first), nn.Dropout(dropout), conv1(*second), nn.Dropout(dropout)
        )
        self.head = CONV[dims](fused[-1], classes, 1)
        self.apply(initialise)

    def valid(self, images: Tensor) -> Tensor:
        # what the fine path sees less of a side than the coarse one
        less = self.shrink - self.shrink // FACTOR
        inner = middle(images, [side - less for side in images.shape[2:]])
        fine = self.fine(inner)  # (B, 50, Z - 48, H - 48, W - 48)
        coarse = self.coarse(
            MEAN[self.dims](images, FACTOR)
        )  # (B, 50, Z / 3 - 16, H / 3 - 16, W / 3 - 16)
        coarse = functional.interpolate(coarse, scale_factor=FACTOR, mode="nearest")
        features = self.fuse(torch.cat((fine, coarse), dim=1))  # (B, 150, Z - 48, H - 48, W - 48)
        return self.head(features)  # (B, C, Z - 48, H - 48, W - 48)


def deepmedic(
    in_channels: int,
    classes: int,
    *,
    dims: Literal[2, 3] = 2,
    widths: Widths = (30, 30, 40, 40, 40, 40, 50, 50),
    fused: tuple[Size, Size] = (150, 150),
    dropout: Drop = 0.5,
) -> DeepMedic:
    """DeepMedic, 0.25 M parameters in 2-D and 0.66 M in 3-D.

    A valid network: 48 voxels less a side, for example 57 -> 9. The 11 layers without the residual
    connections that came later. The coarse input is a mean, as in the code of [Sudre 2017]
    ([Gibson 2018], niftynet/network/deepmedic.py); that code normalises and activates its logits
    too, which is not in the paper and left out. Source: [Kamnitsas 2017] section 2.
    """
    make = partial(
        DeepMedic, in_channels, classes, dims=dims, widths=widths, fused=fused, dropout=dropout
    )
    check_size(make)
    return make()
