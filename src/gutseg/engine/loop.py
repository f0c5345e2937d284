"""The training loop: plain PyTorch, one process or many, bit-exact on resume."""

import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gutseg.config import Train
from gutseg.engine import checkpoint
from gutseg.engine.budget import History, Meter, best_epoch, is_finished, is_spent
from gutseg.engine.distributed import World, seed_everything
from gutseg.engine.journal import Journal
from gutseg.engine.learner import Learner
from gutseg.files import need_file
from gutseg.progress import progress
from gutseg.registry import counted

log = logging.getLogger(__name__)

# batches at the end whose mean loss is kept
LAST = 20
# Looking at a loss stops the GPU until it is there; a few steps are looked at together.
LOOK_EVERY = 16
# A run resumes with its own config only, so that advice to change it says how.
OTHERWISE = (
    "lower optim.lr or set train.clip_norm and start again under another name=... "
    "(or delete the run folder)"
)


class Search(Protocol):
    """What looks for the samples that are drawn more often, such as the slices of large errors."""

    # of the samples, what a checkpoint keeps
    positions: list[int]

    def begin(self, epoch: int, network: nn.Module) -> None:
        """Look for them, where an epoch that begins is due."""

    def draw(self, positions: list[int]) -> None:
        """Take those of a checkpoint; raises ValueError where they are none."""


def fit(
    learner: Learner,
    loader: DataLoader,
    evaluate: Callable[[nn.Module, bool], dict[str, float]],
    folder: Path,
    journal: Journal | None,
    search: Search | None = None,
) -> History:
    """Train until the budget is spent; return the history, one row an epoch.

    evaluate(model, with_score): the validation columns. folder: takes last.pt after every
    epoch and best.pt; when last.pt is there already, training resumes from it. search: its time is
    the training's. Raises FloatingPointError when losses, weights or all monitored values are not
    finite.
    """
    train = learner.train
    history = _resume(learner, folder, search)
    if journal:
        journal.resume(history)
    while not is_finished(history, train):
        epoch = len(history)
        row = {"epoch": epoch, **_train_epoch(learner, loader, history, search)}
        learner.world.broadcast(learner.best)
        _check_weights(learner, epoch)
        started = time.perf_counter()
        last = is_spent([*history, row], train)
        row |= evaluate(learner.best, last or (epoch + 1) % train.score_every == 0)
        history.append(row | {"seconds_test": time.perf_counter() - started})
        if learner.world.is_main:
            if best_epoch(history, train) == epoch:
                best = {"model": learner.best.state_dict(), "metrics": history[-1]}
                checkpoint.save(folder / "best.pt", best)
            state = {"learner": learner.state(), "history": history}
            checkpoint.save(folder / "last.pt", state | _found(search))
            log.info("%s", "  ".join([folder.name, *_shown(history[-1])]))
            if journal:
                journal.write(history)
        learner.world.barrier()
    if history and best_epoch(history, train) is None:
        raise FloatingPointError(
            f"{train.monitor} was finite in none of {len(history)} epochs, so no weights are the "
            f"best; {OTHERWISE}"
        )
    return history


def _found(search: Search | None) -> dict[str, list[int]]:
    return {"hard": search.positions} if search else {}


def _resume(learner: Learner, folder: Path, search: Search | None) -> History:
    """Take over last.pt; return its history, empty where nothing was trained yet.

    Raises ValueError when a file is not as written, and FileNotFoundError when one is gone.
    """
    last, best = folder / "last.pt", folder / "best.pt"
    afresh = f"delete {folder} and train this fold again"
    # one that is a broken link or a pipe is not one that is yet to be written
    if not os.path.lexists(last):
        metrics = checkpoint.load(best).get("metrics", {}) if os.path.lexists(best) else {}
        # a kill before the first last.pt leaves a best.pt of epoch 0
        if metrics.get("epoch", 0) > 0:
            raise FileNotFoundError(
                f"{last} does not exist, but best.pt is of epoch {metrics['epoch']} and would be "
                "lost; copy last.pt back, or give another name=..."
            )
        return []
    state = checkpoint.state(last)
    try:
        learner.restore(state["learner"])
        if search:
            search.draw(_listed(state.get("hard")))
    except ValueError as error:
        raise ValueError(f"{last} does not fit this training ({error}); {afresh}") from None
    if best_epoch(state["history"], learner.train) is not None:
        checkpoint.load(need_file(best, f"an earlier epoch made it; {afresh}"), afresh)
    return state["history"]


def _listed(positions: Any) -> list[int]:
    if not isinstance(positions, list):
        raise ValueError("it holds no hard slices")
    return positions


def _check_weights(learner: Learner, epoch: int) -> None:
    """Raise FloatingPointError before weights are kept that are of no use."""
    bad = checkpoint.not_finite([dict(learner.model.named_parameters()), learner.best.state_dict()])
    if bad:
        raise FloatingPointError(
            f"weights are not finite after epoch {epoch} ({counted(bad, 'tensor')}). Nothing of "
            f"this epoch was saved; {OTHERWISE}"
        )


def _shown(row: dict[str, float]) -> list[str]:
    keys: tuple[str, ...] = ("train_loss", "val_loss", "dice", "hausdorff", "score")
    keys = keys if "dice" in row else (*keys, "pooled.dice_fg", "pooled.iou_fg")
    values = [f"{key} {row[key]:.4f}" for key in keys if key in row]
    seconds = row["seconds"] + row["seconds_test"]
    return [f"epoch {row['epoch']}", *values, f"{seconds:.0f} s"]


