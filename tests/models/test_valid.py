"""Networks of valid convolutions: what they lose, and what they see beyond the border."""

import numpy as np
import pytest
import torch

from gutseg.models.deepmedic import deepmedic
from gutseg.models.gdl_unet import gdl_unet
from gutseg.models.two_path_cnn import two_path_cnn
from gutseg.models.unet_valid import unet_valid
from gutseg.models.valid import middle, mirrored

# Small forms of every valid network, by its row.
SMALL = {
    "unet_valid": lambda: unet_valid(2, 2, widths=(2, 3, 2, 3, 2)),
    "gdl_unet": lambda: gdl_unet(2, 2, widths=(3, 2, 3)),
    "two_path_cnn": lambda: two_path_cnn(2, 2, widths=(2, 3, 2)),
    "deepmedic": lambda: deepmedic(2, 2, widths=(2, 3) * 4, fused=(4, 3)),
}


@pytest.fixture
def network(request):
    torch.manual_seed(0)
    return SMALL[request.param]().eval()


every = pytest.mark.parametrize("network", SMALL, indirect=True)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 2), (6, 7), (40, 15)])
@pytest.mark.parametrize("side", [1, 2, 5, 8])
@pytest.mark.parametrize("dim", [2, 3])
def test_the_mirror_is_that_of_numpy_at_any_distance(before, after, side, dim):
    images = torch.rand(2, 3, side, side)
    widths = [(0, 0)] * 4
    widths[dim] = (before, after)
    expected = np.pad(images.numpy(), widths, mode="reflect")
    np.testing.assert_array_equal(mirrored(images, dim, before, after).numpy(), expected)


def test_the_middle_of_an_axis():
    features = torch.arange(7.0).reshape(1, 1, 7, 1).expand(1, 1, 7, 5)
    assert middle(features, (3, 5))[0, 0, :, 0].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("row", "seen", "answered"),
    [
        ("unet_valid", 572, 388),  # [Ronneberger 2015] figure 1
        # [Sudre 2017] table 1, the three sizes of every network
        *(("gdl_unet", seen, answered) for seen, answered in ((56, 16), (64, 24), (88, 48))),
        *(("two_path_cnn", seen, answered) for seen, answered in ((51, 19), (63, 31), (85, 53))),
        *(("deepmedic", seen, answered) for seen, answered in ((51, 3), (63, 15), (87, 39))),
    ],
)
def test_the_papers_sizes(row, seen, answered):
    network = SMALL[row]().eval()
    narrowest = network.shrink + (network.remainder or network.stride)
    with torch.no_grad():
        logits = network.valid(torch.rand(1, 2, seen, narrowest))
    assert logits.shape == (1, 2, answered, narrowest - network.shrink)


@every
def test_the_border_is_answered_as_on_the_mirrored_image(network):
    """Bit for bit where the sides fit: it is the same tensor that the bare network sees."""
    lost, step = network.shrink // 2, network.stride
    side = 3 * step + network.remainder
    image = torch.rand(1, 2, side, side + step)
    early = network.margin - lost
    # the mirrored image from `margin` pixels before the first one, in numpy's words
    after = lost + (-early) % step
    pads = ((0, 0), (0, 0), (network.margin, after), (network.margin, after))
    with torch.no_grad():
        bare = network.valid(torch.from_numpy(np.pad(image.numpy(), pads, mode="reflect")))
        found = network(image)
    assert torch.equal(found, bare[:, :, early : early + side, early : early + side + step])


@every
def test_far_from_the_border_the_mirror_is_not_seen(network):
    """The bare network on the image alone gives the same logits, `shrink` / 2 from the border.

    To the last digits of float32: the convolutions are of other sizes, and their sums may be
    taken in another order. With whole numbers it is exact: tests/inference/test_overlap_tile.py.
    """
    lost = network.shrink // 2
    side = network.shrink + 2 * network.stride + network.remainder
    image = torch.rand(1, 2, side, side)
    with torch.no_grad():
        bare = network.valid(image)
        found = network(image)[:, :, lost:-lost, lost:-lost]
    torch.testing.assert_close(found, bare, rtol=1e-5, atol=1e-6)


@every
def test_the_margin_is_what_a_tile_sees_and_no_more(network):
    """In float64, where the faint influence of the outermost pixels is no rounding error."""
    network, step, margin = network.double(), network.stride, network.margin
    for parameter in network.parameters():
        parameter.data.abs_()  # so that no ReLU is dead
    start = -(-margin // step) * step + step
    stop = start + 2 * step
    image = torch.rand(1, 2, stop + margin + 5, step, dtype=torch.float64)
    beyond, edge = image.clone(), image.clone()
    beyond[:, :, : start - margin] += 1e6
    beyond[:, :, stop + margin :] += 1e6
    edge[:, :, start - margin] += 1e6  # so that every maximum takes it
    with torch.no_grad():
        whole, *others = (network(images)[:, :, start:stop] for images in (image, beyond, edge))
    moved = [(other - whole).abs().max() for other in others]
    assert moved[0] == 0
    assert moved[1] > 1e-12


@pytest.mark.parametrize(
    ("row", "shrink", "stride", "margin"),
    [
        # 92 pixels, and 4 more so that tiles start where poolings do
        ("unet_valid", 184, 16, 96),
        ("gdl_unet", 40, 4, 20),
        ("two_path_cnn", 32, 1, 16),
        ("deepmedic", 48, 3, 24),
    ],
)
def test_what_the_networks_state(row, shrink, stride, margin):
    network = SMALL[row]()
    assert (network.shrink, network.stride, network.margin) == (shrink, stride, margin)
