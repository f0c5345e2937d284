"""Faster ways through PyTorch for layers of a network that one thread trains on a CPU."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# batches of so many images take oneDNN's path for kernels of one weight by themselves
ENOUGH_IMAGES = 16
# with fewer channels on either side that path is the slower one
ENOUGH_CHANNELS = 8
# of a depthwise convolution's weights, for whose gradient oneDNN has a fast kernel
COLUMNS = 3


def quicken(network: nn.Module, batch_size: int) -> None:
    """Send a network's pointwise and depthwise convolutions through oneDNN's fast kernels.

    For float32, channels_last and one thread. Values differ in their last bits, weights and their
    names not at all. Layers of other classes than torch's and timm's own stay as they are.
    """
    for layer in network.modules():
        # by its very class: another one may compute something else
        quick = QUICK.get(f"{type(layer).__module__}.{type(layer).__name__}")
        if not quick or not isinstance(layer, nn.Conv2d) or layer.dilation != (1, 1):
            continue
        if layer.kernel_size == (1, 1):
            # a kernel of one weight has no neighbours to move apart: dilation changes the path
            # alone (`ConvParams::use_mkldnn` in ATen's Convolution.cpp)
            is_wide = min(layer.in_channels, layer.out_channels) >= ENOUGH_CHANNELS
            if is_wide and batch_size < ENOUGH_IMAGES:
                layer.dilation = (2, 2)
        elif _is_depthwise(layer):
            layer.__class__ = quick


def _is_depthwise(layer: nn.Conv2d) -> bool:
    is_padded_with_zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return is_padded_with_zeros and layer.groups == layer.in_channels == layer.out_channels


class Depthwise(nn.Conv2d):
    """A depthwise convolution whose weights' gradient takes the fast kernel."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _Depthwise.apply(input, weight, bias, self.stride, self.padding)


class DepthwiseSame(nn.Conv2d):
    """The same of timm's layer that pads as TensorFlow does."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, C, h / stride, w / stride), rounded up."""
        from timm.layers import pad_same  # takes seconds; such a layer has imported it

        padded = pad_same(input, list(self.kernel_size), list(self.stride))
        return _Depthwise.apply(padded, self.weight, self.bias, self.stride, (0, 0))


QUICK = {
    "torch.nn.modules.conv.Conv2d": Depthwise,
    "timm.layers.conv2d_same.Conv2dSame": DepthwiseSame,
}


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding, ctx.has_bias = stride, padding, bias is not None
        return F.conv2d(images, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        # the fast kernel takes up to three columns, on images that are no lower than the weights
        is_slow = weight.shape[3] > COLUMNS or images.shape[2] < weight.shape[2]
        splits = is_slow and ctx.needs_input_grad[1]
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1] and not splits, ctx.has_bias]
        of_images, of_weight, of_bias = _gradients(
            grad, images, weight, ctx.stride, ctx.padding, wanted
        )
        if splits:
            of_weight = torch.cat(_columns(grad, images, weight, ctx.stride, ctx.padding), dim=3)
        return of_images, of_weight, of_bias, None, None


def _columns(
    grad: Tensor, images: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]
) -> list[Tensor]:
    """Return the gradient of the weights (C, 1, kh, kw), three of their columns at a time."""
    down, right = padding
    padded = F.pad(images, (right, right, down, down))
    span = (grad.shape[3] - 1) * stride[1]  # from the first window's column to the last one's
    parts = []
    for column in range(0, weight.shape[3], COLUMNS):
        some = weight[..., column : column + COLUMNS]
        under = padded[..., column : column + span + some.shape[3]]
        parts.append(_gradients(grad, under, some, stride, (0, 0), [False, True, False])[1])
    return parts


def _gradients(
    grad: Tensor,
    images: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    wanted: list[bool],
) -> list[Tensor]:
    """Return torch's own gradients of images, weights and biases, those that are wanted."""
    channels = len(weight)
    is_transposed, rest = False, (0, 0)
    return torch.ops.aten.convolution_backward(
        grad,
        images,
        weight,
        [channels],
        stride,
        padding,
        (1, 1),
        is_transposed,
        rest,
        channels,
        wanted,
    )
