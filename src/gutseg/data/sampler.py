"""Which slices make up which batch: a pure function of (seed, epoch, rank) and their weights."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from gutseg.data.selection import weighted_draw

Size = tuple[int, int]


@dataclass
class Growth:
    """The sizes of training images over a budget."""

    # (share of the budget, (height, width) from there on), rising from 0
    stages: Sequence[tuple[float, Size]]
    # batches of the whole budget per rank; None for seconds, of which the loop sets the share spent
    batches: int | None
    spent: float = 0.0

    def at(self, batch: int) -> Size:
        """Return the size of a batch by its number from the training's beginning."""
        share = self.spent if self.batches is None else batch / self.batches
        return [size for start, size in self.stages if start <= share][-1]


class Batch(NamedTuple):
    """Positions in the list of samples, and the seed of the batch's augmentation."""

    positions: np.ndarray
    seed: int
    # (height, width) of its images, None for that of the source's inputs
    size: Size | None = None


class Step(NamedTuple):
    """The number of a batch of crops or patches, and the samples that they are cut from.

    None for positions that are drawn by the number, and for the size of the settings.
    """

    number: int
    positions: np.ndarray | None = None
    size: Size | None = None


class _Epochs:
    """What all samplers share: so many batches an epoch per rank, and the epoch that is dealt."""

    def __init__(self, steps: int, rank: int = 0, world_size: int = 1) -> None:
        self.steps, self.rank, self.world_size = steps, rank, world_size
        self.epoch = 0
        self.growth: Growth | None = None

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration deals."""
        self.epoch = epoch

    def _size(self, step: int) -> Size | None:
        """Return the size of a batch of this epoch, None where it never changes."""
        return self.growth.at(self.epoch * self.steps + step) if self.growth else None


class BatchSampler(_Epochs):
    """Deal one epoch's samples out to batches and ranks.

    has_label: (N,) bool, whether a sample shows any organ. empty_share: of the empty samples, drawn
    again every epoch (1 = all, 0 = none). steps: batches an epoch per rank; None takes every
    sample once and fills up the last batch from the epoch's beginning. weights: (N,) how often a
    sample is drawn relative to others, in an epoch of as many samples; None is all alike.
    """

    def __init__(
        self,
        has_label: np.ndarray,
        batch_size: int,
        *,
        seed: int,
        empty_share: float = 1.0,
        steps: int | None = None,
        weights: np.ndarray | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Raises ValueError when there is nothing to draw from."""
        self.weights = weights
        self.full = np.flatnonzero(has_label)
        self.empty = np.flatnonzero(~has_label)
        self.num_empty = round(empty_share * len(self.empty))
        samples = len(self.full) + self.num_empty
        if not samples:
            raise ValueError(f"no samples: {len(self.empty)} empty, empty_share = {empty_share}")
        self.batch_size, self.seed = batch_size, seed
        super().__init__(steps or -(-samples // (batch_size * world_size)), rank, world_size)

    def __iter__(self) -> Iterator[Batch]:
        order = np.random.default_rng([self.seed, self.epoch])
        needed = self.steps * self.batch_size * self.world_size
        rounds: list[np.ndarray] = []
        while sum(map(len, rounds)) < needed:
            kept = order.permutation(self.empty)[: self.num_empty]
            known = np.concatenate([self.full, kept])
            if self.weights is not None:
                known = known[weighted_draw(self.weights[known], len(known), order)]
            rounds.append(order.permutation(known))
        positions = np.concatenate(rounds)[:needed].reshape(self.steps, self.world_size, -1)
        augmentation = np.random.SeedSequence([self.seed, self.epoch, self.rank])
        seeds = augmentation.generate_state(self.steps)
        for step in range(self.steps):
            yield Batch(positions[step, self.rank], int(seeds[step]), self._size(step))


class StepSampler(_Epochs):
    """Number the batches of all epochs and ranks; for crops, which are drawn by that number."""

    def __iter__(self) -> Iterator[int | Step]:
        first = self.epoch * self.steps
        for step in range(self.steps):
            number, size = (first + step) * self.world_size + self.rank, self._size(step)
            yield number if size is None else Step(number, size=size)


class WeightedStepSampler(StepSampler):
    """The same with the samples of every batch, drawn by (seed, stream, number of the batch)."""

    def __init__(
        self, steps: int, weights: np.ndarray, batch_size: int, draw: tuple[int, int], **ranks: int
    ) -> None:
        """weights: (N,) how often a sample is drawn relative to others. draw: seed and stream."""
        super().__init__(steps, **ranks)
        self.weights, self.batch_size, self.draw = weights, batch_size, draw

    def __iter__(self) -> Iterator[Step]:
        shares = self.weights / self.weights.sum()
        for item in super().__iter__():
            step = item if isinstance(item, Step) else Step(item)
            # 2: no other generator of a step is seeded so
            random = np.random.default_rng([*self.draw, step.number, 2])
            yield step._replace(positions=random.choice(len(shares), self.batch_size, p=shares))


class Endless(_Epochs):
    """The epochs of a sampler, one after the other, as a single one without an end."""

    def __init__(self, sampler: BatchSampler | StepSampler) -> None:
        super().__init__(sys.maxsize)
        self.sampler, self.growth = sampler, sampler.growth

    def __iter__(self) -> Iterator[Batch | Step | int]:
        for epoch in count():
            self.sampler.set_epoch(epoch)
            yield from self.sampler
