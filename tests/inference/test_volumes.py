"""Whole scans through a network of volumes: windows, weights, scans thinner than a patch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gutseg.config import Predict
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.patches import Patching
from gutseg.data.sources.competition import Competition
from gutseg.data.volume import describe
from gutseg.inference.ensemble import Ensemble, mean_of
from gutseg.inference.evaluate import Evaluator
from gutseg.inference.parts import Part
from gutseg.inference.postprocess import Rule
from gutseg.inference.predictor import NotFinite, Predictor
from gutseg.inference.volumes import VolumePredictor, shares
from gutseg.losses import Criterion

CPU = torch.device("cpu")
INPUTS = Inputs(Stack(slices=1), Scaling(kind="scan"), Geometry(kind="pad", size=(48, 64)))


class Bright(nn.Module):
    """Organ c is where the voxel is brighter than its limit: no voxel sees another."""

    def forward(self, images):
        return 40 * torch.cat([images - limit for limit in (0.5, 0.7, 0.9)], dim=1)


class Where(nn.Module):
    """One logit that tells the place in the window, along one axis."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        shape = [1] * 5
        shape[self.axis] = -1
        return torch.arange(images.shape[self.axis]).float().reshape(shape) + 0 * images


def _volumes(network, patch, inputs=INPUTS, overlap=0.5, **settings):
    patching = Patching(patch=patch, overlap=overlap)
    return VolumePredictor(network, inputs, Predict(**settings), patching=patching, device=CPU)


@pytest.fixture
def opened(cache):
    return Competition(cache, INPUTS)


@pytest.mark.parametrize(
    ("side", "length", "overlap"), [(8, 8, 0.5), (48, 16, 0.5), (47, 16, 0.5), (9, 8, 0), (7, 1, 0)]
)
def test_the_windows_of_an_axis_cover_it_and_their_shares_add_up_to_one(side, length, overlap):
    windows = shares(side, length, overlap)
    starts = [first for first, _ in windows]
    assert starts[0] == 0 and starts[-1] == side - length
    steps = np.diff(starts)
    assert (steps <= np.ceil(length * (1 - overlap))).all() and (steps > 0).all()
    total = torch.zeros(side)
    for first, share in windows:
        assert share.shape == (length,) and (share > 0).all()
        total[first : first + length] += share
    torch.testing.assert_close(total, torch.ones(side), rtol=0, atol=1e-6)


def test_weights_are_a_gaussian_of_an_eighth_of_the_window():
    """Two windows of 16 that share voxels 8 to 15; 8 lies in the middle of neither."""
    (_, one), (_, two) = shares(24, 16, 0.5)
    weight = np.exp(-(((np.arange(16) - 7.5) / 2) ** 2) / 2)
    np.testing.assert_allclose(one[8:], weight[8:] / (weight[8:] + weight[:8]), rtol=1e-5)
    np.testing.assert_allclose(one[:8], 1)
    np.testing.assert_allclose(one[8:] + two[:8], 1, rtol=1e-6)
    assert one[8] > 0.998


@pytest.mark.parametrize(
    "patch", [(4, 32, 32), (3, 20, 64), (8, 48, 64), (16, 80, 100), (1, 16, 16), (5, 48, 96)]
)
@pytest.mark.parametrize("edge", ["clamp", "blank"])
def test_windows_of_a_pointwise_network_are_the_whole_volume(opened, patch, edge):
    inputs = replace(INPUTS, stack=Stack(slices=1, edge=edge))
    scan = opened.scan("case2_day0")  # 8 x 40 x 48
    images = torch.from_numpy(inputs.images(scan, np.arange(8)))  # (Z, 1, h, w)
    whole = Bright()(images)
    found = _volumes(Bright(), patch, inputs, batch_size=3).logits(images)
    torch.testing.assert_close(found, whole, rtol=1e-6, atol=4e-5)  # logits up to 36
    flat = Predictor(Bright(), inputs, Predict(tta="flips"), device=CPU)(scan)
    volumes = _volumes(Bright(), patch, inputs, tta="flips")
    np.testing.assert_allclose(volumes(scan).astype(int), flat, atol=1)
    some = volumes(scan, np.array([5, 2]))
    np.testing.assert_array_equal(some, volumes(scan)[:, [5, 2]])


