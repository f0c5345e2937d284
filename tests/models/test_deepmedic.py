from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gutseg.models.deepmedic import deepmedic


def _plain(network, images, dims):
    """[Kamnitsas 2017]: crop, mean over blocks of three, eight layers each, repeat, two layers."""
    state = network.state_dict()
    conv = {2: F.conv2d, 3: F.conv3d}[dims]
    last = [1] * dims

    def layer(features, name):
        features = conv(features, state[f"{name}.0.weight"])
        norm = {key: state[f"{name}.1.{key}"].reshape(-1, *last) for key in KEYS}
        features = (features - norm["running_mean"]) / (norm["running_var"] + 1e-5).sqrt()
        features = features * norm["weight"] + norm["bias"]
        slope = state[f"{name}.2.weight"].reshape(-1, *last)
        return torch.where(features > 0, features, slope * features)

    fine = images[(..., *[slice(16, -16)] * dims)]
    coarse = images
    for axis in range(2, 2 + dims):
        parts = [coarse.unflatten(axis, (-1, 3)).select(axis + 1, i) for i in range(3)]
        coarse = sum(parts) / 3
    for number in range(8):
        fine, coarse = layer(fine, f"fine.{number}"), layer(coarse, f"coarse.{number}")
    repeated = coarse.numpy()
    for axis in range(2, 2 + dims):
        repeated = np.repeat(repeated, 3, axis)
    both = torch.cat((fine, torch.from_numpy(repeated)), dim=1)
    both = layer(layer(both, "fuse.0"), "fuse.2")
    return conv(both, state["head.weight"], state["head.bias"])


KEYS = ("running_mean", "running_var", "weight", "bias")


@pytest.mark.parametrize("dims", [2, 3])
def test_it_is_the_network_of_the_paper(dims):
    torch.manual_seed(0)
    network = (
        deepmedic(2, 3, dims=dims, widths=(3, 2, 4, 3, 2, 3, 4, 2), fused=(5, 4)).eval().double()
    )
    for key, value in network.state_dict().items():
        if "running" in key or ".2.weight" in key:
            value.uniform_(0.1, 1)
    images = torch.rand(1, 2, *[57, 54, 51][:dims], dtype=torch.float64)
    with torch.no_grad():
        found, expected = network.valid(images), _plain(network, images, dims)
    assert found.shape == (1, 3, *[9, 6, 3][:dims])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("dims", "count"), [(2, 246_362), (3, 657_842)])
def test_parameters(dims, count):
    widths = (1, 30, 30, 40, 40, 40, 40, 50, 50)
    path = sum(
        below * width * 3**dims + 2 * width + width  # kernel, norm, slopes
        for below, width in pairwise(widths)
    )
    fused = 100 * 150 + 150 * 150 + 2 * 3 * 150
    network = deepmedic(1, 2, dims=dims)
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == 2 * path + fused + 150 * 2 + 2 == count


def test_volumes_keep_their_size():
    network = deepmedic(1, 2, dims=3, widths=(2,) * 8, fused=(2, 2)).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, 5, 10, 8)).shape == (2, 2, 5, 10, 8)


def test_an_even_image_has_an_even_answer():
    """The coarse path repeats voxels: that must not show where there is nothing to see."""
    network = deepmedic(1, 1, widths=(2,) * 8, fused=(2, 2)).eval()
    with torch.no_grad():
        logits = network(torch.full((1, 1, 20, 22), 0.3))
    torch.testing.assert_close(logits, logits[:, :, :1, :1].expand_as(logits))
