"""The results chapter's analyses on arrays, worked by hand or against plain code."""

import numpy as np
import pytest
from fake_sources import patients
from scipy import ndimage
from scipy.spatial import cKDTree

from gutseg.chapters.results import levels, measuring
from gutseg.chapters.results.false_parts import false_parts
from gutseg.chapters.results.presence import presence_counts
from gutseg.chapters.results.probabilities import mean_of_sums, pooled_dice
from gutseg.chapters.results.surfaces import mean, quantile, sides, signed_counts, verdict
from gutseg.inference.postprocess import finish_scan
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, combine, compare, summarise
from gutseg.metrics.surface import signed_distances

METRIC = METRICS["default"]


def _counts(outside, inside):
    counts = np.zeros((2, 256), np.int64)
    for row, given in zip(counts, (outside, inside), strict=True):
        row[list(given)] = list(given.values())
    return counts


def test_voxels_are_counted_by_probability_and_truth():
    rng = np.random.default_rng(0)
    found = rng.choice([0, 0, 0, 7, 128, 255], (3, 4, 5, 70)).astype(np.uint8)
    truth = rng.random(found.shape) < 0.2
    counts = levels.level_counts(found, BitRows.from_arrays(truth))
    for inside in (0, 1):
        for byte in (0, 7, 128, 255):
            expected = ((found == byte) & (truth == inside)).sum(axis=(2, 3))
            np.testing.assert_array_equal(counts[:, :, inside, byte], expected)
    assert counts.sum() == found.size


def test_dice_at_every_threshold_is_that_of_the_masks():
    rng = np.random.default_rng(1)
    found = rng.integers(0, 256, (3, 4, 6, 9)).astype(np.uint8)
    found[:, 0] = 0
    truth = rng.random(found.shape) < 0.3
    truth[0, :2] = False
    rows = BitRows.from_arrays(truth)
    dice = levels.dice_at_levels(levels.level_counts(found, rows), METRIC)
    for byte in (1, 2, 128, 255):
        masks = BitRows.from_threshold(found, [byte] * 3)
        expected = compare("case1_day0", masks, rows, METRIC, distances=False)
        np.testing.assert_allclose(dice[..., byte], expected.dice)
    means = mean_of_sums(levels.sums_at_levels(dice))
    np.testing.assert_allclose(means[:, 128], np.nanmean(dice[..., 128], axis=1))


def test_pooled_dice_worked_by_hand():
    """At 100: 8 common of 10 predicted and 12 true; at 200: 3 of 4."""
    counts = _counts({0: 50, 100: 1, 200: 1}, {0: 4, 100: 5, 200: 3})
    dice = pooled_dice(counts[None])[0]
    assert dice[[100, 101, 200, 201]] == pytest.approx([16 / 22, 6 / 16, 6 / 16, 0])


def test_reliability_worked_by_hand():
    """Ten voxels at 51/255 = .2 of which three are inside, thirty at .8 of which 27 are."""
    counts = _counts({0: 900, 51: 7, 204: 3}, {0: 99, 51: 3, 204: 27})
    found = levels.reliability(counts)
    assert found.voxels[[2, 8]].tolist() == [10, 30] and found.voxels.sum() == 40
    assert found.predicted[[2, 8]] == pytest.approx([0.2, 0.8])
    assert found.observed[[2, 8]] == pytest.approx([0.3, 0.9])
    assert found.error == pytest.approx(0.1) and np.isnan(found.observed[0])
    # 255 belongs to the last bin, and of nothing there is no error
    assert levels.reliability(_counts({255: 1}, {})).voxels[-1] == 1
    assert np.isnan(levels.reliability(_counts({0: 5}, {0: 5})).error)


def test_slices_by_position():
    truth = np.array([[1, 1, 0, 0, 1, 0]], bool)
    found = np.array([[1, 0, 1, 0, 1, 1]], bool)
    seen = np.array([1, 1, 1, 1, 1, 0], bool)
    counts = presence_counts(truth, found, seen, bins=3)[0]
    # first third: both and missed; second: invented and neither; last: both, one was not predicted
    assert counts.tolist() == [[[0, 0], [1, 1]], [[1, 1], [0, 0]], [[0, 0], [0, 1]]]


def _words(mask):
    return BitRows.from_arrays(mask[None]).words[0]


def test_signed_distances_are_the_definitions():
    rng = np.random.default_rng(2)
    masks = rng.random((2, 5, 9, 70)) < 0.1
    masks = [ndimage.binary_dilation(mask) for mask in masks]
    spacing = np.array([3.0, 1.5, 1.2])
    surfaces = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) for mask in masks]
    distance = cKDTree(surfaces[1] * spacing).query(surfaces[0] * spacing)[0]
    expected = np.where(masks[1][tuple(surfaces[0].T)], -distance, distance)
    found = signed_distances(*map(_words, masks), spacing=tuple(spacing))
    np.testing.assert_allclose(np.sort(found), np.sort(expected))
    assert np.isinf(
        signed_distances(_words(masks[0]), _words(np.zeros_like(masks[0])), spacing=(1,) * 3)
    ).all()


