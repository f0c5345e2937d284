"""Intervals, paired tests and average ranks: arrays in, numbers out."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the mean and half the width of its t interval; NaN for fewer than two values."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return float(known.mean()) if len(known) else float("nan"), float("nan")
    spread = stats.sem(known) * stats.t.ppf((1 + level) / 2, len(known) - 1)
    return float(known.mean()), float(spread)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected for the number of tests ([Holm 1979]), in the given order."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return corrected


def wilcoxon_p(one: np.ndarray, other: np.ndarray) -> float:
    """Return the two-sided p of the paired signed-rank test; 1 if no pair differs."""
    difference = np.asarray(one, float) - np.asarray(other, float)
    difference = difference[np.isfinite(difference)]
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)


def smallest_p(pairs: int) -> float:
    """Return the smallest p that a two-sided signed-rank test of that many pairs can give."""
    return min(2.0 ** (1 - pairs), 1.0)


def against_best(scores: pd.DataFrame) -> pd.Series:
    """Return Holm's p of every column against the column with the highest mean; its own is NaN.

    scores: one row per block (seed, fold), one column per contender; blocks are paired.
    """
    best = scores.mean().idxmax()
    others = [name for name in scores if name != best]
    p = holm(np.array([wilcoxon_p(scores[best], scores[name]) for name in others]))
    return pd.Series(p, others, dtype=float).reindex(scores.columns)


class Ranks(NamedTuple):
    """Average ranks (1 is best), p of Friedman's test, and Nemenyi's critical difference."""

    average: pd.Series
    p: float
    critical: float


def ranks(scores: pd.DataFrame, level: float = 0.05) -> Ranks:
    """Rank the columns in every row; ties share a rank, a missing score ranks last.

    Two contenders differ when their average ranks are `critical` apart or more, q √(k(k+1)/6N)
    for k contenders on N blocks. p and critical are NaN with fewer than 3 columns or 2 rows.
    Source: [Demšar 2006], section 3.2.2.
    """
    filled = scores.fillna(-np.inf)
    placed = filled.rank(axis=1, ascending=False)
    blocks, contenders = scores.shape
    p = critical = float("nan")
    if contenders >= 3 and blocks >= 2:
        varied = (placed.nunique(axis=1) > 1).any()
        p = float(stats.friedmanchisquare(*placed.to_numpy().T).pvalue) if varied else 1.0
        q = stats.studentized_range.ppf(1 - level, contenders, np.inf) / np.sqrt(2)
        critical = float(q * np.sqrt(contenders * (contenders + 1) / (6 * blocks)))
    return Ranks(placed.mean().sort_values(kind="stable"), p, critical)


def cliques(average: pd.Series, critical: float) -> list[tuple[str, str]]:
    """Return the best and worst of every longest run of neighbours that do not differ."""
    names, values = list(average.index), average.to_numpy()
    runs, furthest = [], 0
    for start in range(len(names)):
        end = int(np.flatnonzero(values - values[start] < critical)[-1])
        if end > start and end > furthest:
            runs.append((names[start], names[end]))
        furthest = max(furthest, end)
    return runs
