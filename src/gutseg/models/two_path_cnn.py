"""TwoPathCNN: a local and a global path side by side, one wide convolution on both.

Shapes of the form that the generalised-Dice paper describes, for its 63 x 63 pixels:

    images                               (B, S, 63, 63)
    local    conv 7x7, maxout, pool 4    (B, 64, 54, 54)
             conv 5x5, maxout, pool 2    (B, 64, 49, 49)
    global   conv 13x13, maxout, pool 2  (B, 160, 50, 50), cropped to 49
    head     conv 19x19 of both          (B, C, 31, 31)    16 pixels less on every side

All poolings have stride 1, so a pixel is classified by the 33 x 33 around it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gutseg.models.limits import Drop, Size, check_size
from gutseg.models.places import Place
from gutseg.models.valid import ValidNet, initialise

# Side of the square that classifies its central pixel.
FIELD = 33

Pieces = Annotated[int, Field(ge=1, le=16)]


class MaxoutBlock(nn.Module):
    """A valid convolution, the maximum over its `pieces` kernels a map, a pooling of stride 1.

    features: (B, in_channels, H, W); returns (B, out_channels, H - lost, W - lost).
    Source: [Havaei 2017] equations 1 to 3.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, pool: int, pieces: int):
        super().__init__()
        self.pieces = pieces
        self.lost = kernel - 1 + pool - 1
        self.conv = nn.Conv2d(in_channels, out_channels * pieces, kernel)
        self.pool = nn.MaxPool2d(pool, stride=1)

    def forward(self, features: Tensor) -> Tensor:
        kernels = self.conv(features)  # (B, out_channels * pieces, h, w)
        maps = kernels.unflatten(1, (-1, self.pieces)).amax(dim=2)  # (B, out_channels, h, w)
        return self.pool(maps)


class TwoPathCNN(ValidNet):
    """TwoPathCNN, fully convolutional: logits of the pixels whose 33 x 33 are inside.

    widths: maps of the first and the second local block and of the global one. The global path
    loses a pixel less than the local one where it pools by 2 and the second kernel is 5: its last
    row and column are cut, which shifts it by half a pixel.
    """

    shrink = FIELD - 1
    deepest = Place("dropout")

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        widths: Sequence[int],
        pieces: int,
        second_kernel: int,
        global_pool: int,
        dropout: float,
    ):
        super().__init__()
        first, second, wide = widths
        block = partial(MaxoutBlock, pieces=pieces)
        near = block(in_channels, first, kernel=7, pool=4)
        nearer = block(first, second, kernel=second_kernel, pool=2)
        self.local_path = nn.Sequential(near, nearer)
        self.global_path = block(in_channels, wide, kernel=13, pool=global_pool)
        self.lost = max(near.lost + nearer.lost, self.global_path.lost)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(second + wide, classes, FIELD - self.lost)
        self.apply(initialise)

    def valid(self, images: Tensor) -> Tensor:
        height, width = (side - self.lost for side in images.shape[2:])
        paths = (self.local_path(images), self.global_path(images))
        # (B, second + wide, H - lost, W - lost)
        features = torch.cat([path[..., :height, :width] for path in paths], dim=1)
        return self.head(self.dropout(features))  # (B, C, H - 32, W - 32)


def two_path_cnn(
    in_channels: int,
    classes: int,
    *,
    widths: tuple[Size, Size, Size] = (64, 64, 160),
    pieces: Pieces = 2,
    second_kernel: Literal[3, 5] = 5,
    global_pool: Literal[1, 2] = 2,
    dropout: Drop = 0.0,
) -> TwoPathCNN:
    """TwoPathCNN with maxout, 0.43 M parameters for one channel and two classes.

    A valid network: 32 pixels less a side. The form of [Sudre 2017]: second local kernel 5, a
    pooling of the global path, hence a 19 x 19 head. second_kernel 3 and global_pool 1 give
    [Havaei 2017] figure 2 with its 21 x 21 head; the 651,488 parameters there count one kernel a
    map (pieces 1) and no biases. pieces: kernels whose maximum is a map; two in its figure 1.
    widths are those of [Havaei 2017].
    """
    make = partial(
        TwoPathCNN,
        in_channels,
        classes,
        widths=widths,
        pieces=pieces,
        second_kernel=second_kernel,
        global_pool=global_pool,
        dropout=dropout,
    )
    check_size(make)
    return make()
