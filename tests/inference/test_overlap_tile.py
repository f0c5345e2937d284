"""Overlap-tile prediction of valid networks: tiles are what the whole image is."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from gutseg.config import Predict
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.inference.predictor import MARGIN, Predictor
from gutseg.models.deepmedic import deepmedic
from gutseg.models.gdl_unet import gdl_unet
from gutseg.models.two_path_cnn import two_path_cnn
from gutseg.models.unet import unet
from gutseg.models.unet_valid import unet_valid

INPUTS = Inputs(Stack(slices=1), Scaling(kind="scan"), Geometry(kind="native"))


def _predictor(network, tile):
    return Predictor(network, INPUTS, Predict(tile=tile), device=torch.device("cpu"))


def _whole_numbers(network):
    """Give a U-Net weights of whole numbers, so that its sums are exact in any order.

    Each convolution adds two opposite corners of its kernel with signs: all of the context is
    seen, and the logits of images of 0 to 3 stay below 2**24, where float32 counts by one.
    """
    draw = torch.Generator().manual_seed(0)

    def pick(choices):
        return choices[int(torch.randint(len(choices), (1,), generator=draw))]

    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        weight = module.weight.data.zero_()
        module.bias.data.fill_(1)
        if isinstance(module, nn.ConvTranspose2d):
            for column in range(weight.shape[1]):  # (in, out, 2, 2), one input for each output
                weight[pick(range(weight.shape[0])), column] = 1
            continue
        far = weight.shape[-1] - 1
        for row in weight:
            (up, left), sign = pick([(0, 0), (0, far), (far, 0), (far, far)]), pick([1, 1, -1])
            row[pick(range(len(row))), up, left] = 1
            row[pick(range(len(row))), far - up, far - left] += sign
    return network.eval()


def _image(height, width):
    draw = torch.Generator().manual_seed(1)
    return torch.randint(4, (1, 1, height, width), generator=draw).float()


ORIGINAL = {"widths": (4, 4, 4, 4, 4)}


@pytest.mark.parametrize(("height", "width"), [(220, 204), (236, 188)])
def test_tiles_of_the_original_unet_are_the_whole_image_bit_for_bit(height, width):
    """Away from the border as on the image itself, at the border as on the mirrored image.

    Bit for bit, because weights and pixels are whole numbers: no sum is rounded, so neither the
    tiling nor the order in which a convolution of another size adds can change a digit.
    """
    network = _whole_numbers(unet_valid(1, 2, **ORIGINAL))
    image = _image(height, width)
    with torch.no_grad():
        tiles = _predictor(network, 64).logits(image)
        alone = network.valid(image)  # (1, 2, H - 184, W - 184): no mirror
        around = np.pad(image.numpy(), ((0, 0), (0, 0), (96, 96), (96, 96)), mode="reflect")
        mirrored = network.valid(torch.from_numpy(around))[:, :, 4 : 4 + height, 4 : 4 + width]
    assert tiles.shape == (1, 2, height, width)
    assert torch.equal(tiles[:, :, 92:-92, 92:-92], alone)
    assert torch.equal(tiles, mirrored)
    assert tiles.abs().max() < 2**24 and tiles.unique().numel() > 50


@pytest.mark.parametrize(
    ("make", "tile"),
    [
        (lambda: unet_valid(1, 2, widths=(4, 4, 4, 4)), 40),
        (lambda: gdl_unet(1, 2, widths=(4, 4, 4)), 32),
    ],
)
@pytest.mark.parametrize(("height", "width"), [(97, 33), (130, 65), (70, 141)])
def test_other_depths_and_sizes_that_no_tile_divides(make, tile, height, width):
    network = _whole_numbers(make())
    image = _image(height, width)
    with torch.no_grad():
        assert torch.equal(_predictor(network, tile).logits(image), network(image))


@pytest.mark.parametrize(
    "make",
    [
        lambda: unet_valid(1, 2, widths=(4, 5, 6, 7, 8)),
        lambda: two_path_cnn(1, 2, widths=(4, 4, 6)),
        lambda: deepmedic(1, 2, widths=(4,) * 8, fused=(6, 6)),
    ],
)
def test_ordinary_weights_agree_to_the_last_digits(make):
    """Not bit for bit: convolutions of other sizes may add in another order."""
    torch.manual_seed(0)
    network = make().eval()
    image = torch.rand(1, 1, 100, 131)
    with torch.no_grad():
        tiles, whole = _predictor(network, 48).logits(image), network(image)
    torch.testing.assert_close(tiles, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", [{"margin": 48}, {"step": 1}])
def test_less_context_or_another_grid_would_show(change):
    network = _whole_numbers(unet_valid(1, 2, **ORIGINAL))
    image = _image(230, 70)
    predictor = _predictor(network, 72)
    for key, value in change.items():
        setattr(predictor, key, value)
    with torch.no_grad():
        assert not torch.equal(predictor.logits(image), network(image))


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (unet(1, 2, widths=(4, 4)), (MARGIN, 1)),
        (gdl_unet(1, 2, widths=(4, 4, 4)), (20, 4)),
        (nn.Sequential(nn.Identity(), gdl_unet(1, 2, widths=(4, 4, 4))), (20, 4)),
    ],
)
def test_a_valid_network_states_its_margin_whatever_it_is_wrapped_in(network, expected):
    predictor = _predictor(network, 64)
    assert (predictor.margin, predictor.step) == expected


@pytest.mark.parametrize(
    ("length", "tile", "step", "edges"),
    [
        (100, 64, 1, [0, 50, 100]),
        (100, 64, 16, [0, 64, 100]),  # four steps of 16, and three
        (129, 32, 16, [0, 32, 64, 80, 112, 129]),
        (64, 40, 16, [0, 32, 64]),
        (33, 32, 64, [0, 33]),  # a step above the tile
    ],
)
def test_edges_between_tiles_are_multiples_of_the_step(length, tile, step, edges):
    predictor = _predictor(unet(1, 1, widths=(4, 8)), tile)
    predictor.step = step
    assert list(predictor._spans(length)) == list(pairwise(edges))
