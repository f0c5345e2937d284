"""Intervals over patients: the means are those of summarise, and intervals contain the truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gutseg.metrics.competition import METRICS, ScanResult, combine, dice_rows, summarise
from gutseg.metrics.intervals import (
    LEVEL,
    differences,
    intervals,
    patient_sums,
    ratio_intervals,
)

PHANTOM = Path(__file__).with_name("phantom_patients.csv")


def _result(scan, metric, rng, depth):
    truth, found = rng.integers(0, 30, (2, 3, depth)) * (rng.random((2, 3, depth)) < 0.6)
    common = (np.minimum(truth, found) * rng.random((3, depth))).astype(int)
    shape = {"scan": (3,), "union": (1,), "slice": (3, depth)}[metric.volume]
    distance = np.where(rng.random(shape) < 0.2, np.nan, rng.random(shape))
    return ScanResult(scan, dice_rows(common, found, truth, metric), distance, common, found, truth)


@pytest.mark.parametrize("name", METRICS)
def test_with_every_patient_once_the_values_are_those_of_summarise(name):
    metric, rng = METRICS[name], np.random.default_rng(3)
    scans = [f"case{case}_day{day}" for case in range(7) for day in range(case % 3 + 1)]
    results = [_result(scan, metric, rng, 4 + number % 3) for number, scan in enumerate(scans)]
    sums = patient_sums(results, metric)
    found, expected = intervals([*sums.values()]), summarise(results, metric)
    assert [*sums] == [f"case{case}" for case in range(7)]
    for key in ("score", "dice", "hausdorff"):
        value, low, high = found[key]
        assert value == pytest.approx(getattr(expected, key), abs=1e-12)
        assert low < value < high


def _of(dice, distance, rows=1, volumes=1):
    return np.array([[dice * rows, rows], [distance * volumes, volumes]])


def test_three_patients_worked_by_hand():
    """Dice .4, .5, .6: mean .5, standard error .1/√3, and 4.3027 is Student's t of 2 degrees."""
    found = intervals([_of(0.4, 0.0), _of(0.5, 0.0), _of(0.6, 0.0)])
    reach = 4.3027 * 0.1 / 3**0.5
    assert found["dice"] == pytest.approx((0.5, 0.5 - reach, 0.5 + reach), abs=1e-4)
    assert found["hausdorff"] == (0, 0, 0)
    # 0.4 · Dice + 0.6, cut at 1
    assert found["score"] == pytest.approx((0.8, 0.8 - 0.4 * reach, 0.8 + 0.4 * reach), abs=1e-4)
    low = intervals([_of(0.1, 0.0), _of(0.0, 0.0), _of(0.3, 0.0)])["dice"]
    assert low.low == 0 and low.high > 0.4


def test_a_patient_with_more_rows_counts_more():
    found = intervals([_of(1.0, 0.5, rows=30), _of(0.5, 0.5, rows=10)])
    assert found["dice"].value == pytest.approx(35 / 40)
    assert found["score"].value == pytest.approx(combine(35 / 40, 0.5))


def test_one_patient_has_no_interval_and_nobody_no_value():
    value, low, high = intervals([_of(0.4, 0.1)])["score"]
    assert value == pytest.approx(0.7) and np.isnan([low, high]).all()
    assert all(np.isnan(one).all() for one in intervals([]).values())


def test_classes_without_volumes_have_a_dice_and_no_score():
    found = intervals([_of(part, 0.0, volumes=0) for part in (0.1, 0.5, 0.2, 0.3, 0.4, 0.6, 0.7)])
    assert np.isnan(found["score"]).all() and np.isnan(found["hausdorff"]).all()
    assert found["dice"].low < 0.4 < found["dice"].high


