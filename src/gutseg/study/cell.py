"""One cell of a comparison: train one network with one loss, then count on held-out images."""

import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from gutseg import models
from gutseg.config import Optim
from gutseg.data.augment import Augmenter
from gutseg.data.maps import Maps
from gutseg.data.sources.labelled import (
    Labelled,
    against_background,
    class_shares,
    folds,
    some_channels,
)
from gutseg.engine import checkpoint
from gutseg.engine.memory import PeakMemory, warm_up
from gutseg.engine.optim import optimizer
from gutseg.engine.schedule import Schedule
from gutseg.engine.seeding import INITIAL, seed_everything
from gutseg.losses import Criterion
from gutseg.losses.weights import class_weights
from gutseg.registry import counted
from gutseg.settings import Section
from gutseg.study.crops import Crops, as_masks, as_target
from gutseg.study.held_out import (
    Predict,
    count,
    logits_of,
    measures,
    with_background_of,
)
from gutseg.study.sections import Bench, Input, Loss, Network, Patch, criterion, slug

log = logging.getLogger(__name__)


class Cell(Section):
    """A place in the grid."""

    loss: Loss
    network: Network
    input: Input
    lr: float
    patch: Patch
    seed: int
    fold: int

    @property
    def id(self) -> str:
        """A name for the folder that stays the same while the cell does."""
        height, width = self.patch
        names = [self.loss.label, self.network.label, self.input.label]
        place = f"lr{self.lr:g}--{height}x{width}--seed{self.seed}--fold{self.fold}"
        return "--".join([*(slug(name) for name in names if name), place])

    @property
    def network_label(self) -> str:
        """The network and what it sees, where that has a name: the rows of tables."""
        return ", ".join(filter(None, [self.network.label, self.input.label]))


class Diverged(FloatingPointError):
    """The loss or a weight is NaN or infinite."""


def run(cell: Cell, bench: Bench, data: Labelled) -> dict:
    """Train and measure a cell; an error becomes a status and a reason, never a stop."""
    try:
        return {"status": "ok", "reason": "", **_measured(cell, bench, data)}
    except FloatingPointError as error:
        return {"status": "diverged", "reason": str(error)}
    except Exception as error:
        log.warning("%s failed", cell.id, exc_info=True)
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}


def _measured(cell: Cell, bench: Bench, data: Labelled) -> dict:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = some_channels(data, cell.input.channels)
    held_out = folds(data, bench.folds, bench.fold_seed)[cell.fold]
    training = np.setdiff1d(np.arange(len(data.images)), held_out)
    warm_up(device)
    memory = PeakMemory(device)
    trainer = Trainer(cell, bench, data, training, device)
    found = trainer.fit()
    found["peak_mb"] = memory.growth()
    predict = trainer.predictor()
    started = time.perf_counter()
    counts = count(predict, data, held_out, bench.hard_shares)
    found["seconds_test"] = time.perf_counter() - started
    found |= measures(counts, data)
    if bench.background_from:
        found |= _with_binary(trainer, predict, held_out)
    for key, pixels in zip(data.classes, counts.truth, strict=True):
        found[f"pixels.{key}"] = int(pixels)
    for number, hard in counts.hard.items():
        found |= {f"hard{number}.{key}": int(n) for key, n in zip(data.classes, hard, strict=True)}
    found |= {
        f"share.{key}": share for key, share in zip(data.classes, trainer.shares, strict=True)
    }
    found["background"] = "" if data.background is None else data.classes[data.background]
    return found | {"device": device.type, "train_images": len(training), "images": len(held_out)}


def _with_binary(trainer: "Trainer", predict: Predict, held_out: np.ndarray) -> dict[str, float]:
    """Train objects against background, measure that and what its background makes of the cell.

    Source: thesis 000 equation 3.4.
    """
    data, objects = trainer.data, against_background(trainer.data)
    cell = trainer.cell.model_copy(update={"loss": trainer.bench.background_from})
    second = replace(trainer, cell=cell, data=objects)
    second.fit()
    binary = second.predictor()
    reused = partial(with_background_of, predict, binary, background=data.background)
    found = {
        "binary": measures(count(binary, objects, held_out), objects),
        "reuse": measures(count(reused, data, held_out), data),
    }
    return {f"{kind}.{key}": value for kind, part in found.items() for key, value in part.items()}


