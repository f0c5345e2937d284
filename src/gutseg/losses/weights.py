"""Class weights from class shares: functions ①-⑥ of [Tongji 2022] §4.4 and what [Chen 2023] adds.

shares: the fraction of the pixels of each class, of the training folds alone. background: its
position, or None where classes overlap and no channel is background (shares of the classes,
then, need not add up to 1). All weights are normalised to a sum of 1, as there.
"""

from collections.abc import Sequence

import numpy as np

from gutseg.registry import suggest


def class_weights(kind: str, shares: Sequence[float], background: int | None = None) -> list[float]:
    """Return the weights of a row of WEIGHTS, numbers from 0 that add up to 1.

    Raises ValueError naming the choices, for shares that are not fractions, all 0 or missing, and
    where only the background would be left and weighs nothing.
    """
    if kind not in WEIGHTS:
        raise ValueError(f"class weights {kind!r}: {suggest(kind, list(WEIGHTS))}")
    fractions = np.asarray(shares, float)
    found = f"class weights {kind!r}: shares {fractions.tolist()}"
    if fractions.ndim != 1 or not fractions.size:
        raise ValueError(f"{found}; expected one number for each class")
    if not ((fractions >= 0) & (fractions <= 1)).all():  # nor NaN
        raise ValueError(f"{found}; expected fractions from 0 to 1, not percent")
    if not fractions.any():
        raise ValueError(f"{found}; no class occurs, so none can be weighed")
    if background is not None and not 0 <= background < len(fractions):
        raise ValueError(f"{found}; background {background} is not 0 to {len(fractions) - 1}")
    raw = WEIGHTS[kind](fractions, background)
    if not raw.any():
        raise ValueError(f"{found}; the background is the only class, and it weighs nothing")
    return (raw / raw.sum()).tolist()


def uniform(shares: np.ndarray, background: int | None) -> np.ndarray:
    """① the same for all."""
    return np.ones_like(shares)


def inverse(shares: np.ndarray, background: int | None) -> np.ndarray:
    """② 1 / share; a class that never occurs weighs as much as the rarest that does."""
    rarest = shares[shares > 0].min()
    return rarest / np.maximum(shares, rarest)  # 1 / share could overflow


def rising(shares: np.ndarray, background: int | None) -> np.ndarray:
    """③ e^(e · share), assumed: [Tongji 2022] says only exponential and increasing."""
    return np.exp(np.e * shares)


def falling(shares: np.ndarray, background: int | None) -> np.ndarray:
    """④ e^(-e · share)."""
    return np.exp(-np.e * shares)


def falling_foreground(shares: np.ndarray, background: int | None) -> np.ndarray:
    """⑤ as ④ with the share of a class among the foreground; background by its own share."""
    inside = shares / _foreground(shares, background)
    if background is not None:
        inside[background] = shares[background]
    return np.exp(-np.e * inside)


def falling_no_background(shares: np.ndarray, background: int | None) -> np.ndarray:
    """⑥ as ⑤ with background 0."""
    weights = falling_foreground(shares, background)
    if background is not None:
        weights[background] = 0
    return weights


def inverse_median(shares: np.ndarray, background: int | None) -> np.ndarray:
    """Median share / share (median frequency balancing, [Eigen 2015])."""
    return np.median(shares[shares > 0]) * inverse(shares, background)


def _foreground(shares: np.ndarray, background: int | None) -> float:
    """Share of all classes but the background."""
    total = shares.sum() - (shares[background] if background is not None else 0)
    return max(total, np.finfo(float).tiny)


WEIGHTS = {
    "uniform": uniform,
    "inverse": inverse,
    "rising": rising,
    "falling": falling,
    "falling_foreground": falling_foreground,
    "falling_no_background": falling_no_background,
    "inverse_median": inverse_median,
}