def test_the_bootstrap_is_the_textbooks():
    """Bootstrap-t of a mean, one resample after the other."""
    values = np.array([0.9, 0.85, 0.8, 0.92, 0.3, 0.88, 0.7, 0.86])
    rng, seen = np.random.default_rng(0), []
    for counts in rng.multinomial(8, np.full(8, 1 / 8), 2000):
        again = np.repeat(values, counts)
        # a resample of one patient alone has no spread: a quarter of all patients' is the least
        error = max(again.std() / 7**0.5, stats.sem(values) / 4)
        seen.append((again.mean() - values.mean()) / error)
    t = np.quantile(seen, [0.975, 0.025])
    expected = values.mean() - t * stats.sem(values)
    sums = np.stack([values, np.ones(8)], axis=-1)[:, None]
    (found,) = ratio_intervals(sums, np.ones((1, 1)))
    assert found == pytest.approx((values.mean(), *expected), abs=1e-9)
    # skewed to the left: the mean may be much lower than it looks, hardly higher
    assert found.value - found.low > 2 * (found.high - found.value)


def test_the_linearised_error_is_close_to_the_jackknifes():
    rng = np.random.default_rng(1)
    sums = [_of(d, h, n, v) for d, h, n, v in rng.uniform(0.2, 0.9, (40, 4)) * [1, 1, 90, 9]]
    whole = np.stack(sums)
    left = [intervals([np.delete(whole, p, axis=0).sum(axis=0)])["score"].value for p in range(40)]
    jackknife = (39 / 40 * ((left - np.mean(left)) ** 2).sum()) ** 0.5
    _, low, high = intervals(sums)["score"]
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 39) * jackknife, rel=0.06)


@pytest.mark.parametrize("outliers", [1, 2])
def test_one_patient_who_stands_out_does_not_send_the_interval_to_infinity(outliers):
    """Of 20 patients one or two differ between two runs: most resamples show no spread at all."""
    sums = [_of(0.8, 0.1)] * 20
    others = [_of(0.6, 0.1)] * outliers + sums[outliers:]
    score, dice, _ = differences(sums, others).values()
    assert dice.value == pytest.approx(0.2 * outliers / 20)
    assert -0.01 < dice.low <= 0 < dice.value < dice.high < 0.25
    assert score.high == pytest.approx(0.4 * dice.high)


def test_a_class_that_one_patient_alone_shows_has_no_interval():
    nobody = np.zeros((2, 2))
    found = intervals([_of(0.8, 0.1), *[nobody] * 11])
    assert found["dice"].value == pytest.approx(0.8) and np.isnan(found["dice"].low)
    assert np.isnan(differences([_of(0.8, 0.1), nobody], [_of(0.7, 0.1), nobody])["score"].high)


def test_differences_are_paired():
    rng = np.random.default_rng(2)
    spread, noise = rng.uniform(0.3, 0.9, 12), rng.normal(0, 0.005, 12)
    sums = [_of(one, 0.1) for one in spread]
    better = [_of(one + 0.02 + by, 0.1) for one, by in zip(spread, noise, strict=True)]
    assert differences(sums, sums)["score"] == pytest.approx((0, 0, 0), abs=1e-12)
    found = differences(better, sums)["dice"]
    assert found.low > 0.01 and found.high < 0.03
    assert found.value == pytest.approx(0.02 + noise.mean())
    alone = intervals(sums)["dice"]
    assert alone.high - alone.low > 10 * (found.high - found.low)


def _population():
    """Sums of phantom patients under a network that has never seen them: (P, 2, 2)."""
    table = pd.read_csv(PHANTOM).groupby("case", sort=False).sum(numeric_only=True)
    columns = ["dice", "rows", "distance", "volumes"]
    return table[columns].to_numpy().reshape(-1, 2, 2)


def _coverage(patients, worlds, seed):
    """Share of the worlds whose interval contains the score of the whole population."""
    people, rng = _population(), np.random.default_rng(seed)
    truth = intervals([people.sum(axis=0)])["score"].value
    found = [
        intervals(people[rng.integers(0, len(people), patients)])["score"] for _ in range(worlds)
    ]
    return np.mean([low <= truth <= high for _, low, high in found])


@pytest.mark.parametrize("patients", [12, 85])
def test_the_interval_contains_the_truth_in_93_to_97_percent_of_200_phantom_worlds(patients):
    """More worlds, other numbers of patients and harder populations: docs/metric.md."""
    assert 0.93 <= _coverage(patients, 200, seed=0) <= 0.97
    assert LEVEL == 0.95
