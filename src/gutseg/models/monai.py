"""The convolutional networks of MONAI, for images and for volumes.

Every builder: dims 2 takes (B, in_channels, H, W), dims 3 (B, in_channels, Z, H, W), sides of any
size; logits (B, classes, ...) of the same size. dropout: share of dropped values, as the library
places it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gutseg.models.limits import Dims, Drop, Size, check_size
from gutseg.models.padding import PaddedNet, padded
from gutseg.models.places import Place
from gutseg.models.unet import Widths

# five levels and the last stage
SixWidths = tuple[Size, Size, Size, Size, Size, Size]


def attention_unet(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    widths: Widths = (64, 128, 256, 512, 1024),
    dropout: Drop = 0.0,
) -> PaddedNet:
    """U-Net whose skips pass gates, 31.74 M parameters. Source: [Oktay 2018]."""
    from monai.networks.nets import AttentionUnet

    strides = [2] * (len(widths) - 1)
    make = partial(AttentionUnet, dims, in_channels, classes, widths, strides, dropout=dropout)
    network: Any = padded(make, 2 ** len(strides))
    # a level stands in the one above it: a stage and what is below it, the bottom a stage alone
    below = ["net.model.1" + ".submodule.1" * depth + ".submodule" for depth in range(len(strides))]
    stages = ["net.model.0", *(f"{name}.0" for name in below[:-1]), below[-1]]
    network.levels = [[Place(stage)] for stage in stages]
    return network


def basic_unet(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    widths: SixWidths = (32, 32, 64, 128, 256, 32),
    dropout: Drop = 0.0,
) -> PaddedNet:
    """U-Net with instance norm, 1.98 M parameters; the last width is that of the last stage.

    Source: [Falk 2019].
    """
    from monai.networks.nets import BasicUNet

    make = partial(BasicUNet, dims, in_channels, classes, widths, dropout=dropout)
    return padded(make, 16, smallest=32)


def unetpp_deep(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    widths: SixWidths = (32, 32, 64, 128, 256, 32),
    deep_supervision: bool = True,
    dropout: Drop = 0.0,
) -> PaddedNet:
    """U-Net++ without a pretrained encoder, 2.41 M parameters.

    deep_supervision: in training four logits of full size, the deepest path first, whose losses
    are added up; prediction is the deepest path's. Source: [Zhou 2018].
    """
    from monai.networks.nets import BasicUNetPlusPlus

    def make() -> nn.Module:
        net = BasicUNetPlusPlus(
            dims, in_channels, classes, widths, deep_supervision, dropout=dropout
        )
        if not deep_supervision:
            # the library computes these, then throws them away
            net.final_conv_0_1 = net.final_conv_0_2 = net.final_conv_0_3 = nn.Identity()
        return net

    return padded(make, 16, smallest=32, scales=_deepest_first)


def _deepest_first(outputs: list[Tensor]) -> Tensor | list[Tensor]:
    return outputs[::-1] if len(outputs) > 1 else outputs[0]


def dynunet(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    widths: Annotated[Widths, Field(min_length=3)] = (32, 64, 128, 256, 512),
    residual: bool = False,
    deep_supervision: bool = False,
    dropout: Drop = 0.0,
) -> PaddedNet:
    """U-Net of nnU-Net's pattern, 7.76 M parameters: strided convolutions, instance norm.

    deep_supervision: in training also the logits of every decoder level but the coarsest.
    Source: [Isensee 2021].
    """
    from monai.networks.nets import DynUNet

    levels = len(widths)
    make = partial(
        DynUNet,
        dims,
        in_channels,
        classes,
        kernel_size=[3] * levels,
        strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1),
        filters=widths,
        res_block=residual,
        deep_supervision=deep_supervision,
        deep_supr_num=levels - 2,
        dropout=dropout or None,
    )
    stride = 2 ** (levels - 1)
    return padded(make, stride, smallest=2 * stride, scales=partial(_unstacked, dims))


def _unstacked(dims: int, outputs: Tensor) -> Tensor | Sequence[Tensor]:
    """Undo the stacking (B, scales, classes, ...) of deep supervision."""
    return outputs if outputs.ndim == dims + 2 else outputs.unbind(1)


def segresnet(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    width: Annotated[Size, Field(multiple_of=8)] = 32,
    dropout: Drop = 0.0,
) -> PaddedNet:
    """Residual encoder-decoder with group norm, 6.30 M parameters; width: of the first level.

    Source: [Myronenko 2018], without its autoencoder.
    """
    from monai.networks.nets import SegResNet

    make = partial(SegResNet, dims, width, in_channels, classes, dropout_prob=dropout or None)
    return padded(make, 8)


def mednext(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    variant: Literal["S", "B", "M", "L"] = "S",
    kernel: Literal[3, 5, 7] = 3,
    deep_supervision: bool = False,
) -> PaddedNet:
    """U-Net of ConvNeXt blocks, 5.47 M parameters (S).

    deep_supervision: in training also the logits of the four coarser levels. Source: [Roy 2023].
    """
    from monai.networks.nets.mednext import create_mednext

    make = partial(create_mednext, variant, dims, in_channels, classes, kernel, deep_supervision)
    return padded(make, 16, smallest=32)


def highresnet(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    widths: tuple[Size, Size, Size] = (16, 32, 64),
    dropout: Drop = 0.0,
) -> nn.Module:
    """Dilated convolutions at full resolution, 0.27 M parameters (0.81 M with dims 3).

    widths: channels at dilation 1, 2 and 4. The library ends with a ReLU, so that no logit could
    be negative; it is left out, as in the authors' code, and so is dropout on the logits.
    Source: [Li W 2017].
    """
    from monai.networks.nets import HighResNet

    if sorted(widths) != list(widths):
        raise ValueError(f"widths {list(widths)} must not decrease")
    first, second, third = widths
    layers = [
        {"name": "conv_0", "n_features": first, "kernel_size": 3},
        *(
            {"name": "res", "n_features": width, "kernels": (3, 3), "repeat": 3}
            for width in (first, second, third)
        ),
        {"name": "conv_1", "n_features": 80, "kernel_size": 1},
        {"name": "conv_2", "kernel_size": 1},
    ]

    def make() -> nn.Module:
        net: Any = HighResNet(dims, in_channels, classes, dropout_prob=dropout, layer_params=layers)
        net.blocks[-1].adn = net.blocks[-1].adn.N
        return net

    check_size(make)
    return make()


def vnet(in_channels: int, classes: int, *, dims: Dims = 2, dropout: Drop = 0.5) -> PaddedNet:
    """V-Net, 9.36 M parameters (45.6 M with dims 3), for any number of channels.

    dropout drops whole channels of the two deepest levels and of all skips.
    Source: [Milletari 2016].
    """
    from monai.networks.nets import VNet

    def make() -> nn.Module:
        net: Any = VNet(dims, 1, classes)
        net.in_tr = FirstStage(net.in_tr, in_channels)
        _set_dropout(net, (nn.Dropout2d, nn.Dropout3d)[dims - 2], dropout)
        return net

    return padded(make, 16, smallest=32)


def _set_dropout(net: nn.Module, kind: type[nn.Module], share: float) -> None:
    """Put one kind of dropout in place of the library's.

    It uses Dropout3d throughout, which reads a batch of images as one volume: images are dropped.
    """
    for module in net.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout3d):
                setattr(module, name, kind(share))


class FirstStage(nn.Module):
    """V-Net's first stage for any number of channels, where the library wants a divisor of 16.

    images: (B, in_channels, ...); returns (B, 16, ...). The shortcut repeats the channels and
    stops at 16, which is what the library does where they divide it.
    """

    def __init__(self, stage: Any, in_channels: int):
        """stage: the library's, for one channel."""
        super().__init__()
        one = stage.conv_block.conv
        stage.conv_block.conv = type(one)(
            in_channels, one.out_channels, one.kernel_size, padding=one.padding, bias=False
        )
        self.block: nn.Module = stage.conv_block
        self.act: nn.Module = stage.act_function
        self.copies = -(-one.out_channels // in_channels)

    def forward(self, images: Tensor) -> Tensor:
        features = self.block(images)  # (B, 16, ...)
        copies = torch.cat([images] * self.copies, dim=1)[:, : features.shape[1]]
        return self.act(features + copies)
