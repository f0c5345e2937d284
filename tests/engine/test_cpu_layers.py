"""Layers that are faster on a CPU compute what torch's and timm's own compute."""

import copy

import pytest
import segmentation_models_pytorch as smp
import torch
from timm.layers import Conv2dSame
from torch import nn

from gutseg.engine import cpu_layers
from gutseg.engine.cpu_layers import Depthwise, DepthwiseSame, quicken

# (layer, height, width): wide and tall kernels, images lower than they are, strides, biases
DEPTHWISE = [
    (nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False), 9, 7),
    (nn.Conv2d(8, 8, 5, padding=2, groups=8), 2, 3),
    (nn.Conv2d(8, 8, 7, padding=3, groups=8), 5, 11),
    (nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), 2, 3),
    (nn.Conv2d(8, 8, 3, padding=1, groups=8), 6, 5),
    (nn.Conv2d(8, 8, (3, 5), stride=(1, 2), padding=(0, 1), groups=8), 8, 10),
    (nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8), 11, 8),
    (Conv2dSame(8, 8, 5, stride=2, groups=8, bias=False), 7, 8),
    (Conv2dSame(8, 8, 3, stride=2, groups=8), 2, 3),
]


def all_of(layer: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Return what a layer gives, and the gradients of its input and of its weights."""
    images = images.clone().requires_grad_()
    given = layer(images)
    # a gradient that differs from pixel to pixel
    slope = torch.linspace(-1, 1, given.numel(), dtype=given.dtype).reshape(given.shape)
    return [given, *torch.autograd.grad(given, [images, *layer.parameters()], slope)]


@pytest.mark.parametrize(("layer", "height", "width"), DEPTHWISE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_depthwise_layers_compute_what_they_did(layer, height, width, dtype):
    layer = copy.deepcopy(layer).to(dtype)
    quick = copy.deepcopy(layer)
    quicken(nn.Sequential(quick), 4)
    assert type(quick) in (Depthwise, DepthwiseSame)
    images = torch.randn(4, 8, height, width, dtype=dtype, generator=torch.manual_seed(0))
    images = images.to(memory_format=torch.channels_last)
    for ours, theirs in zip(all_of(quick, images), all_of(layer, images), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_that_nobody_asks_for():
    layer = nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False)
    quick = copy.deepcopy(layer)
    quicken(nn.Sequential(quick), 4)
    images = torch.randn(2, 8, 6, 6)
    for one in (quick, layer):  # the first layer of a network
        one(images).square().sum().backward()
    torch.testing.assert_close(quick.weight.grad, layer.weight.grad)
    below = []
    for one in (quick, layer):  # whose weights are frozen
        one.requires_grad_(False)
        start = images.clone().requires_grad_()
        one(start).square().sum().backward()
        below.append(start.grad)
    torch.testing.assert_close(*below)


@pytest.mark.parametrize(
    ("kernel", "height", "splits"), [(3, 3, False), (3, 2, True), (5, 9, True), ((5, 3), 9, False)]
)
def test_columns_are_split_where_the_fast_kernel_would_not_be_taken(
    kernel, height, splits, monkeypatch
):
    taken = []
    split = cpu_layers._columns
    monkeypatch.setattr(cpu_layers, "_columns", lambda *given: taken.append(1) or split(*given))
    layer = nn.Conv2d(8, 8, kernel, padding=2, groups=8)
    quicken(nn.Sequential(layer), 4)
    layer(torch.randn(2, 8, height, 9)).sum().backward()
    assert bool(taken) == splits


def test_which_layers_take_another_path():
    layers = {
        "pointwise": nn.Conv2d(16, 8, 1),
        "few channels": nn.Conv2d(16, 3, 1),
        "dilated": nn.Conv2d(8, 8, 5, groups=8, dilation=2),
        "mirrored": nn.Conv2d(8, 8, 5, padding=2, groups=8, padding_mode="reflect"),
        "same": nn.Conv2d(8, 8, 5, padding="same", groups=8),
        "multiplied": nn.Conv2d(8, 16, 5, padding=2, groups=8),
        "dense": nn.Conv2d(8, 8, 5, padding=2),
        "depthwise": nn.Conv2d(8, 8, 5, padding=2, groups=8),
    }
    network = nn.ModuleDict(layers)
    before = copy.deepcopy(network)
    quicken(network, 8)
    changed = [
        name
        for name, layer in network.items()
        if (type(layer), layer.dilation) != (type(before[name]), before[name].dilation)
    ]
    assert changed == ["pointwise", "depthwise"]
    network = copy.deepcopy(before)
    quicken(network, 16)  # so many images take the fast path by themselves
    assert network["pointwise"].dilation == (1, 1)


def test_a_network_keeps_its_weights_names_and_outputs():
    network = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=3).eval()
    network = network.to(memory_format=torch.channels_last)
    names, images = list(network.state_dict()), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        before = network(images)
        quicken(network, 8)
        after = network(images)
    # 16 blocks, each with one depthwise layer; the first convolution is dense
    assert sum(isinstance(layer, Depthwise | DepthwiseSame) for layer in network.modules()) == 16
    assert list(network.state_dict()) == names
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