def _train_epoch(
    learner: Learner, loader: DataLoader, history: History, search: Search | None = None
) -> dict[str, float]:
    """Run one epoch, or what is left of the budget; return what was seen.

    The learning rate, the means of the loss and of its terms, `loss_first` and `loss_end` (of the
    last batches), `steps` of the optimiser so far, seconds, the share of them that this rank waited
    for batches, MB, and quartiles of Dice over a tail.
    """
    epoch, train = len(history), learner.train
    meter = Meter(train, history, learner.world)
    if search:
        search.begin(epoch, learner.best)
    seed_everything(learner.seed, epoch, learner.stream + learner.world.rank)
    sampler: Any = loader.sampler  # one of gutseg.data.sampler
    sampler.set_epoch(epoch)
    learner.wrapped.train()
    watch = _Watch(epoch)
    tail: deque[float] = deque(maxlen=train.tail)
    before, spent = learner.step, meter.share(learner.step)
    endless = train.seconds and not train.steps_per_epoch
    batches = _Waits(loader)
    bar = progress(
        batches,
        desc=f"epoch {epoch}",
        unit="batch",
        leave=False,
        disable=not learner.world.is_main,
        total=math.inf if endless else len(loader),
    )
    _tell(sampler, train, spent)
    for number, batch in enumerate(bar):
        first = number // train.accumulate * train.accumulate
        # batches of the last, shorter group of accumulated ones
        group = min(train.accumulate, len(loader) - first)
        ends_group = number == first + group - 1
        logits, losses = learner.backward(batch, group, ends_group)
        watch.pending.append((batch["ids"], losses))
        if train.tail and learner.dice:
            tail.append(learner.dice(logits, batch["target"], batch.get("ignore")))
        if number % LOOK_EVERY == 0:
            bar.set_postfix(loss=f"{watch.look():.4f}", refresh=False)
        if ends_group:
            learner.update(spent)
            if (spent := meter.share(learner.step)) >= 1:
                break
            _tell(sampler, train, spent)
    watch.look()
    steps, seconds = learner.step - before, meter.seconds()
    return {
        "lr": learner.optimizer.param_groups[0]["lr"],
        **watch.columns(learner.world),
        "steps": learner.step,
        "seconds": seconds,
        "seconds_per_step": seconds / max(steps, 1),
        "data_wait": batches.seconds / seconds,
        "parameters": sum(weights.numel() for weights in learner.model.parameters()),
        **({"peak_mb": learner.memory.growth()} if learner.memory else {}),
        **_quartiles(tail),
    }


def _tell(sampler: Any, train: Train, spent: float) -> None:
    """Tell images that grow over seconds what is spent; else the number of a batch says it."""
    if train.progressive and train.seconds:
        sampler.growth.spent = spent


def _quartiles(tail: deque[float]) -> dict[str, float]:
    known = torch.tensor([value for value in tail if value == value], dtype=torch.double)
    if not len(known):
        return {}
    quartiles = known.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.double)).tolist()
    return dict(zip(("tail_q1", "tail_median", "tail_q3"), quartiles, strict=True))


class _Waits:
    """Batches of a loader, and the seconds until each was there.

    With workers=0 the batches are made in them. A GPU may still be at work then.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        self.seconds = 0.0

    def __iter__(self) -> Iterator[dict]:
        started = time.perf_counter()
        for batch in self.loader:
            self.seconds += time.perf_counter() - started
            yield batch
            started = time.perf_counter()


class _Watch:
    """Keeps the losses of an epoch and stops the run when one is not finite."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.pending: list[tuple[list[str], dict[str, Tensor]]] = []
        self.rows: list[dict[str, float]] = []

    def look(self) -> float:
        """Read the pending losses; return the last. Raises FloatingPointError on NaN."""
        for ids, losses in self.pending:
            row = {key: float(value) for key, value in losses.items()}
            if not math.isfinite(row["loss"]):
                shown = ", ".join(f"{key} {value:.4g}" for key, value in row.items())
                raise FloatingPointError(
                    f"the loss is not finite in epoch {self.epoch}, batch {len(self.rows)} "
                    f"({shown}); its slices: {', '.join(ids)}. Nothing of this epoch was "
                    f"saved; look at these slices, or {OTHERWISE}"
                )
            self.rows.append(row)
        self.pending.clear()
        return self.rows[-1]["loss"]

    def columns(self, world: World) -> dict[str, float]:
        """Return means over all ranks, named train_*, and those of this rank's first and last."""
        sums = dict.fromkeys(self.rows[0], 0.0)
        for row in self.rows:
            sums = {key: sums[key] + value for key, value in row.items()}
        local = torch.tensor([*sums.values(), len(self.rows)], dtype=torch.double)
        *total, batches = world.all_reduce(local).tolist()
        names = [f"train_{key}" for key in sums]
        last = [row["loss"] for row in self.rows[-LAST:]]
        return {
            **{name: value / batches for name, value in zip(names, total, strict=True)},
            "loss_first": self.rows[0]["loss"],
            "loss_end": sum(last) / len(last),
        }
