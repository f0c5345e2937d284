"""Randomness is a pure function of (seed, epoch, rank); resume is then bit-exact."""

import random

import numpy as np
import torch

# Initial weights are drawn before the first epoch and must be the same on every rank.
INITIAL = -1


def seed_everything(seed: int, epoch: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch (all devices) for one epoch of one rank."""
    words = np.random.SeedSequence([seed, epoch + 1, rank]).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002 (libraries still draw from the global state)
    torch.manual_seed(int(words[2]))
