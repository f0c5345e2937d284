"""Steps of a network in functional form, reading their weights from a state dict by name."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = Mapping[str, Tensor]


def random_norms(network: nn.Module) -> nn.Module:
    """Give every batch norm a gain, a shift and statistics that nobody could leave out unseen."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def conv(state: State, name: str, features: Tensor, stride: int = 1) -> Tensor:
    """A convolution that keeps the size (times 1 / stride)."""
    weight = state[f"{name}.weight"]
    padding = 0 if stride > 1 else weight.shape[-1] // 2
    return F.conv2d(features, weight, state.get(f"{name}.bias"), stride, padding)


def norm(state: State, name: str, features: Tensor) -> Tensor:
    """A batch norm of eval mode, from its definition."""
    keys = ("running_mean", "running_var", "weight", "bias")
    mean, variance, gain, shift = (state[f"{name}.{key}"][:, None, None] for key in keys)
    return (features - mean) / torch.sqrt(variance + 1e-5) * gain + shift


def enlarge(features: Tensor, factor: float) -> Tensor:
    """Bilinear, pixel centres aligned."""
    return F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)


def double_up(state: State, name: str, features: Tensor) -> Tensor:
    """A transposed 2x2 convolution of stride 2."""
    return F.conv_transpose2d(features, state[f"{name}.weight"], state[f"{name}.bias"], 2)


def count(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in module.parameters())
