"""Learning-rate schedules: pure functions of the step, so there is no state to resume."""

import math
from dataclasses import dataclass

from gutseg.config import Optim


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
