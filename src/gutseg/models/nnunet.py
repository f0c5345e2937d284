"""The residual-encoder U-Net of nnU-Net's authors; needs the extra `nnunet`."""

from torch import nn

from gutseg.models.limits import Dims
from gutseg.models.padding import PaddedNet, padded
from gutseg.models.unet import Widths

# Residual blocks of every encoder stage, the finest first, and as many as the last beyond these.
BLOCKS = (1, 3, 4, 6)


def nnunet_resenc(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    widths: Widths = (32, 64, 128, 256, 512, 512),
    deep_supervision: bool = False,
) -> PaddedNet:
    """U-Net with a residual encoder, 1-3-4-6-6-... blocks and one convolution a decoder stage.

    images: (B, in_channels, [Z,] H, W); logits (B, classes, [Z,] H, W). widths: channels of every
    stage (320 is nnU-Net's limit for volumes). deep_supervision: in training also the logits of
    every coarser decoder stage. Source: [Isensee 2024], the preset ResEnc.
    """
    try:
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    except ImportError:
        raise ValueError(
            "nnunet_resenc needs the package dynamic-network-architectures: "
            "pip install 'gutseg[nnunet]'"
        ) from None
    stages = len(widths)

    def make() -> nn.Module:
        net = ResidualEncoderUNet(
            in_channels,
            stages,
            widths,
            (nn.Conv2d, nn.Conv3d)[dims - 2],
            kernel_sizes=3,
            strides=[1] + [2] * (stages - 1),
            n_blocks_per_stage=[BLOCKS[min(stage, 3)] for stage in range(stages)],
            num_classes=classes,
            n_conv_per_stage_decoder=1,
            conv_bias=True,
            norm_op=(nn.InstanceNorm2d, nn.InstanceNorm3d)[dims - 2],
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
            deep_supervision=deep_supervision,
        )
        net.apply(net.initialize)
        if not deep_supervision:
            # built by the library all the same, and never used
            for stage in range(stages - 2):
                net.decoder.seg_layers[stage] = nn.Identity()
        return net

    stride = 2 ** (stages - 1)
    return padded(make, stride, smallest=2 * stride)
