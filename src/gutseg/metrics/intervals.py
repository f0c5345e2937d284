"""Intervals of the competition score from a bootstrap over patients.

Slices and scans of one patient resemble each other, so patients are drawn, not slices. Every mean
of a summary is a ratio of two sums over patients: what was summed, and how many entered.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

from gutseg.constants import DICE_WEIGHT, HAUSDORFF_WEIGHT
from gutseg.metrics.competition import Metric, ScanResult

RESAMPLES = 2000
LEVEL = 0.95
# With fewer patients too few resamples differ, and the t distribution has to do.
FEWEST_TO_RESAMPLE = 6
# of a resample, over the error of all patients
LEAST_SPREAD = 0.25
# what a quantity of QUANTITIES is made of: weights of the mean Dice and the mean distance, and
# what is added
QUANTITIES = {
    "score": (DICE_WEIGHT, -HAUSDORFF_WEIGHT, HAUSDORFF_WEIGHT),
    "dice": (1.0, 0.0, 0.0),
    "hausdorff": (0.0, 1.0, 0.0),
}


class Interval(NamedTuple):
    """A value and the ends of its interval, NaN where there is none."""

    value: float
    low: float
    high: float

    def within(self, least: float, most: float) -> "Interval":
        """Cut what a quantity cannot be; NaN stays."""
        return Interval(*np.clip(self, least, most).tolist())


def patient_of(scan: str) -> str:
    """Return the patient of a scan: case2 of case2_day1."""
    return scan.split("_")[0]


def patient_sums(results: Sequence[ScanResult], metric: Metric) -> dict[str, np.ndarray]:
    """Return what the means of `summarise` are made of, by patient: (2, 2) each.

    Row 0 is Dice, row 1 the distance; column 0 the sum, column 1 the number of its summands:
    rows, slices, volumes or scans, as the metric averages.
    """
    sums: dict[str, np.ndarray] = {}
    for result in results:
        dice = _means(result.dice.T) if metric.dice_mean == "slices" else result.dice
        distance = result.hausdorff
        if metric.hausdorff_mean == "scans":
            distance = _means(distance.reshape(1, -1))
        part = np.array([[np.nansum(one), np.isfinite(one).sum()] for one in (dice, distance)])
        name = patient_of(result.scan)
        sums[name] = sums[name] + part if name in sums else part
    return sums


def _means(groups: np.ndarray) -> np.ndarray:
    """Mean of the finite values of every row, NaN for a row without."""
    count = np.isfinite(groups).sum(axis=1)
    return np.where(count, np.nansum(groups, axis=1) / np.maximum(count, 1), np.nan)


def intervals(sums: Sequence[np.ndarray], level: float = LEVEL) -> dict[str, Interval]:
    """Return score, dice and hausdorff (the distance) with their intervals over patients.

    sums: (2, 2) of every patient, as `patient_sums` returns them.
    """
    weights = np.array([row[:2] for row in QUANTITIES.values()])
    found = ratio_intervals(_stacked(sums, 2), weights, level)
    plus = {name: row[2] for name, row in QUANTITIES.items()}
    return {
        name: Interval(*(end + plus[name] for end in one)).within(0, 1)
        for name, one in zip(QUANTITIES, found, strict=True)
    }


def differences(
    sums: Sequence[np.ndarray], others: Sequence[np.ndarray], level: float = LEVEL
) -> dict[str, Interval]:
    """Return intervals of the first minus the second in the same patients, drawn in pairs."""
    pairs = [np.concatenate(pair) for pair in zip(sums, others, strict=True)]
    weights = np.array([row[:2] for row in QUANTITIES.values()])
    found = ratio_intervals(_stacked(pairs, 4), np.hstack([weights, -weights]), level)
    return {name: one.within(-1, 1) for name, one in zip(QUANTITIES, found, strict=True)}


def _stacked(sums: Sequence[np.ndarray], ratios: int) -> np.ndarray:
    return np.stack(sums) if len(sums) else np.zeros((0, ratios, 2))


def ratio_intervals(
    sums: np.ndarray, weights: np.ndarray, level: float = LEVEL, resamples: int = RESAMPLES
) -> list[Interval]:
    """Return weighted sums of ratios with studentised bootstrap intervals.

    sums: (P, K, 2), numerator and denominator of K ratios of every patient. weights: (M, K), a row
    per quantity. The interval is bootstrap-t with the linearised standard error of a ratio
    ([Efron 1993], chapter 12); below FEWEST_TO_RESAMPLE patients Student's t. NaN where a ratio
    that counts has no denominator, ends NaN for fewer than two patients that have one.
    """
    patients = len(sums)
    with np.errstate(invalid="ignore"):
        totals = sums.sum(axis=0)
        whole = totals[:, 0] / totals[:, 1]  # (K,)
    # what is left of a numerator is small, so that squares of it keep their digits
    left = sums.copy()
    left[..., 0] -= np.nan_to_num(whole) * sums[..., 1]
    values = _weighted(whole, weights)
    if patients < 2:
        return [Interval(value, np.nan, np.nan) for value in values.tolist()]
    errors = _estimate(np.ones((1, patients)), left, weights)[1][0]
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if patients < FEWEST_TO_RESAMPLE:
        t = np.tile(stats.t.ppf(tails, patients - 1)[:, None], len(weights))
    else:
        away, spread = _estimate(_draws(patients, resamples), left, weights)
        columns = zip(away.T, spread.T, errors, strict=True)
        t = np.array([_quantiles(*one, tails) for one in columns]).T
    ends = values - t[::-1] * errors
    # a class that one patient alone shows says nothing of others
    shown = [(sums[:, row != 0, 1] > 0).all(axis=1).sum() for row in weights]
    ends[:, np.array(shown) < 2] = np.nan
    return [Interval(*map(float, one)) for one in zip(values, *ends, strict=True)]


@lru_cache(maxsize=8)
def _draws(patients: int, resamples: int) -> np.ndarray:
    """How often every patient is drawn, (resamples, P); the same on every call."""
    rng = np.random.default_rng(0)
    return rng.multinomial(patients, np.full(patients, 1 / patients), resamples).astype(float)


def _estimate(
    drawn: np.ndarray, sums: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return values and standard errors (R, M) of resamples drawn (R, P).

    The error is that of the mean of every patient's influence, (numerator - ratio · denominator) /
    all denominators, summed over ratios with their weights.
    """
    patients, ratios = sums.shape[:2]
    flat = sums.reshape(patients, 2 * ratios)
    totals = (drawn @ flat).reshape(-1, ratios, 2)
    products = drawn @ (flat[:, :, None] * flat[:, None]).reshape(patients, -1)
    products = products.reshape(-1, 2 * ratios, 2 * ratios)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = totals[..., 0] / totals[..., 1]  # (R, K)
        slope = np.stack([1 / totals[..., 1], -ratio / totals[..., 1]], axis=-1)  # (R, K, 2)
        counts = weights[:, :, None] != 0
        slopes = np.where(counts, weights[:, :, None] * slope[:, None], 0)  # (R, M, K, 2)
        slopes = slopes.reshape(len(drawn), len(weights), 2 * ratios)
        squares = ((slopes @ products) * slopes).sum(axis=-1)  # of the influences, (R, M)
    spread = np.sqrt(np.maximum(squares, 0) * patients / (patients - 1))
    return _weighted(ratio, weights), spread


def _weighted(parts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(..., K) and (M, K) into (..., M); a part of weight 0 may be NaN."""
    return np.stack([parts[..., row != 0] @ row[row != 0] for row in weights], axis=-1)


def _quantiles(away: np.ndarray, spread: np.ndarray, error: float, tails: np.ndarray) -> np.ndarray:
    """Quantiles of studentised differences (R,); error: that of all patients.

    The spread of a resample counts as at least LEAST_SPREAD of that: one that misses the only
    patient who stands out has next to none, and would send the interval to infinity.
    """
    usable = np.isfinite(away) & np.isfinite(spread)
    if not usable.any() or not error > 0:
        return np.zeros(2)
    return np.quantile(away[usable] / np.maximum(spread[usable], LEAST_SPREAD * error), tails)
