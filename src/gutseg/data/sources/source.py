"""What a data set says about itself: the only place that knows its classes."""

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd

from gutseg.data.folds import draw
from gutseg.data.inputs import Geometry, Inputs
from gutseg.losses.reductions import Mode


class Source(ABC):
    """Labelled planes of scans; an image that stands alone is a scan with one plane."""

    # one per channel of a prediction
    classes: tuple[str, ...]
    # multilabel: labels hold one bit per class; multiclass: they hold the number of the class
    mode: Mode
    # the number of the class that is not an object, None where there is none
    background: int | None = None
    # whether scans are volumes, so that the competition score applies
    has_volumes: bool = False
    # one row per plane: id, group, scan, z and, by class, whether it shows it; planes of one group
    # are never on both sides of a fold
    index: pd.DataFrame
    # how much of each class every plane shows (N, C), for folds
    amounts: np.ndarray
    # what a network sees of a scan
    inputs: Inputs

    @abstractmethod
    def scan(self, name: str) -> Any:
        """Open a scan: name, shape (Z, H, W), labels (Z, H, W) uint8 and what `inputs` needs."""

    @abstractmethod
    def fingerprint(self, name: str) -> str:
        """Return what identifies a scan's pixels and labels."""

    def earlier(self, name: str) -> str | None:
        """Return the earlier scan that a network sees with a scan and its fingerprint, if any."""
        return None

    def of_size(self, size: tuple[int, int]) -> Self:
        """Return the same with inputs of another size (height, width)."""
        return self.with_geometry(self.inputs.geometry.model_copy(update={"size": size}))

    def with_geometry(self, geometry: Geometry) -> Self:
        """Return the same with inputs of another geometry; this one stays as it is."""
        found = copy(self)
        found.inputs = replace(self.inputs, geometry=geometry)
        return found

    def voxel_mm(self, name: str) -> tuple[float, float, float] | None:
        """Return the size (z, y, x) of a scan's voxels in mm, None where nothing says it."""
        return None

    def ignored(self, scan: Any, z: np.ndarray) -> np.ndarray | None:
        """Return the pixels (B, H, W) bool of planes z that count nowhere, None for none."""
        return None

    def planes(self, name: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return planes z (B,) of a scan as a network sees them.

        Images (B, S, h, w) float32 in [0, 1], labels (B, h, w), ignored pixels (B, h, w) or None.
        """
        scan = self.scan(name)
        return self.inputs.images(scan, z), *self.seen_labels(scan, z)

    def seen_labels(self, scan: Any, z: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return labels (B, h, w) and ignored pixels (B, h, w) of planes z as a network's input."""
        ignored = self.ignored(scan, z)
        if ignored is not None:
            whole = ignored.astype(np.uint8)
            ignored = self.inputs.window(scan).forward(whole, labels=True).astype(bool)
        return self.inputs.labels(scan, z), ignored

    def masks(self, labels: np.ndarray) -> np.ndarray:
        """Spread labels (B, H, W) uint8 over classes: (B, C, H, W) float32; soft ones stay."""
        if labels.dtype.kind == "f":
            return labels
        numbers = np.arange(len(self.classes), dtype=np.uint8)[:, None, None]
        if self.mode == "multilabel":
            return (labels[:, None] >> numbers & 1).astype(np.float32)
        return (labels[:, None] == numbers).astype(np.float32)

    def target(self, labels: np.ndarray) -> np.ndarray:
        """Return what a loss compares with: class numbers (B, H, W) int64, or `masks`."""
        numbers = self.mode == "multiclass" and labels.dtype.kind != "f"
        return labels.astype(np.int64) if numbers else self.masks(labels)

    def truth(self, scan: Any, z: np.ndarray) -> np.ndarray:
        """Return the masks of planes z at native size: (C, B, H, W) bool."""
        return self.masks(scan.labels[z]).swapaxes(0, 1) >= 0.5

    def shows_object(self, rows: pd.DataFrame) -> np.ndarray:
        """(N,) bool: whether a plane shows any class but the background."""
        objects = [name for number, name in enumerate(self.classes) if number != self.background]
        return rows[objects].to_numpy().any(axis=1)

    def class_shares(self, rows: pd.DataFrame) -> list[float]:
        """Return the share of the pixels that each class has on some rows of the index."""
        counts, pixels = self.pixels(rows)
        return (counts.sum(axis=0) / max(pixels.sum(), 1)).tolist()

    def pixels(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Count pixels on some rows of the index: of every class (N, C), and all (N,)."""
        counts = np.zeros((len(rows), len(self.classes)), np.int64)
        totals = np.zeros(len(rows), np.int64)
        for name, positions in rows.reset_index(drop=True).groupby("scan").groups.items():
            scan, z = self.scan(name), rows["z"].to_numpy()[positions]
            ignored = self.ignored(scan, z)
            for number, position in enumerate(positions):
                plane = self.truth(scan, z[number : number + 1])[:, 0]
                kept = np.ones(plane.shape[1:], bool) if ignored is None else ~ignored[number]
                counts[position] = (plane & kept).sum(axis=(1, 2))
                totals[position] = kept.sum()
        return counts, totals

    def draw_folds(self, number: int, seed: int) -> pd.Series:
        """Return the fold of every row of the index: groups stay whole.

        Strata, planes with the same rarest class, are shared out evenly; one of fewer planes than
        folds is joined to the largest. Raises ValueError with fewer groups than folds.
        """
        groups = self.index["group"].nunique()
        if not 2 <= number <= groups:
            raise ValueError(f"folds = {number}; expected 2 to {groups}, the number of groups")
        rarity = self.amounts.sum(axis=0)
        order = [c for c in np.argsort(rarity, kind="stable") if c != self.background]
        shown = np.c_[self.amounts[:, order] > 0, np.ones(len(self.amounts), bool)]
        stratum = np.array([*order, -1])[shown.argmax(axis=1)]  # (N,), -1 for no class
        values, sizes = np.unique(stratum, return_counts=True)
        stratum[np.isin(stratum, values[sizes < number])] = values[sizes.argmax()]
        fold = draw(self.index["group"], stratum, number, seed)
        return pd.Series(fold, index=self.index.index)
