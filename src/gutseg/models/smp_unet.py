"""The library's U-Net for images and, inflated, for volumes."""

from copy import deepcopy

from torch import nn

from gutseg.models.inflate import Inflation, ZStrides, inflated
from gutseg.models.limits import Dims, Options, PlainName, check_size
from gutseg.models.smp import smp


def smp_unet(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    encoder: PlainName = "resnet34",
    encoder_weights: PlainName | None = None,
    options: Options | None = None,
    encoder_options: Options | None = None,
    inflation: Inflation = "repeat",
    z_strides: ZStrides = (1, 2, 2, 2, 2),
) -> nn.Module:
    """U-Net of segmentation-models-pytorch; parameters as for `smp`, and of volumes (dims 3):

    encoder: a ResNet or ResNeXt of the library or of timm; others are refused by name.
    inflation: how weights of images become weights of volumes, all of the decoder's as well.
    z_strides: at the encoder's five halvings of rows and columns, what is done to slices: 1 or 2.
    The first is 1 as slices are twice as far apart as pixels. Source: [Carreira 2017].
    """
    network = smp(
        in_channels,
        classes,
        architecture="Unet",
        encoder=encoder,
        encoder_weights=encoder_weights,
        options=options,
        encoder_options=encoder_options,
    )
    if dims == 2:
        return network
    check_size(lambda: inflated(deepcopy(network).to("meta"), inflation, z_strides))
    return inflated(network, inflation, z_strides)
