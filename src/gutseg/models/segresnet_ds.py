"""The network of MONAI's Auto3DSeg, for images and for volumes."""

from functools import partial
from typing import Annotated

from pydantic import Field

from gutseg.models.limits import Dims, Size
from gutseg.models.padding import PaddedNet, padded

Blocks = Annotated[tuple[Size, ...], Field(min_length=2, max_length=8)]


def segresnet_ds(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    width: Size = 32,
    blocks: Blocks = (1, 2, 2, 4, 4),
    deep_supervision: bool = False,
) -> PaddedNet:
    """Residual encoder-decoder with batch norm and transposed convolutions, 29.1 M parameters.

    images: (B, in_channels, [Z,] H, W); logits (B, classes, [Z,] H, W). width: of the first level,
    doubled at each; blocks: residual blocks of every encoder level. deep_supervision: in training
    also the logits of the next coarser level, as the template segresnet2d has it.
    Source: [Myronenko 2018] as changed for Auto3DSeg [Cardoso 2022].
    """
    from monai.networks.nets import SegResNetDS

    make = partial(
        SegResNetDS,
        dims,
        width,
        in_channels,
        classes,
        blocks_down=blocks,
        dsdepth=2 if deep_supervision else 1,
    )
    stride = 2 ** (len(blocks) - 1)
    return padded(make, stride, smallest=2 * stride)
