"""A U-Net of images on a ResNet, turned into one of volumes: its pretrained weights come along.

Source: [Carreira 2017], I3D. A volume whose slices are all equal is answered, slice by slice, as
the network of images answers that slice: exactly, and at the ends too.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from gutseg.models.padding import margins
from gutseg.models.places import Place

# repeat: a kernel becomes as deep as it is high, and its weights are divided by that depth;
# centre: they lie in the middle plane, zeros around them, so that training starts slice by slice
Inflation = Literal["repeat", "centre"]
# at the encoder's five halvings of rows and columns: 1 keeps the slices, 2 halves them as well
ZStrides = Annotated[tuple[Literal[1, 2], ...], Field(min_length=5, max_length=5)]

# Whose own code says nothing of the number of axes; others are refused, as code written for two
# axes may run on three and mean something else (the mean over axes 2 and 3 of squeeze-excitation).
SMP, TIMM = "segmentation_models_pytorch", "timm.models"
KNOWN = {
    *(f"torch.nn.modules.{name}" for name in ("container.Sequential", "container.ModuleList")),
    *(f"torch.nn.modules.{name}" for name in ("linear.Identity", "dropout.Dropout")),
    *(f"torch.nn.modules.activation.{name}" for name in ("ReLU", "LeakyReLU", "SiLU", "GELU")),
    *("torchvision.models.resnet.BasicBlock", "torchvision.models.resnet.Bottleneck"),
    *(f"{TIMM}.resnet.BasicBlock", f"{TIMM}.resnet.Bottleneck", f"{TIMM}._features.FeatureListNet"),
    f"{SMP}.encoders.resnet.ResNetEncoder",
    f"{SMP}.encoders.timm_universal.TimmUniversalEncoder",
    *(f"{SMP}.base.modules.{name}" for name in ("Conv2dReLU", "Attention", "Activation")),
    f"{SMP}.base.heads.SegmentationHead",
    f"{SMP}.decoders.unet.model.Unet",
    *(f"{SMP}.decoders.unet.decoder.Unet{name}" for name in ("Decoder", "DecoderBlock")),
    f"{SMP}.decoders.unet.decoder.UnetCenterBlock",
}
MODES = {"nearest": "nearest", "bilinear": "trilinear"}
# Side of the image that shows where a network halves it.
EXAMPLE = 64


class ClampedConv3d(nn.Conv3d):
    """A convolution that repeats the first and the last slice beyond the ends."""

    # how often
    repeated = 0

    def forward(self, input: Tensor) -> Tensor:
        if self.repeated:
            size = (-1, -1, self.repeated, -1, -1)
            first, last = input[:, :, :1].expand(*size), input[:, :, -1:].expand(*size)
            input = torch.cat([first, input, last], dim=2)
        return super().forward(input)


class VolumeUnet(nn.Module):
    """The forward of the library's U-Net for volumes (B, in_channels, Z, H, W) of any depth."""

    def __init__(self, net: Any):
        super().__init__()
        self.encoder: Any = net.encoder
        self.decoder: Any = net.decoder
        self.segmentation_head: Any = net.segmentation_head

    def forward(self, volumes: Tensor) -> Tensor:
        features = self.encoder(volumes)[::-1]  # the coarsest first, the volumes last
        found = self.decoder.center(features[0])
        for number, block in enumerate(self.decoder.blocks):
            finer = features[number + 1]
            mode = MODES[block.interpolation_mode]
            found = functional.interpolate(found, finer.shape[2:], mode=mode)
            if number + 2 < len(features):
                found = block.attention1(torch.cat([found, finer], dim=1))
            found = block.attention2(block.conv2(block.conv1(found)))
        return self.segmentation_head(found)


class PaddedVolumeUnet(nn.Module):
    """Takes volumes of any size: rows and columns are padded to a multiple, slices are not."""

    def __init__(self, net: nn.Module, multiple: int, inflation: Inflation):
        super().__init__()
        self.net = VolumeUnet(net)
        self.multiple = multiple
        # how load_encoder turns published weights into those of volumes
        self.inflation = inflation
        self.seen: Any = None

    @property
    def encoder(self) -> nn.Module:
        """The part that load_encoder fills."""
        return self.net.encoder

    @property
    def deepest(self) -> Place:
        """Where the coarsest features leave the encoder."""
        return Place("net.encoder", (-1,))

    def forward(self, volumes: Tensor) -> Tensor:
        pads = margins(volumes.shape[3:], self.multiple)
        logits = self.net(functional.pad(volumes, pads))
        return functional.pad(logits, [-pad for pad in pads])


