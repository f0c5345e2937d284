"""The training slices whose errors make the Hausdorff distances of their scans."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from gutseg.data.selection import Hard
from gutseg.data.sources.source import Source
from gutseg.inference.predictor import Predictor
from gutseg.metrics.pooled import decided
from gutseg.metrics.witness import farthest_plane


@dataclass
class HardSlices:
    """Draws these slices more often, found anew every few epochs by predicting the training scans.

    Which they are is a function of the weights: all ranks find the same, and so does a training
    that is resumed, from the positions that its checkpoint holds.
    """

    settings: Hard
    # what is predicted, and the rows of its index that are trained on
    source: Source
    rows: pd.DataFrame
    # turns the network into a Predictor
    wrap: Callable[[nn.Module], Predictor]
    # its weights are set; of gutseg.data.sampler
    sampler: Any
    # the planes that it draws, `scan` and `z`, which are counted along this axis of (Z, H, W)
    drawn: pd.DataFrame
    axis: int = 0
    _: KW_ONLY
    rank: int = 0
    world_size: int = 1
    # sums a tensor over ranks
    all_reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor
    # the rows of `drawn` that are drawn more often now
    positions: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.base = (
            np.ones(len(self.drawn)) if self.sampler.weights is None else self.sampler.weights
        )
        self.scans = [(name, part["z"].to_numpy()) for name, part in self.rows.groupby("scan")]

    def begin(self, epoch: int, network: nn.Module) -> None:
        """Find the slices anew where an epoch is due; network: as it is before that epoch."""
        if epoch and epoch % self.settings.every == 0:
            self.draw(self._find(network))

    def draw(self, positions: list[int]) -> None:
        """Draw some rows more often; raises ValueError where there are no such rows."""
        if not all(isinstance(one, int) and 0 <= one < len(self.drawn) for one in positions):
            raise ValueError(f"its hard slices are none of {len(self.drawn)}")
        self.positions = positions
        weights = self.base.copy()
        weights[positions] *= self.settings.factor
        self.sampler.weights = weights

    def _find(self, network: nn.Module) -> list[int]:
        predictor = self.wrap(network)
        found = torch.zeros(len(self.scans), len(self.source.classes), 2, dtype=torch.double)
        for number in range(self.rank, len(self.scans), self.world_size):
            found[number] = self._compare(predictor, *self.scans[number])
        distances, planes = np.array(self.all_reduce(found).tolist()).reshape(-1, 2).T
        count = math.ceil(self.settings.share * np.count_nonzero(distances))
        worst = np.argsort(-distances, kind="stable")[:count]
        names = [self.scans[one // len(self.source.classes)][0] for one in worst]
        wanted = set(zip(names, planes[worst].astype(int).tolist(), strict=True))
        pairs = zip(self.drawn["scan"], self.drawn["z"], strict=True)
        return [position for position, pair in enumerate(pairs) if pair in wanted]

    def _compare(self, predictor: Predictor, name: str, z: np.ndarray) -> Tensor:
        """Return the distance of every class, as the score counts it, and its plane: (C, 2).

        Only planes z are compared. A class on one side alone is as far as a scan can be.
        """
        source, scan = self.source, self.source.scan(name)
        sides = [decided(predictor(scan, z), source.mode), source.truth(scan, z)]  # (C, B, H, W)
        ignored = source.ignored(scan, z)
        depth, height, width = scan.shape
        spacing = (1 / depth, 1 / height, 1 / width)
        found = torch.zeros(len(source.classes), 2, dtype=torch.double)
        for number in range(len(source.classes)):
            if number == source.background:
                continue
            masks = np.zeros((2, *scan.shape), bool)
            for mask, side in zip(masks, sides, strict=True):
                mask[z] = side[number] if ignored is None else side[number] & ~ignored
            if way := farthest_plane(masks[0], masks[1], self.axis, spacing=spacing):
                found[number, 0], found[number, 1] = min(way[0], math.sqrt(3)), way[1]
        return found
