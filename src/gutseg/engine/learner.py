"""What is trained, and one step of it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gutseg.config import Train
from gutseg.engine import checkpoint
from gutseg.engine.distributed import World
from gutseg.engine.memory import PeakMemory
from gutseg.engine.optim import ENCODER, Schedule, has_moments
from gutseg.engine.precision import Precision
from gutseg.engine.presence import MaskLoss, finest

Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass
class Learner:
    """What is trained: the bare model, its wrapped form, optimiser, schedule and average."""

    model: nn.Module
    criterion: MaskLoss
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    world: World
    train: Train
    seed: int = 0
    # added to the rank where randomness is drawn by (seed, epoch, rank)
    stream: int = 0
    # (logits, target, ignore) of a batch -> its Dice; None where no tail is kept
    dice: Callable[..., float] | None = None
    memory: PeakMemory | None = None
    step: int = 0
    average: AveragedModel | None = field(init=False, default=None)
    # the model, compiled and distributed where asked: torch types neither as a module
    wrapped: Any = field(init=False)

    def __post_init__(self) -> None:
        start = self.train.average_from
        if self.train.ema or start is not None:
            decay = self.train.ema
            average = get_ema_multi_avg_fn(decay) if decay else _mean_of_all
            self.average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
        self.wrapped = torch.compile(self.model) if self.train.compile else self.model
        if self.world.size > 1:
            self.wrapped = DistributedDataParallel(self.wrapped)

    @property
    def best(self) -> nn.Module:
        """The model to evaluate: the average when there is one and it has begun."""
        begun = self.average and (self.train.ema or int(self.average.n_averaged))
        return self.average.module if self.average and begun else self.model

    @property
    def _parts(self) -> dict[str, Any]:
        """What has a state, by name; None where it is not in use."""
        return {
            "model": self.model,
            "average": self.average,
            "optimizer": self.optimizer,
            "scaler": self.precision.scaler,
        }

    def state(self) -> dict[str, Any]:
        """Everything a later process needs to resume bit-exactly."""
        parts = self._parts.items()
        states = {name: None if part is None else part.state_dict() for name, part in parts}
        return states | {"step": self.step}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state; raises ValueError when it is not one of this network's training."""
        if missing := [name for name in (*self._parts, "step") if name not in state]:
            raise ValueError(f"it holds no {', '.join(missing)}")
        if problem := checkpoint.misfit(self.model, state["model"]):
            raise ValueError(problem)
        for name, part in self._parts.items():
            try:
                if part is not None:
                    part.load_state_dict(state[name])
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError):
                # what torch raises depends on the part that is missing or has another shape
                raise ValueError(f"its {name} is of another training") from None
        self.step = state["step"]
        if self.step and not has_moments(self.optimizer):
            raise ValueError("the optimiser's state is missing")

    def backward(self, batch: dict, group: int, sync: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward and backward of one batch; return logits, and loss and terms detached."""
        device = self.world.device
        images = batch["images"].to(device, non_blocking=True)  # (B, S, h, w)
        target = batch["target"].to(device, non_blocking=True)  # (B, C, h, w) or (B, h, w)
        # maps (B, C or 1, h, w), ignore (B, h, w)
        extras = batch.get("maps", {}) | {key: batch[key] for key in ("ignore",) if key in batch}
        extras = {key: plane.to(device, non_blocking=True) for key, plane in extras.items()}
        quiet = self.world.size > 1 and not sync
        with self.wrapped.no_sync() if quiet else nullcontext():
            with self.precision.autocast():
                outputs = self.wrapped(images)  # (B, C, h, w), a list of them, or `Outputs`
            loss, terms = self.criterion(outputs, target, **extras)
            self.precision.scaler.scale(loss / group).backward()
        losses = {"loss": loss} | terms
        return finest(outputs), {key: value.detach() for key, value in losses.items()}

    def update(self, spent: float) -> None:
        """Take a step; spent: the share of a budget of seconds, whose schedule counts by it."""
        position = self.step if self.train.seconds is None else spent * self.schedule.steps
        for group in self.optimizer.param_groups:
            # older checkpoints do not say what a group is of
            group["lr"] = self.schedule(position, encoder=group.get(ENCODER, False))
        scaler = self.precision.scaler
        if clip_norm := self.train.clip_norm:
            scaler.unscale_(self.optimizer)
            # of what moves: a frozen encoder has gradients too
            groups = [group for group in self.optimizer.param_groups if group["lr"] > 0]
            moving = {id(one) for group in groups for one in group["params"]}
            weights = [one for one in self.model.parameters() if id(one) in moving]
            nn.utils.clip_grad_norm_(weights, clip_norm)
        scaler.step(self.optimizer)
        scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        start = self.train.average_from
        if self.average and (start is None or position >= start * self.schedule.steps):
            self.average.update_parameters(self.model)
        self.step += 1


def _mean_of_all(means: Tensors, now: Tensors, number: Tensor | int) -> None:
    """Move means of so many values by the next ones; torch's own fails on counts of batches."""
    if means[0].is_floating_point():
        torch._foreach_lerp_(means, now, 1 / (int(number) + 1))
    else:
        torch._foreach_copy_(means, now)