def inflated(network: Any, inflation: Inflation, z_strides: Sequence[int]) -> PaddedVolumeUnet:
    """Return a U-Net of volumes; network: of the `smp` row, whose parts are taken over.

    Raises ValueError naming the first of its parts that has no form for volumes.
    """
    halvings = _halvings(network)
    for name, module in list(network.net.named_modules()):
        new = _of_volumes(module, inflation, z_strides, halvings.get(name))
        if new is not module:
            parent, _, child = name.rpartition(".")
            setattr(network.net.get_submodule(parent), child, new)
    mode = network.net.decoder.blocks[0].interpolation_mode
    if mode not in MODES:
        raise ValueError(f"options: interpolation {mode!r} has no form for volumes; give nearest")
    made = PaddedVolumeUnet(network.net, network.multiple, inflation)
    made.seen = network.seen
    return made.train(network.training)


def thickened(weight: Tensor, depth: int, inflation: Inflation) -> Tensor:
    """Turn the weights of a convolution (O, I, h, w) into (O, I, depth, h, w)."""
    if inflation == "repeat":
        return (weight / depth)[:, :, None].repeat(1, 1, depth, 1, 1)
    thick = weight.new_zeros(*weight.shape[:2], depth, *weight.shape[2:])
    thick[:, :, depth // 2] = weight
    return thick


def _halvings(network: Any) -> dict[str, int]:
    """Return which halving of the image, from 0 on, every strided part does, by name."""
    found: dict[str, int] = {}
    hooks = []
    for name, module in network.net.named_modules():
        if _pair(getattr(module, "stride", 1)) != (1, 1):

            def note(_: nn.Module, images: tuple[Tensor], name: str = name) -> None:
                found[name] = (EXAMPLE // images[0].shape[2]).bit_length() - 1

            hooks.append(module.register_forward_pre_hook(note))
    weight = next(network.parameters())
    training = network.training
    with torch.no_grad():
        channels = network.net.encoder.out_channels[0]
        network.eval()(torch.zeros(1, channels, EXAMPLE, EXAMPLE, device=weight.device))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return found


def _of_volumes(
    module: Any, inflation: Inflation, z_strides: Sequence[int], halving: int | None
) -> nn.Module:
    """Return a module's form for volumes, itself where it needs none; halving: that it does."""
    along = 1 if halving is None else z_strides[halving]
    if type(module) is nn.Conv2d:
        return _convolution(module, inflation, along)
    if type(module) is nn.BatchNorm2d:
        norm = nn.BatchNorm3d(
            module.num_features, module.eps, module.momentum, module.affine
        ).requires_grad_(all(p.requires_grad for p in module.parameters()))
        norm.load_state_dict(module.state_dict())
        return norm
    if type(module) in (nn.MaxPool2d, nn.AvgPool2d):
        return _pooling(module, along)
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    if kind not in KNOWN:
        raise ValueError(
            f"dims: 3 is not possible with {type(module).__qualname__}, a part of this network "
            "that is written for images; choose a ResNet or ResNeXt (resnet34, tu-resnet50d), and "
            "no attention in the decoder"
        )
    return module


def _convolution(module: nn.Conv2d, inflation: Inflation, along: int) -> ClampedConv3d:
    height = module.kernel_size[0]
    depth = height if height % 2 else 1
    made = ClampedConv3d(
        module.in_channels,
        module.out_channels,
        (depth, *_pair(module.kernel_size)),
        stride=(along, *_pair(module.stride)),
        padding=(0, *_pair(module.padding)),
        dilation=(1, *_pair(module.dilation)),
        groups=module.groups,
        bias=module.bias is not None,
    )
    made.repeated = depth // 2
    with torch.no_grad():
        made.weight.copy_(thickened(module.weight, depth, inflation))
    made.weight.requires_grad_(module.weight.requires_grad)
    if module.bias is not None:
        made.bias = module.bias
    return made


def _pooling(module: Any, along: int) -> nn.Module:
    """Pool slices where they are halved, in as many at a time as rows if that is an odd number.

    Of an even one every other slice is taken: the last of an odd number of slices would be lost.
    """
    kernel, stride, padding = map(_pair, (module.kernel_size, module.stride, module.padding))
    deep, margin = (kernel[0], padding[0]) if along > 1 and kernel[0] % 2 else (1, 0)
    sizes = ((deep, *kernel), (along, *stride), (margin, *padding))
    if isinstance(module, nn.MaxPool2d):
        return nn.MaxPool3d(*sizes, ceil_mode=module.ceil_mode)
    return nn.AvgPool3d(
        *sizes, ceil_mode=module.ceil_mode, count_include_pad=module.count_include_pad
    )


def _pair(value: Any) -> tuple[int, int]:
    """Return what torch takes as one number or two as two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
