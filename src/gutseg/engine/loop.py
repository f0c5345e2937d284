"""The training loop: plain PyTorch, one process or many, resumable to the bit."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from gutseg.config import Train
from gutseg.engine import checkpoint
from gutseg.engine.budget import best_epoch, is_finished
from gutseg.engine.distributed import World
from gutseg.engine.journal import Journal
from gutseg.engine.optim import has_moments
from gutseg.engine.precision import Precision
from gutseg.engine.schedule import Schedule
from gutseg.engine.seeding import seed_everything
from gutseg.files import need_file
from gutseg.progress import progress
from gutseg.registry import counted

log = logging.getLogger(__name__)

# (logits, target, **maps) -> the loss and its terms
Criterion = Callable[..., tuple[Tensor, dict[str, Tensor]]]
# Looking at a loss stops the GPU until it is there; a few steps are looked at together.
LOOK_EVERY = 16
# A run goes on with its own config alone, so that advice to change it says how.
OTHERWISE = (
    "lower optim.lr or set train.clip_norm and start again under another name=... "
    "(or delete the run folder)"
)


@dataclass
class Learner:
    """What is trained: the bare model, its wrapped form, optimiser, schedule and average."""

    model: nn.Module
    criterion: Criterion
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    world: World
    train: Train
    seed: int = 0
    step: int = 0
    average: AveragedModel | None = field(init=False, default=None)
    wrapped: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        if self.train.ema:
            average = get_ema_multi_avg_fn(self.train.ema)
            self.average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
        self.wrapped = torch.compile(self.model) if self.train.compile else self.model
        if self.world.size > 1:
            self.wrapped = DistributedDataParallel(self.wrapped)

    @property
    def best(self) -> nn.Module:
        """The model to evaluate: the moving average when there is one."""
        return self.average.module if self.average else self.model

    def state(self) -> dict[str, Any]:
        """Everything a later process needs to go on bit for bit."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "step": self.step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state; raises ValueError when it is not one of this network's training."""
        parts = {
            "model": self.model.load_state_dict,
            "average": self.average.load_state_dict if self.average else lambda _: None,
            "optimizer": self.optimizer.load_state_dict,
            "scaler": self.precision.scaler.load_state_dict,
        }
        if missing := [name for name in (*parts, "step") if name not in state]:
            raise ValueError(f"it holds no {', '.join(missing)}")
        if problem := checkpoint.misfit(self.model, state["model"]):
            raise ValueError(problem)
        for name, load in parts.items():
            try:
                load(state[name])
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError):
                # what torch raises depends on the part that is missing or has another shape
                raise ValueError(f"its {name} is of another training") from None
        self.step = state["step"]
        if self.step and not has_moments(self.optimizer):
            raise ValueError("the optimiser's state is missing")


def fit(
    learner: Learner,
    loader: DataLoader,
    evaluate: Callable[[nn.Module, bool], dict[str, float]],
    folder: Path,
    journal: Journal | None,
) -> list[dict[str, float]]:
    """Train until the budget is spent; return the history, one row an epoch.

    evaluate(model, with_score): the validation columns. folder: takes last.pt after every
    epoch and best.pt; when last.pt is there already, training goes on from it. Raises
    FloatingPointError when losses, weights or all monitored values are not finite.
    """
    train = learner.train
    history = _resume(learner, folder)
    for epoch in range(len(history), train.epochs):
        if is_finished(history, train):
            break
        started = time.perf_counter()
        row = {"epoch": epoch, **_train_epoch(learner, loader, epoch)}
        learner.world.broadcast(learner.best)
        _check_weights(learner, epoch)
        last = epoch + 1 == train.epochs
        row |= evaluate(learner.best, last or (epoch + 1) % train.score_every == 0)
        history.append(row | {"seconds": time.perf_counter() - started})
        if learner.world.is_main:
            _save(learner, history, folder)
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


def _resume(learner: Learner, folder: Path) -> list[dict[str, float]]:
    """Take over last.pt; return its history, empty where nothing was trained yet.

    Raises ValueError when a file is not as written.
    """
    # a last.pt that is a broken link or a pipe is not one that is yet to be written
    if not os.path.lexists(folder / "last.pt"):
        _check_first(folder)
        return []
    state = checkpoint.state(folder / "last.pt")
    afresh = f"delete {folder} and train this fold again"
    try:
        learner.restore(state["learner"])
    except ValueError as error:
        raise ValueError(
            f"{folder / 'last.pt'} does not fit this training ({error}); {afresh}"
        ) from None
    if best_epoch(state["history"], learner.train) is not None:
        best = need_file(folder / "best.pt", f"an earlier epoch made it; {afresh}")
        checkpoint.load(best, afresh)
    return state["history"]


def _check_first(folder: Path) -> None:
    """Refuse to train anew over a best.pt of later epochs than the first.

    One of the first epoch stays alone when the process is killed before last.pt is written.
    """
    if not os.path.lexists(folder / "best.pt"):
        return
    metrics = checkpoint.load(folder / "best.pt").get("metrics", {})
    if metrics.get("epoch", 0) > 0:
        raise FileNotFoundError(
            f"{folder / 'last.pt'} does not exist, but best.pt is of epoch {metrics['epoch']} and "
            "would be lost; copy last.pt back, or give another name=..."
        )


