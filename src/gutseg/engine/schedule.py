"""Learning-rate schedules: pure functions of the step, so there is no state to resume."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then cosine, polynomial or no decay down to final · lr.

    lr: peak. steps, warmup_steps: optimiser steps. final: share of lr. power: of `poly` alone.
    """

    lr: float
    steps: int
    kind: Literal["cosine", "poly", "constant"] = "cosine"
    warmup_steps: int = 0
    final: float = 0.01
    power: float = 0.9

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.kind == "constant":
            return self.lr
        length = max(self.steps - self.warmup_steps, 1)
        progress = min((step - self.warmup_steps) / length, 1.0)
        if self.kind == "cosine":
            decay = 0.5 * (1 + math.cos(math.pi * progress))
        else:
            decay = (1 - progress) ** self.power
        return self.lr * (self.final + (1 - self.final) * decay)
