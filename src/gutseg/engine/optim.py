"""Optimisers, which decay neither biases nor normalisation layers, and learning rates.

A learning rate is a pure function of the step, so there is no state to resume.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gutseg.config.sections import Optim


def optimizer(model: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """Build adam, adamw or sgd (Nesterov) over two groups: decayed and not.

    Adam updates all weights in one kernel, on a GPU and on a CPU.
    """
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    groups = [
        {"params": [w for w in trained if w.dim() > 1], "weight_decay": optim.weight_decay},
        {"params": [w for w in trained if w.dim() <= 1], "weight_decay": 0.0},
    ]
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
    """Linear warm-up, then cosine, polynomial or no decay down to final_lr_ratio · lr."""

    optim: Optim
    # optimiser steps of the whole training
    steps: int
    warmup_steps: int = 0

    def __call__(self, step: float) -> float:
        """Return the learning rate of a step, counted from 0; a budget of seconds has fractions."""
        lr, final = self.optim.lr, self.optim.final_lr_ratio
        if step < self.warmup_steps:
            return lr * (step + 1) / self.warmup_steps
        if self.optim.schedule == "constant":
            return lr
        length = max(self.steps - self.warmup_steps, 1)
        progress = min((step - self.warmup_steps) / length, 1.0)
        if self.optim.schedule == "cosine":
            decay = 0.5 * (1 + math.cos(math.pi * progress))
        else:
            decay = (1 - progress) ** self.optim.power
        return lr * (final + (1 - final) * decay)
