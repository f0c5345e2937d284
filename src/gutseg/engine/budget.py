"""How long to train, which epoch is the best, and when training has ended."""

import math

from gutseg.config import Train


def best_epoch(history: list[dict[str, float]], train: Train) -> int | None:
    """Return the position of the first best row, None when no row counts.

    Rows without the monitored column do not count, nor do those where it is NaN or infinite.
    """
    sign = -1 if train.monitor == "val_loss" else 1
    values = [sign * row.get(train.monitor, math.nan) for row in history]
    counting = [number for number, value in enumerate(values) if math.isfinite(value)]
    return max(counting, key=values.__getitem__, default=None)


def is_finished(history: list[dict[str, float]], train: Train) -> bool:
    """Say whether training has ended: the budget is spent, or patience is."""
    best = best_epoch(history, train)
    waited = 0 if best is None else len(history) - 1 - best
    impatient = train.patience is not None and waited >= train.patience
    return impatient or len(history) >= train.epochs
