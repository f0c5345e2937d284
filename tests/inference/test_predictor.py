"""Whole scans through a network, with networks whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from gutseg.config import Predict
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources.competition import Competition
from gutseg.data.volume import describe
from gutseg.engine.presence import WithPresence
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.evaluate import COLUMNS, Evaluator, _columns
from gutseg.inference.looks import LOOKS
from gutseg.inference.postprocess import Rule
from gutseg.inference.predictor import Predictor, probabilities
from gutseg.losses import Criterion
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, compare, summarise
from gutseg.models.presence import Gate

CPU = torch.device("cpu")
INPUTS = Inputs(Stack(slices=3), Scaling(kind="scan"), Geometry(kind="pad", size=(48, 64)))


class Bright(nn.Module):
    """Organ c is where the centre slice is brighter than its limit."""

    def forward(self, images):
        centre = images[:, 1:2]
        return 40 * torch.cat([centre - limit for limit in (0.5, 0.7, 0.9)], dim=1)


class Ramp(nn.Module):
    """Logits that rise from left to right, whatever the image."""

    def forward(self, images):
        ramp = torch.linspace(-2, 2, images.shape[-1]).expand(
            *images.shape[:1], 3, *images.shape[2:]
        )
        return ramp + 0 * images[:, :1]


@pytest.fixture
def opened(cache):
    return Competition(cache, INPUTS)


def test_a_scan_comes_back_at_native_size_in_place(opened):
    scan = opened.scan("case2_day0")
    found = Predictor(Bright(), INPUTS, Predict(batch_size=3), device=CPU)(scan)
    grey = scan.image / scan.percentile(100)
    for organ, limit in enumerate((0.5, 0.7, 0.9)):
        expected = np.rint(255 / (1 + np.exp(-40 * (grey - limit))))
        np.testing.assert_allclose(found[organ], expected, atol=1)
    some = Predictor(Bright(), INPUTS, Predict(batch_size=64), device=CPU)(scan, np.array([5, 2]))
    np.testing.assert_array_equal(some, found[:, [5, 2]])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_probabilities_that_are_not_finite_are_refused(opened, value):
    """A byte cannot say NaN: it would be 0, an empty mask. An infinite logit is certainty."""

    class Broken(Bright):
        def forward(self, images):
            logits = super().forward(images)
            logits[-1, 2, 3, 4] = value
            return logits

    predictor = Predictor(Broken(), INPUTS, Predict(tta="hflip"), device=CPU, name="runs/x/fold3")
    scan = opened.scan("case1_day0")
    if np.isnan(value):
        with pytest.raises(ValueError, match="runs/x/fold3 predicts probabilities of case1_day0"):
            predictor(scan, np.array([2]))
        with pytest.raises(ValueError, match="the network predicts .* that are not finite"):
            _evaluate(opened, Broken(), opened.index[opened.index["scan"] == scan.name])
    else:
        assert predictor(scan, np.array([2])).shape == (3, 1, *scan.shape[1:])


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_the_network_runs_in_the_precision_asked_for(opened, dtype):
    seen = []

    class Precision(Bright):
        def forward(self, images):
            seen.append(
                torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
            )
            return super().forward(images)

    found = Predictor(Precision(), INPUTS, device=CPU, dtype=dtype)(opened.scan("case1_day0"))
    assert set(seen) == {dtype} and found.dtype == np.uint8


def test_the_network_goes_to_the_device_and_stops_training():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout())
    found = Predictor(network, INPUTS, device=torch.device("meta")).model
    assert found[0].weight.device.type == "meta" and not found[1].training


def test_flips_are_undone_before_the_mean():
    images = torch.rand(2, 3, 8, 8)
    bright = probabilities(Bright(), images)
    for flips in ("hflip", "flips"):
        torch.testing.assert_close(probabilities(Bright(), images, LOOKS[flips]), bright)
        ramp = probabilities(Ramp(), images, LOOKS[flips])
        torch.testing.assert_close(ramp, ramp.flip(3))
        assert not torch.allclose(ramp, probabilities(Ramp(), images))


def test_a_network_that_sees_the_whole_image_says_once_that_it_is_tiled(caplog):
    inputs = Inputs(Stack(), Scaling(), Geometry(kind="native"))
    for name in ("", "tiled_test"):
        made = Predictor(Bright(), inputs, Predict(tile=32), device=CPU, whole=name)
        for side in (32, 40, 40):
            made.logits(torch.rand(1, 3, side, side))
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "network tiled_test"
    ]


class Headed(nn.Module):
    """Masks of the middle slice's brightness, and a head that believes in nothing."""

    def __init__(self, effect):
        super().__init__()
        self.gate = Gate(effect)

    def forward(self, images):
        masks = Bright()(images)
        return self.gate(masks, torch.full(masks.shape[:2], -8.0))


