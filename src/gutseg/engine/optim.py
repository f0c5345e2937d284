"""Optimisers, which decay neither biases nor normalisation layers, and learning rates.

A learning rate is a pure function of the step, so there is no state to resume.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gutseg.config.training import Optim, Train

# a part of the name of every weight of an encoder
ENCODER = "encoder"
# of one_cycle: the first learning rate over the highest, and the share of steps in which it rises
FIRST, RISE = 1 / 25, 0.3


def optimizer(model: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """Build adam, adamw or sgd (Nesterov) over groups: decayed and not, of the encoder and not.

    The encoder, which is what a module of that name holds, is told apart where its learning rate
    is; raises ValueError for a network without one. Adam updates all weights in one kernel, on a
    GPU and on a CPU.
    """
    trained = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    inside = [ENCODER in name.split(".") and optim.tells_encoder_apart for name, _ in trained]
    if optim.tells_encoder_apart and not any(inside):
        raise ValueError(
            "optim.encoder_lr_ratio, optim.frozen_epochs: this network has no part called encoder; "
            "leave both out, or take a row as smp or unet (`gutseg list networks`)"
        )
    groups = []
    for encoder in sorted(set(inside)):
        weights = [one for (_, one), of_it in zip(trained, inside, strict=True) if of_it == encoder]
        for decayed in (True, False):
            part = [one for one in weights if (one.dim() > 1) == decayed]
            decay = optim.weight_decay if decayed else 0.0
            groups.append({"params": part, "weight_decay": decay, ENCODER: encoder})
    lr, momentum = optim.lr, optim.momentum
    if optim.name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optim.name]
    return kind(groups, lr=lr, betas=(momentum, 0.999), fused=True)


def has_moments(optimizer: torch.optim.Optimizer) -> bool:
    """Say whether the means that an optimiser keeps from its first step on are there and fit."""
    names: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    if isinstance(optimizer, torch.optim.SGD):
        names = ("momentum_buffer",) if optimizer.param_groups[0]["momentum"] else ()
    # a weight that never had a gradient has none
    kept = [(weight, means) for weight, means in optimizer.state.items() if means]
    fitting = all(
        isinstance(means.get(name), Tensor) and means[name].shape == weight.shape
        for weight, means in kept
        for name in names
    )
    return fitting and (bool(kept) or not names)


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then cosine, polynomial or no decay down to final_lr_ratio · lr.

    Or one cycle: up by half a cosine, down by another [Smith 2018].
    """

    optim: Optim
    # optimiser steps of the whole training
    steps: int
    warmup_steps: int = 0
    # in which the encoder stays as it is
    frozen_steps: int = 0

    @classmethod
    def of(cls, optim: Optim, train: Train, batches: int) -> "Schedule":
        """Return the learning rates of a budget; batches: of one epoch.

        A budget of seconds is counted in milliseconds, and its epochs are all of it. Raises
        ValueError where the encoder would never learn.
        """
        if train.seconds:
            whole = epoch = round(1000 * train.seconds)
        else:
            epoch = -(-batches // train.accumulate)  # the last, shorter group is a step too
            whole = train.steps or epoch * (train.epochs or 1)
        warmup, frozen = optim.warmup_epochs, optim.frozen_epochs
        if train.seconds:
            warmup, frozen = min(warmup, 1), min(frozen, 1)
        if frozen and round(epoch * frozen) >= whole:
            raise ValueError(
                f"optim.frozen_epochs: {optim.frozen_epochs:g} freeze the encoder for the whole "
                "budget; give fewer, of train.seconds or train.steps a share of them below 1"
            )
        return cls(optim, whole, round(epoch * warmup), round(epoch * frozen))

    def __call__(self, step: float, *, encoder: bool = False) -> float:
        """Return the learning rate of a step, counted from 0; a budget of seconds has fractions.

        encoder: of its weights, where they have one of their own.
        """
        if encoder:
            ratio = 0.0 if step < self.frozen_steps else self.optim.encoder_lr_ratio
            return ratio * self(step)
        lr, final = self.optim.lr, self.optim.final_lr_ratio
        if step < self.warmup_steps:
            return lr * (step + 1) / self.warmup_steps
        if self.optim.schedule == "constant":
            return lr
        length = max(self.steps - self.warmup_steps, 1)
        progress = min((step - self.warmup_steps) / length, 1.0)
        if self.optim.schedule == "one_cycle":
            if progress < RISE:
                return lr * (FIRST + (1 - FIRST) * (1 - _half_cosine(progress / RISE)))
            progress = (progress - RISE) / (1 - RISE)
        if self.optim.schedule == "poly":
            decay = (1 - progress) ** self.optim.power
        else:
            decay = _half_cosine(progress)
        return lr * (final + (1 - final) * decay)


def _half_cosine(progress: float) -> float:
    """From 1 down to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))