def _check_weights(learner: Learner, epoch: int) -> None:
    """Raise FloatingPointError before weights are kept that are of no use."""
    bad = checkpoint.not_finite([dict(learner.model.named_parameters()), learner.best.state_dict()])
    if bad:
        raise FloatingPointError(
            f"weights are not finite after epoch {epoch} ({counted(bad, 'tensor')}). Nothing of "
            f"this epoch was saved; {OTHERWISE}"
        )


def _shown(row: dict[str, float]) -> list[str]:
    keys = ("train_loss", "val_loss", "dice", "hausdorff", "score")
    values = [f"{key} {row[key]:.4f}" for key in keys if key in row]
    return [f"epoch {row['epoch']}", *values, f"{row['seconds']:.0f} s"]


def _save(learner: Learner, history: list[dict], folder: Path) -> None:
    if best_epoch(history, learner.train) == len(history) - 1:
        best = {"model": learner.best.state_dict(), "metrics": history[-1]}
        checkpoint.save(folder / "best.pt", best)
    checkpoint.save(folder / "last.pt", {"learner": learner.state(), "history": history})


def _train_epoch(learner: Learner, loader: DataLoader, epoch: int) -> dict[str, float]:
    """Run one epoch; return the learning rate and the mean of the loss and of its terms."""
    seed_everything(learner.seed, epoch, learner.world.rank)
    loader.sampler.set_epoch(epoch)
    learner.wrapped.train()
    accumulate, watch = learner.train.accumulate, _Watch(epoch)
    bar = progress(
        loader, desc=f"epoch {epoch}", unit="batch", leave=False, disable=not learner.world.is_main
    )
    for number, batch in enumerate(bar):
        first = number // accumulate * accumulate
        group = min(accumulate, len(loader) - first)
        ends_group = number == first + group - 1
        watch.add(batch["ids"], _backward(learner, batch, group, ends_group))
        if ends_group:
            _update(learner)
        if number % LOOK_EVERY == 0:
            bar.set_postfix(loss=f"{watch.look():.4f}", refresh=False)
    watch.look()
    lr = learner.optimizer.param_groups[0]["lr"]
    return {"lr": lr, **watch.means(learner.world)}


def _backward(learner: Learner, batch: dict, group: int, sync: bool) -> dict[str, Tensor]:
    """Forward and backward of one batch; return the detached loss and its terms."""
    device = learner.world.device
    images = batch["images"].to(device, non_blocking=True)
    target = batch["target"].to(device, non_blocking=True)
    maps = {
        key: plane.to(device, non_blocking=True) for key, plane in batch.get("maps", {}).items()
    }
    quiet = learner.world.size > 1 and not sync
    with learner.wrapped.no_sync() if quiet else nullcontext():
        with learner.precision.autocast():
            logits = learner.wrapped(images)
        loss, terms = learner.criterion(logits, target, **maps)
        learner.precision.scaler.scale(loss / group).backward()
    return {"loss": loss.detach()} | {key: term.detach() for key, term in terms.items()}


def _update(learner: Learner) -> None:
    for group in learner.optimizer.param_groups:
        group["lr"] = learner.schedule(learner.step)
    scaler = learner.precision.scaler
    if clip_norm := learner.train.clip_norm:
        scaler.unscale_(learner.optimizer)
        nn.utils.clip_grad_norm_(learner.model.parameters(), clip_norm)
    scaler.step(learner.optimizer)
    scaler.update()
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.average:
        learner.average.update_parameters(learner.model)
    learner.step += 1


class _Watch:
    """Sums up the losses of an epoch and stops the run when one is not a number."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.pending: list[tuple[list[str], dict[str, Tensor]]] = []
        self.sums: dict[str, float] = {}
        self.batches = 0

    def add(self, ids: list[str], losses: dict[str, Tensor]) -> None:
        self.pending.append((ids, losses))

    def look(self) -> float:
        """Add the pending losses up; return the last. Raises FloatingPointError on NaN."""
        last = float("nan")
        for ids, losses in self.pending:
            values = {key: float(value) for key, value in losses.items()}
            last = values["loss"]
            if not torch.isfinite(losses["loss"]):
                shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
                raise FloatingPointError(
                    f"the loss is not finite in epoch {self.epoch}, batch {self.batches} "
                    f"({shown}); its slices: {', '.join(ids)}. Nothing of this epoch was "
                    f"saved; look at these slices, or {OTHERWISE}"
                )
            for key, value in values.items():
                self.sums[key] = self.sums.get(key, 0.0) + value
            self.batches += 1
        self.pending.clear()
        return last

    def means(self, world: World) -> dict[str, float]:
        """Means over all ranks, named train_*."""
        keys = list(self.sums)
        local = torch.tensor([self.sums[key] for key in keys] + [self.batches], dtype=torch.double)
        total = world.all_reduce(local).tolist()
        names = ["train_loss" if key == "loss" else f"train_{key}" for key in keys]
        return {name: value / total[-1] for name, value in zip(names, total, strict=False)}