def test_losses_are_of_the_masks_before_the_gate_and_the_head_is_measured(opened):
    rows = opened.index[opened.index["case"] == 5]
    plain, off, gated = (
        _evaluate(opened, network, rows)
        for network in (Bright(), Headed("off"), Headed("threshold"))
    )
    for found in (off, gated):
        assert found["val_loss"] == pytest.approx(plain["val_loss"] + found["val_presence"])
        assert found["presence_auc"] == 0.5  # the same for every slice
        assert found["presence_accuracy_stomach"] < 1
    assert off["dice"] == plain["dice"] > 0 and gated["dice"] != plain["dice"]
    assert not any("presence" in key for key in plain)


def test_an_ensemble_weighs_and_cuts(opened):
    scan = opened.scan("case1_day0")
    predictors = [Predictor(net, INPUTS, device=CPU) for net in (Bright(), Ramp())]
    z = np.arange(2, 6)
    masks = Ensemble(predictors, [3.0, 1.0], [Rule(0.6)] * 3)(scan, z)
    mean = sum(w * p(scan, z).astype(float) for w, p in zip((0.75, 0.25), predictors, strict=True))
    expected = np.zeros((3, *scan.shape), bool)
    expected[:, z] = np.rint(mean) >= 153
    np.testing.assert_array_equal(masks.to_arrays(), expected)


def _evaluate(opened, network, rows, with_score=True, **share):
    def wrap(model):
        return Predictor(model, INPUTS, Predict(batch_size=5), device=CPU)

    criterion = WithPresence(Criterion("bce_dice"), 0.2)
    return Evaluator(opened, rows, wrap, criterion, **share)(network, with_score)


def test_validation_is_the_competition_metric_on_native_volumes(opened):
    rows = opened.index[opened.index["case"].isin([1, 5])]
    found = _evaluate(opened, Bright(), rows)
    results = []
    for name in rows["scan"].unique():
        scan = opened.scan(name)
        bright = Predictor(Bright(), INPUTS, device=CPU)(scan) >= 128
        pair = BitRows.from_arrays(bright), BitRows.from_class_bits(np.asarray(scan.mask), 3)
        results.append(compare(name, *pair, METRICS["default"]))
    whole = summarise(results, METRICS["default"])
    assert found["score"] == pytest.approx(whole.score)
    assert found["dice"] == pytest.approx(whole.dice)
    assert found["hausdorff"] == pytest.approx(whole.hausdorff)
    counts = [
        np.concatenate([getattr(r, k)[0] for r in results])
        for k in ("intersection", "prediction", "truth")
    ]
    union = counts[1] + counts[2] - counts[0]
    iou = (counts[0][union > 0] / union[union > 0]).mean()
    assert found["iou_large_bowel"] == pytest.approx(iou)
    assert 0.5 < found["accuracy"] < 1
    # of the slices that show the class alone: a false alarm on an empty one costs nothing
    common, predicted, truth = (
        np.concatenate([getattr(r, key).ravel() for r in results])
        for key in ("intersection", "prediction", "truth")
    )
    assert (predicted[truth == 0] > 0).any()
    shown = (2 * common / (predicted + truth).clip(1))[truth > 0].mean()
    assert found["dice_shown"] == pytest.approx(shown) and shown > found["dice"]
    assert all(type(value) is float for value in found.values())


def test_a_rank_without_scans_calls_no_collective_alone(opened, monkeypatch):
    def alone(*_):
        raise AssertionError("the other ranks do not call it")

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", alone)
    rows = opened.index[opened.index["scan"] == "case1_day0"]
    found = [_evaluate(opened, Bright(), rows, rank=rank, world_size=2) for rank in (0, 1)]
    assert list(found[0]) == list(found[1])


def test_accuracy_counts_every_pixel(opened):
    class Nothing(nn.Module):
        def forward(self, images):
            return torch.full((len(images), 3, *images.shape[2:]), -9.0) + 0 * images[:, :1]

    rows = opened.index[opened.index["scan"] == "case1_day0"]
    mask = np.asarray(opened.scan("case1_day0").mask)
    found = _evaluate(opened, Nothing(), rows)
    assert found["accuracy_stomach"] == pytest.approx(1 - (mask >> 2 & 1).mean())
    assert found["dice"] == 0 and found["hausdorff"] == 1 and found["score"] == 0