@dataclass
class Trainer:
    """The training of a cell, on crops of the training images."""

    cell: Cell
    bench: Bench
    data: Labelled
    training: np.ndarray
    device: torch.device
    shares: list[float] = field(init=False)
    model: nn.Module = field(init=False)
    criterion: Criterion = field(init=False)

    def __post_init__(self) -> None:
        cell, bench, data = self.cell, self.bench, self.data
        # By (seed, fold) alone: every loss starts from the same weights and sees the same crops.
        seed_everything(cell.seed, INITIAL, cell.fold)
        network = models.build(
            cell.network.name, data.channels, len(data.classes), **cell.network.params
        )
        layout = torch.channels_last if bench.channels_last else torch.contiguous_format
        self.model = network.to(self.device, memory_format=layout).train()
        self.shares = [float(share) for share in class_shares(data, self.training)]
        self.criterion = criterion(cell.loss, data, self._weights())
        self.maps = Maps(sorted(self.criterion.required_maps), cell.loss.maps)
        self.crops = Crops(
            data,
            self.training,
            cell.patch,
            bench.batch_size,
            seed=cell.seed,
            fold=cell.fold,
            flips=cell.input.flips,
            quarter_turns=cell.input.quarter_turns,
            augmenter=_augmenter(cell.input),
        )
        optim = Optim.model_construct(lr=cell.lr, **bench.optim.model_dump())
        self.optimizer = optimizer(self.model, optim)
        # One step long: it is asked by the share of the budget that is spent.
        self.schedule = Schedule(optim, 1)

    def _weights(self) -> list[float] | None:
        kind = self.cell.loss.class_weights
        return class_weights(kind, self.shares, self.data.background) if kind else None

    def fit(self) -> dict[str, float]:
        """Train until the budget is spent; return what was seen. Raises Diverged."""
        seed_everything(self.cell.seed, 0, self.cell.fold)
        losses: list[float] = []
        tail: list[float] = []
        started = time.perf_counter()
        while (spent := self._spent(len(losses), time.perf_counter() - started)) < 1:
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule(spent)
            loss, dice = self._step(len(losses))
            losses.append(loss)
            tail.append(dice)
            del tail[: len(tail) - self.bench.tail]
        seconds = time.perf_counter() - started
        # the loss is looked at before a step; NaN weights would predict nothing, and score for it
        if bad := checkpoint.not_finite(self.model.state_dict()):
            raise Diverged(
                f"weights are not finite after step {len(losses)} ({counted(bad, 'tensor')})"
            )
        return {
            "steps": len(losses),
            "seconds": seconds,
            "seconds_per_step": seconds / len(losses),
            "loss_first": losses[0],
            "loss_end": float(np.mean(losses[-20:])),
            "parameters": sum(weights.numel() for weights in self.model.parameters()),
            **_quartiles(tail),
        }

    def predictor(self) -> Predict:
        """Return the network as it is now, for whole images."""
        self.model.eval()
        return partial(logits_of, self.model, tile=self.bench.tile, device=self.device)

    def _spent(self, steps: int, seconds: float) -> float:
        budget = self.bench.budget
        if budget.steps is not None:
            return steps / budget.steps
        return seconds / budget.seconds if steps else 0.0

    def _step(self, number: int) -> tuple[float, float]:
        """Take one step; return its loss and, where a tail is kept, its Dice."""
        images, labels = self.crops.batch(number)
        target = as_target(labels, self.data)
        maps = {}
        if self.maps.draw:
            maps = self.maps.tensors(as_masks(labels, self.data))
        logits = self.model(self._moved(images))
        loss, _ = self.criterion(
            logits,
            self._moved(target),
            **{key: plane.to(self.device) for key, plane in maps.items()},
        )
        value = float(loss.detach())
        if not np.isfinite(value):
            raise Diverged(f"the loss is {value} in step {number + 1}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return value, self._dice(logits.detach(), labels) if self.bench.tail else 0.0

    def _moved(self, plane: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(plane)).to(self.device)

    def _dice(self, logits: Tensor, labels: np.ndarray) -> float:
        """Mean Dice of the objects on a batch, decided pixel by pixel."""
        batch = Labelled(
            [np.empty((*labels.shape[1:], 0))] * len(labels),
            list(labels),
            ["a crop"] * len(labels),
            [],
            self.data.classes,
            self.data.mode,
            self.data.background,
        )
        planes = iter(logits)
        counts = count(lambda _: next(planes), batch, range(len(labels)))
        return measures(counts, self.data)["dice_fg"]


def _augmenter(seen: Input) -> Augmenter | None:
    return None if seen.preset == "none" else Augmenter(seen.preset, **seen.params)


def _quartiles(values: list[float]) -> dict[str, float]:
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return {}
    names = ("tail_q1", "tail_median", "tail_q3")
    return dict(zip(names, map(float, np.quantile(known, (0.25, 0.5, 0.75))), strict=True))
