"""Class weights from class shares: functions ①-⑥ of [Tongji 2022] §4.4 and what [Chen 2023] adds.

shares: the fraction of the pixels of each class, of the training folds alone. background: its
position, or None where classes overlap and no channel is background (shares of the classes,
then, need not add up to 1). All weights are normalised to a sum of 1, as there.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from gutseg.registry import suggest


def class_weights(kind: str, shares: Sequence[float], background: int | None = None) -> list[float]:
    """Return the weights of a row of WEIGHTS, numbers from 0 that add up to 1.

    Raises ValueError naming the choices, for shares that are not fractions, all 0 or missing, and
    where only the background would be left, with weight 0.
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
        raise ValueError(f"{found}; no class occurs, so none can be weighted")
    if background is not None and not 0 <= background < len(fractions):
        raise ValueError(f"{found}; background {background} is not 0 to {len(fractions) - 1}")
    raw = WEIGHTS[kind](fractions, background)
    if not raw.any():
        raise ValueError(f"{found}; the background is the only class, and its weight is 0")
    return (raw / raw.sum()).tolist()


def _inverse(shares: np.ndarray) -> np.ndarray:
    rarest = shares[shares > 0].min()
    return rarest / np.maximum(shares, rarest)  # 1 / share could overflow


def _falling_foreground(
    shares: np.ndarray, background: int | None, *, counted: bool = True
) -> np.ndarray:
    total = shares.sum() - (0 if background is None else shares[background])
    inside = shares / max(total, np.finfo(float).tiny)
    if background is not None:
        inside[background] = shares[background] if counted else np.inf
    return np.exp(-np.e * inside)


# Name -> raw weights of (shares, background).
WEIGHTS: dict[str, Callable[[np.ndarray, int | None], np.ndarray]] = {
    # ① the same for all
    "uniform": lambda shares, _: np.ones_like(shares),
    # ② 1 / share; a class that never occurs has the same weight as the rarest that does
    "inverse": lambda shares, _: _inverse(shares),
    # ③ e^(e · share), assumed: [Tongji 2022] says only exponential and increasing
    "rising": lambda shares, _: np.exp(np.e * shares),
    # ④ e^(-e · share)
    "falling": lambda shares, _: np.exp(-np.e * shares),
    # ⑤ as ④ with the share of a class among the foreground; background by its own share
    "falling_foreground": _falling_foreground,
    # ⑥ as ⑤ with background 0
    "falling_no_background": partial(_falling_foreground, counted=False),
    # median share / share (median frequency balancing, [Eigen 2015])
    "inverse_median": lambda shares, _: np.median(shares[shares > 0]) * _inverse(shares),
}
