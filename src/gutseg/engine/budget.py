"""How long to train, which epoch is the best, and when training has ended."""

import math
import time
from dataclasses import dataclass, field

import torch

from gutseg.config import Train
from gutseg.engine.distributed import World

History = list[dict[str, float]]


@dataclass
class Meter:
    """What training has spent of its budget; history: of the epochs before."""

    train: Train
    history: History
    world: World
    started: float = field(init=False, default_factory=time.perf_counter)

    def seconds(self) -> float:
        """Return the seconds of this epoch so far, the mean over ranks: they must stop together."""
        own = torch.tensor(time.perf_counter() - self.started, dtype=torch.double)
        return float(self.world.all_reduce(own)) / self.world.size

    def share(self, step: int) -> float:
        """Return the share of a budget of steps or seconds that is spent after so many steps.

        A budget of epochs does not count steps: 0.
        """
        if self.train.steps:
            return step / self.train.steps
        if not self.train.seconds:
            return 0.0
        return (spent_seconds(self.history) + self.seconds()) / self.train.seconds


def spent_seconds(history: History) -> float:
    """Return the seconds of training that a history tells of."""
    return sum(row["seconds"] for row in history)


def spent(history: History, train: Train) -> str:
    """Say how much of a budget is used up, as in `3 of 5 epochs`."""
    if train.steps:
        return f"{int(history[-1]['steps']) if history else 0} of {train.steps} steps"
    if train.seconds:
        return f"{spent_seconds(history):.1f} of {train.seconds:g} seconds"
    return f"{len(history)} of {train.epochs} epochs"


def best_epoch(history: History, train: Train) -> int | None:
    """Return the position of the first best row, None when no row counts.

    Rows without the monitored column do not count, nor do those where it is NaN or infinite.
    """
    # losses and distances are best where they are lowest
    sign = -1 if train.monitor.startswith(("val_", "hausdorff")) else 1
    values = [sign * row.get(train.monitor, math.nan) for row in history]
    counting = [number for number, value in enumerate(values) if math.isfinite(value)]
    return max(counting, key=values.__getitem__, default=None)


def is_spent(history: History, train: Train) -> bool:
    """Say whether the epochs, steps or seconds of a budget are used up."""
    if train.epochs:
        return len(history) >= train.epochs
    if not history:
        return False
    if train.steps:
        return history[-1]["steps"] >= train.steps
    return train.seconds is not None and spent_seconds(history) >= train.seconds


def is_finished(history: History, train: Train) -> bool:
    """Say whether training has ended: the budget is spent, or patience is."""
    best = best_epoch(history, train)
    waited = 0 if best is None else len(history) - 1 - best
    impatient = train.patience is not None and waited >= train.patience
    return impatient or is_spent(history, train)