def _boxes(prediction, truth):
    """Two boxes, given as slices, in a volume of 12 x 20 x 30."""
    masks = np.zeros((2, 12, 20, 30), bool)
    masks[0][prediction] = masks[1][truth] = True
    return signed_counts(*map(_words, masks), (1.0, 1.0, 1.0))


def test_too_small_too_large_and_only_displaced():
    small, large = np.s_[3:9, 5:15, 8:22], np.s_[2:10, 4:16, 7:23]
    for boxes, median, word in (
        ((small, large), -1, "too small"),
        ((large, small), 1, "too large"),
        ((small, small), 0, "on the outline"),
        ((np.s_[3:9, 5:15, 10:24], small), 0, "on the outline"),
    ):
        counts = _boxes(*boxes)
        assert quantile(counts, 0.5) == median and verdict(counts) == word
    assert sides(_boxes(small, large)) == (1, 0)
    # faces at 1 mm, edges and corners of the larger box at √2 and √3
    assert -1.3 < mean(_boxes(small, large)) < -1
    short, far = sides(_boxes(np.s_[3:9, 5:15, 10:24], small))
    assert short == pytest.approx(far) and short > 0.1
    # one face alone: half of the surface stays, and the rest falls short
    assert verdict(_boxes(np.s_[3:9, 5:15, 8:20], small)) == "rather too small"
    nothing = _boxes(small, np.s_[0:0])
    assert nothing.sum() == 0 and verdict(nothing) == "not measured"


def test_what_a_false_voxel_costs_worked_by_hand():
    """Volume 4 x 10 x 20: truth at the origin, prediction there and at (3, 9, 19)."""
    truth = np.zeros((1, 4, 10, 20), bool)
    truth[0, 0, 0, :2] = True
    prediction = truth.copy()
    prediction[0, 3, 9, 19] = True
    prediction[0, 1, 0, 0] = True  # touches no truth, but hangs on the part that does
    pair = BitRows.from_arrays(prediction), BitRows.from_arrays(truth)
    result = compare("case1_day0", *pair, METRIC)
    (part,) = false_parts(*pair, result, METRIC)
    assert (part.scan, part.organ, part.voxels, part.first, part.last) == ("case1_day0", 0, 1, 3, 3)
    far = np.sqrt((3 / 4) ** 2 + (9 / 10) ** 2 + (18 / 20) ** 2) / np.sqrt(3)
    near = (1 / 4) / np.sqrt(3)
    assert part.cost == pytest.approx(combine(1 / 2, near) - combine(1 / 3, far))


def test_every_cost_is_that_of_scoring_again():
    source = patients(4, noise=110, cases=1)
    (name,) = source.scans
    probabilities, _ = source.probabilities(name)
    masks = finish_scan(probabilities, source.rules)
    truth = BitRows.from_class_bits(source.data.scan(name).labels, 3)
    result = compare(name, masks, truth, METRIC)
    found = list(false_parts(masks, truth, result, METRIC))
    expected, arrays, inside = [], masks.to_arrays(), truth.to_arrays()
    for organ in range(3):
        marked, count = ndimage.label(arrays[organ], np.ones((3, 3, 3)))
        for part in range(1, count + 1):
            if (marked == part)[inside[organ]].any():
                continue
            left = arrays.copy()
            left[organ][marked == part] = False
            again = compare(name, BitRows.from_arrays(left), truth, METRIC)
            gain = summarise([again], METRIC).score - summarise([result], METRIC).score
            expected.append((organ, int((marked == part).sum()), gain))
    assert len(expected) > 20
    key = lambda one: (one[0], one[1], round(one[2], 9))  # noqa: E731
    ours = sorted(((one.organ, one.voxels, one.cost) for one in found), key=key)
    for one, other in zip(ours, sorted(expected, key=key), strict=True):
        assert one == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("split", [False, True])
def test_one_pass_gives_what_score_gives(split):
    source = patients(3, split=split)
    found = measuring.measure("x", source, METRIC)
    assert [one.scan for one in found.results] == source.scans
    assert sorted(found.folds) == [0, 1] and len(found.folds[0]) == (10 if split else 4)
    expected = []
    for name in source.scans:
        truth = BitRows.from_class_bits(source.data.scan(name).labels, 3)
        masks = BitRows.from_threshold(source.probabilities(name)[0], [128] * 3)
        expected.append(compare(name, masks, truth, METRIC))
    assert summarise(found.results, METRIC) == summarise(expected, METRIC)
    assert found.levels.sum() == 10 * 3 * 8 * 16 * 70
    assert found.presence.sum() == 10 * 3 * 8
    rows = sum(np.isfinite(one.dice).sum() for one in found.results)
    assert found.swept[:, 1, 128].sum() == rows
    if split:  # a fold's rows are its planes alone
        assert all(np.isnan(one.dice[:, 3:]).all() for one in found.folds[0])
