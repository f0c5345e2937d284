"""How long to train, which epoch is the best, and when training has ended."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from gutseg.config import Train
from gutseg.engine import checkpoint
from gutseg.engine.distributed import World
from gutseg.files import need_file

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
        return (_used(self.history, self.train)[0] + self.seconds()) / self.train.seconds


def _used(history: History, train: Train) -> tuple[float, float, str]:
    """Return what is used of a budget, the whole of it, and its unit."""
    if train.steps:
        return history[-1]["steps"] if history else 0, train.steps, "steps"
    if train.seconds:
        return sum(row["seconds"] for row in history), train.seconds, "seconds"
    return len(history), train.epochs or 0, "epochs"


def spent(history: History, train: Train) -> str:
    """Say how much of a budget is used up, as in `3 of 5 epochs`."""
    used, whole, unit = _used(history, train)
    return f"{round(used, 1):.10g} of {whole:.10g} {unit}"


def is_spent(history: History, train: Train) -> bool:
    """Say whether the epochs, steps or seconds of a budget are used up."""
    used, whole, _ = _used(history, train)
    return used >= whole


def best_epoch(history: History, train: Train) -> int | None:
    """Return the position of the first best row, None when no row counts.

    Rows without the monitored column do not count, nor do those where it is NaN or infinite. Where
    nothing is monitored the last row is the best.
    """
    if train.monitor is None:
        return len(history) - 1 if history else None
    # losses and distances are best where they are lowest
    sign = -1 if train.monitor.startswith(("val_", "hausdorff")) else 1
    values = [sign * row.get(train.monitor, math.nan) for row in history]
    counting = [number for number, value in enumerate(values) if math.isfinite(value)]
    return max(counting, key=values.__getitem__, default=None)


def is_finished(history: History, train: Train) -> bool:
    """Say whether training has ended: the budget is spent, or patience is.

    Epochs in which the monitored column was not measured cost no patience.
    """
    best = best_epoch(history, train)
    waited = 0 if best is None else sum(train.monitor in row for row in history[best + 1 :])
    impatient = train.patience is not None and waited >= train.patience
    return impatient or is_spent(history, train)


def check_finished(folder: Path, train: Train, otherwise: str = "") -> None:
    """Raise ValueError unless the training of a fold has ended.

    otherwise: what else the message tells a user to do, as in ", or give --unfinished".
    """
    remedy = f"whether training has ended cannot be known; train this fold again{otherwise}"
    history = checkpoint.history(need_file(folder / "last.pt", remedy))
    if not is_finished(history, train):
        raise ValueError(
            f"{folder} has {spent(history, train)} and is still to be trained; continue with "
            f"gutseg train{otherwise}"
        )