def test_every_axis_is_put_back_where_it_was(opened):
    """Two windows an axis: the mean of both places, by their Gaussians."""
    images = torch.zeros(12, 1, 48, 64)
    for axis, (side, length) in enumerate(((12, 8), (48, 32), (64, 40)), start=2):
        found = _volumes(Where(axis), (8, 32, 40), overlap=0.5).logits(images)
        windows = shares(side, length, 0.5)
        expected = torch.zeros(side)
        for first, share in windows:
            expected[first : first + length] += share * torch.arange(length)
        line = found.movedim([0, 2, 3], [0, 1, 2])[..., 0]  # (Z, h, w)
        line = line.movedim(axis - 2, -1)
        torch.testing.assert_close(line, expected.expand_as(line), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("edge", ["clamp", "reflect", "blank"])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_scan_of_few_slices_is_filled_up_as_the_stack_says(opened, depth, edge):
    inputs = replace(INPUTS, stack=Stack(slices=1, edge=edge))
    scan = describe("case7_day0", np.array(opened.scan("case1_day0").image[:depth]))
    network = Where(2)
    found = _volumes(network, (8, 64, 64), inputs)(scan)
    assert found.shape == (1, depth, *scan.shape[1:])
    (seen,) = network.seen
    assert seen.shape == (1, 1, 8, 64, 64)
    first = (8 - depth) // 2
    beyond = {"clamp": 0, "reflect": 1, "blank": None}[edge] if depth > 1 else 0
    own = torch.from_numpy(inputs.images(scan, np.arange(depth)))[:, 0]
    inside = seen[0, 0, :, 8:-8]  # black rows above and below
    torch.testing.assert_close(inside[first : first + depth], own)
    if edge == "blank":
        assert not inside[:first].any() and not inside[first + depth :].any()
    else:
        torch.testing.assert_close(inside[first - 1], own[beyond])
    assert not seen[..., :8, :].any() and not seen[..., -8:, :].any()
    # the slices stand in the middle of the window
    logits = np.arange(first, first + depth)
    middle = found[0, :, 20, 24]
    np.testing.assert_allclose(middle, 255 / (1 + np.exp(-logits)), atol=1)


def test_a_network_whose_logits_are_not_finite_is_refused(opened):
    class Broken(Bright):
        def forward(self, images):
            return super().forward(images) * float("nan")

    with pytest.raises(NotFinite, match="the network predicts .* of case1_day0"):
        _volumes(Broken(), (8, 48, 64))(opened.scan("case1_day0"))


def test_an_ensemble_of_images_and_volumes_keeps_the_planes_of_its_scans_apart(opened):
    """Both see the same stacks of one slice; of the second scan two planes are asked for."""
    scans = [opened.scan(name) for name in ("case1_day0", "case2_day0")]
    parts = [Part(scans[0], np.arange(8)), Part(scans[1], np.array([3, 6]))]
    flat, volumes = Predictor(Bright(), INPUTS, device=CPU), _volumes(Bright(), (4, 32, 32))
    expected = np.concatenate([flat(part.scan, part.z) for part in parts], axis=1)
    for members in ([flat, volumes], [volumes, flat, volumes]):
        mean = mean_of(members, [1.0] * len(members), parts)
        np.testing.assert_allclose(mean.astype(int), expected, atol=1)
    one = Ensemble([volumes], [1.0], [Rule(0.5)] * 3).masks(parts)
    assert not one[1].to_arrays()[:, [0, 1, 2, 4, 5, 7]].any() and one[1].to_arrays()[:, 3].any()


def test_windows_that_do_not_fit_into_the_memory_are_taken_in_halves(opened, caplog):
    class Large(Bright):
        def forward(self, images):
            if len(images) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().forward(images)

    scan = opened.scan("case1_day0")
    found = _volumes(Large(), (4, 32, 32), batch_size=5)(scan)
    np.testing.assert_array_equal(found, _volumes(Bright(), (4, 32, 32))(scan))
    expected = ["the network: out of memory at 5 windows; 2 at a time from now on"]
    assert caplog.messages == expected


def test_training_measures_a_network_of_volumes_as_it_does_its_slices(opened):
    """A pointwise network is the same network of images: every measure is the same."""
    rows = opened.index[opened.index["scan"].isin(["case1_day0", "case5_day0"])]

    def measured(make):
        evaluate = Evaluator(opened, rows, make, Criterion("bce"))
        return evaluate(Bright(), True)

    flat = measured(lambda network: Predictor(network, INPUTS, device=CPU))
    volumes = measured(lambda _: _volumes(Bright(), (4, 32, 32)))
    assert flat.keys() == volumes.keys()
    for key, value in flat.items():
        assert volumes[key] == pytest.approx(value, rel=1e-4, nan_ok=True), key
