"""Every reading of the metric against a plain transcription of its definition (readings.py)."""

import warnings

import numpy as np
import pytest
from readings import PLAIN

from gutseg.constants import CLASSES
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import (
    METRICS,
    accuracy_rows,
    combine,
    compare,
    iou_rows,
    of_class,
    summarise,
)
from gutseg.synthetic import draw_labels, roster


def _organs(labels):
    return np.stack([labels >> bit & 1 for bit in range(3)]).astype(bool)


def _worsen(truth, rng):
    """Shift, cut, drop and add: what predictions do; also specks and false organs."""
    prediction = np.roll(truth, rng.integers(-2, 3, 3), axis=(1, 2, 3))
    for organ in prediction:
        if rng.random() < 0.3:
            organ[rng.integers(len(organ))] = False
        if rng.random() < 0.5:
            z, y, x = (rng.integers(side - 2) for side in organ.shape)
            organ[z, y : y + 2, x : x + 2] = True
        if rng.random() < 0.08:
            organ[:] = False
    if rng.random() < 0.1:
        truth[rng.integers(3)] = False
    if rng.random() < 0.05:
        prediction[2, :, 5:-5, 5:-5] = True  # far too much: mle-bench's tenfold rule
    return prediction


def _pairs(number, preset="small"):
    scans = [scan for part in roster(30, seed=5, preset=preset) for scan in part]
    rng = np.random.default_rng(0)
    for scan in scans[:number]:
        truth = _organs(draw_labels(5, scan))
        prediction = _worsen(truth, rng)
        yield scan.name, prediction, truth


def _fast(scans, metric):
    results = [
        compare(name, BitRows.from_arrays(p), BitRows.from_arrays(g), metric)
        for name, p, g in scans
    ]
    return summarise(results, metric), results


