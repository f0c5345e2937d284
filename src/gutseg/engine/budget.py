"""How long to train, which epoch is the best, and when training has ended."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """How long to train and when to stop.

    monitor: the column of the history that is best when `highest` (or lowest otherwise).
    patience: epochs without a better one before stopping; None trains to the end.
    """

    epochs: int
    accumulate: int = 1
    clip_norm: float | None = None
    patience: int | None = None
    monitor: str = "score"
    highest: bool = True
    score_every: int = 1


def best_epoch(history: list[dict[str, float]], budget: Budget) -> int | None:
    """Return the position of the first best row, None when no row counts.

    Rows without the monitored column do not count, nor do those where it is NaN or infinite.
    """
    sign = 1 if budget.highest else -1
    values = [sign * row.get(budget.monitor, math.nan) for row in history]
    counting = [number for number, value in enumerate(values) if math.isfinite(value)]
    return max(counting, key=values.__getitem__, default=None)


def is_finished(history: list[dict[str, float]], budget: Budget) -> bool:
    """Say whether training has ended: the budget is spent, or patience is."""
    best = best_epoch(history, budget)
    waited = 0 if best is None else len(history) - 1 - best
    impatient = budget.patience is not None and waited >= budget.patience
    return impatient or len(history) >= budget.epochs