def test_only_the_listed_slices_count(opened):
    rows = opened.index.query("scan == 'case1_day0' and z >= 3 and z < 6")
    scan = opened.scan("case1_day0")
    prediction = np.zeros((3, *scan.shape), bool)
    prediction[:, 3:6] = Predictor(Bright(), INPUTS, device=CPU)(scan, np.arange(3, 6)) >= 128
    truth = np.zeros(scan.shape, np.uint8)
    truth[3:6] = scan.mask[3:6]
    pair = BitRows.from_arrays(prediction), BitRows.from_class_bits(truth, 3)
    expected = summarise([compare("x", *pair, METRICS["default"])], METRICS["default"])
    assert _evaluate(opened, Bright(), rows)["score"] == pytest.approx(expected.score)


def test_ranks_share_the_scans(opened):
    rows = opened.index
    whole = _evaluate(opened, Bright(), rows)
    sent = []

    def remember(tensor):
        sent.append(tensor)
        return tensor

    for rank in range(8):  # more ranks than scans: two have nothing to do
        _evaluate(opened, Bright(), rows, rank=rank, world_size=8, all_reduce=remember)
    total = sum(sent)
    joined = _evaluate(opened, Bright(), rows, rank=7, world_size=8, all_reduce=lambda _: total)
    for key, value in whole.items():
        assert joined[key] == pytest.approx(value, nan_ok=True), key


@pytest.mark.parametrize("planes", [[2], [1, 4], [0, 1, 2, 3, 4, 5, 6]])
def test_losses_are_means_over_slices(opened, planes):
    """Batches are of five slices: the mean of two batches weighs them by their slices."""
    rows = opened.index[(opened.index["scan"] == "case1_day0") & opened.index["z"].isin(planes)]
    found = _evaluate(opened, Bright(), rows)
    scan, z = opened.scan("case1_day0"), np.array(planes)
    images = torch.from_numpy(INPUTS.images(scan, z))
    target = torch.from_numpy(opened.masks(INPUTS.labels(scan, z)))
    parts = [slice(0, 5), slice(5, 10)][: 1 + (len(z) > 5)]
    each = [Criterion("bce_dice")(Bright()(images[p]), target[p]) for p in parts]
    share = [len(z[p]) / len(z) for p in parts]
    for key in ("bce", "dice"):
        expected = sum(n * float(terms[key]) for n, (_, terms) in zip(share, each, strict=True))
        assert found[f"val_{key}"] == pytest.approx(expected, rel=1e-5)
    total = sum(n * float(loss) for n, (loss, _) in zip(share, each, strict=True))
    assert found["val_loss"] == pytest.approx(total, rel=1e-5)


def test_where_no_row_is_kept_the_score_is_never_the_best():
    sums = np.zeros((len(COLUMNS), 2, 3))
    sums[0, :, 1] = 1.5, 2
    found = _columns(sums, True)
    assert found["dice"] == found["dice_small_bowel"] == 0.75 and found["hausdorff"] == 1
    assert np.isnan(found["dice_stomach"]) and found["score"] == pytest.approx(0.3)
    empty = _columns(np.zeros((len(COLUMNS), 2, 3)), True)
    assert [empty[key] for key in ("dice", "iou", "accuracy", "hausdorff", "score")] == [
        *(0, 0, 0, 1, 0)
    ]


def test_without_score_no_distance_is_computed(opened):
    found = _evaluate(opened, Bright(), opened.index, with_score=False)
    assert "score" not in found and "hausdorff" not in found
    assert {"val_loss", "val_bce", "val_dice", "dice", "iou", "accuracy"} <= set(found)


@pytest.mark.parametrize(("side", "largest"), [(30, 8), (64, 4), (200, 1)])
def test_a_grown_input_comes_in_batches_of_the_same_memory(side, largest):
    """Four times the pixels and the batch of 16 that just fitted would end the kernel."""
    scan = describe("case1_day0", np.ones((9, side, side), np.uint16))
    inputs = Inputs(Stack(slices=1), Scaling(kind="scan"), Geometry(kind="pad", size=(32, 64)))
    predictor = Predictor(
        torch.nn.Identity(), inputs, Predict(batch_size=8), device=torch.device("cpu")
    )
    sizes = [len(images) for _, images in predictor.batches(scan, np.arange(9))]
    assert sum(sizes) == 9 and max(sizes) == largest