def _check(name, scans):
    found, _ = _fast(scans, METRICS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nanmean of scans without any organ
        dice, distance = PLAIN[name]([(p, g) for _, p, g in scans])
    assert found.dice == pytest.approx(dice, abs=1e-9)
    assert found.hausdorff == pytest.approx(distance, abs=1e-9)
    assert found.score == pytest.approx(0.4 * dice + 0.6 * (1 - distance), abs=1e-9)


@pytest.fixture(scope="module")
def few():
    return list(_pairs(4))


def test_every_metric_has_a_transcription():
    assert set(PLAIN) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_four_phantom_scans(name, few):
    _check(name, few)


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
def test_fifty_phantom_scans(name, fifty):
    _check(name, fifty)


@pytest.fixture(scope="module")
def fifty():
    return list(_pairs(50))


def test_the_metrics_differ(few):
    scores = {name: _fast(few, metric)[0].score for name, metric in METRICS.items()}
    assert len({round(score, 6) for score in scores.values()}) == len(METRICS)


def _rows(p, g):
    return BitRows.from_arrays(np.array(p, bool)), BitRows.from_arrays(np.array(g, bool))


def test_one_false_voxel_worked_by_hand():
    """Volume 4 x 10 x 20, truth one voxel at the origin, prediction also one at (3, 9, 19)."""
    truth = np.zeros((1, 4, 10, 20), bool)
    truth[0, 0, 0, 0] = True
    prediction = truth.copy()
    prediction[0, 3, 9, 19] = True
    far = np.sqrt((3 / 4) ** 2 + (9 / 10) ** 2 + (19 / 20) ** 2) / np.sqrt(3)
    found = compare("s", *_rows(prediction, truth), METRICS["default"])
    assert found.hausdorff[0] == pytest.approx(far)
    np.testing.assert_array_equal(found.dice[0], [1, np.nan, np.nan, 0])
    swapped = compare("s", *_rows(truth, prediction), METRICS["one_sided"])
    assert swapped.hausdorff[0] == 0  # a missed voxel costs nothing from prediction to truth
    summary = summarise([found], METRICS["default"])
    assert (summary.dice, summary.score) == (0.5, pytest.approx(0.2 + 0.6 * (1 - far)))
    assert summary.counts == {"rows": 4, "kept": 2, "dropped": 2, "empty": 2}


@pytest.mark.parametrize("name", ["no_sqrt3_clip", "carno_april"])
def test_a_distance_beyond_one_is_clipped(name):
    """Corner to corner of 4 x 10 x 20 is sqrt(.75² + .9² + .95²) = 1.51 in those coordinates."""
    near, far = np.zeros((2, 1, 4, 10, 20), bool)
    near[0, 0, 0, 0] = far[0, 3, 9, 19] = True
    assert compare("s", *_rows(far, near), METRICS[name]).hausdorff[0] == 1


@pytest.mark.parametrize(("voxels", "distance"), [(10, 9 / 20 / np.sqrt(3)), (11, 1.0)])
def test_a_prediction_of_more_than_ten_times_the_truth_is_oversized(voxels, distance):
    truth, prediction = np.zeros((2, 1, 2, 3, 20), bool)
    truth[0, 0, 0, 0] = True
    prediction[0, 0, 0, :voxels] = True
    found = compare("s", *_rows(prediction, truth), METRICS["mle_bench"])
    assert found.hausdorff[0] == pytest.approx(distance)


def test_empties():
    full, empty = np.ones((1, 2, 3, 3), bool), np.zeros((1, 2, 3, 3), bool)
    metric = METRICS["default"]
    both = compare("s", *_rows(empty, empty), metric)
    assert np.isnan(both.dice).all() and np.isnan(both.hausdorff).all()
    for pair in ((full, empty), (empty, full)):
        one = compare("s", *_rows(*pair), metric)
        assert (one.dice == 0).all() and one.hausdorff[0] == 1
        assert summarise([one], metric).score == 0
    same = compare("s", *_rows(full, full), metric)
    assert summarise([same, both], metric).score == 1
    assert np.isnan(summarise([both], metric).score)
    assert np.isnan(summarise([], metric).dice)


def test_an_all_empty_submission_scores_zero(few):
    """As the public sample submission did on Kaggle."""
    blank = [(name, np.zeros_like(p), g) for name, p, g in few]
    assert _fast(blank, METRICS["default"])[0].score == 0


def test_classes_and_counts(few):
    metric = METRICS["default"]
    whole, results = _fast(few, metric)
    parts = [summarise([of_class(r, organ) for r in results], metric) for organ in CLASSES]
    kept = np.array([part.counts["kept"] for part in parts])
    assert kept.sum() == whole.counts["kept"]
    assert whole.dice == pytest.approx((kept * [part.dice for part in parts]).sum() / kept.sum())
    union, results = _fast(few, METRICS["mle_bench"])
    assert summarise([of_class(r, "stomach") for r in results], METRICS["mle_bench"]).hausdorff == (
        union.hausdorff
    )


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"s: prediction \(1, 2, 3, 4\), truth \(1, 2, 3, 5\)"):
        compare("s", *_rows(np.ones((1, 2, 3, 4)), np.ones((1, 2, 3, 5))), METRICS["default"])


def test_without_distances():
    full = np.ones((3, 2, 3, 3), bool)
    found = compare("s", *_rows(full, full), METRICS["default"], distances=False)
    assert np.isnan(found.hausdorff).all() and (found.dice == 1).all()


def test_combine_is_forty_sixty():
    assert combine(1.0, 1.0) == 0.4 and combine(0.0, 0.0) == 0.6


def test_iou_and_accuracy_of_rows():
    counts = np.array([[4, 0]]), np.array([[6, 0]]), np.array([[8, 0]])
    np.testing.assert_allclose(iou_rows(*counts), [[0.4, np.nan]])
    one = np.ones((1, 1))
    assert iou_rows(one, one, one) == 1 and iou_rows(0 * one, one, 0 * one) == 0
    np.testing.assert_allclose(accuracy_rows(*counts, 100), [[0.94, 1.0]])
