"""Training batches of volumes: patches of whole scans, a share of them around an organ.

A batch is one of gutseg.data.batches with slices: `images` (B, 1, z, y, x) float32 in [0, 1],
`target` (B, C, z, y, x) float32, `maps` drawn slice by slice, `ids`, and `ignore` (B, z, y, x) bool
where a patch reaches beyond the slices that may be seen.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from gutseg.data.augment import Augmenter
from gutseg.data.batches import MARGIN, Planes, as_target, augmented
from gutseg.data.inputs import CropSide, Window
from gutseg.data.maps import Maps
from gutseg.data.sampler import Step
from gutseg.data.sources.source import Source
from gutseg.settings import Section, Share

# slices of a patch; the longest scans have 144
Depth = Annotated[int, Field(ge=1, le=256)]


class Patching(Section):
    """What a network of volumes is trained on, and how it predicts a whole scan."""

    # [slices, height, width] of a patch in voxels, height and width after the window; a smaller
    # scan is filled up: slices as stack.edge says and without a loss, rows and columns with black
    patch: tuple[Depth, CropSide, CropSide] = (16, 96, 96)
    # share of the patches that are centred on a voxel of an organ, each organ of the scan as likely
    foreground: Share = 0.33
    # share of a patch that two neighbouring windows have in common when a scan is predicted
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.5


@dataclass(frozen=True)
class Listed:
    """The slices of a scan that may be seen."""

    # (N,) in rising order
    z: np.ndarray
    # (N, C) bool: whether a slice shows a class that is an object
    shows: np.ndarray


@dataclass(frozen=True)
class Patches(Dataset):
    """Random patches; the batch of a step is a pure function of (seed, fold, step).

    A Step says which slices patches are centred on that are not centred on an organ, where slices
    are not all drawn alike. With an augmentation patches get a margin in the plane, so that a
    deformation moves in what lies next to them; all slices of a patch are moved alike.
    """

    source: Source
    # of the source's index, whole scans; slices that are not listed have no loss
    rows: pd.DataFrame
    patching: Patching
    batch_size: int
    seed: int
    fold: int
    augment: Augmenter = field(default_factory=Augmenter)
    maps: Maps = field(default_factory=Maps)

    @cached_property
    def scans(self) -> dict[str, Listed]:
        """Scan -> the slices that are listed."""
        data = self.source
        objects = [name for number, name in enumerate(data.classes) if number != data.background]
        return {
            name: Listed(part["z"].to_numpy(), part[objects].to_numpy(bool))
            for name, part in self.rows.sort_values("z").groupby("scan")
        }

    @cached_property
    def count(self) -> int:
        """The fewest patches that cover all scans once: what an epoch sees unless it is told."""
        sides = [(len(self.scans[name].z), *self._window(name).size) for name in self.scans]
        return sum(
            math.prod(-(-a // b) for a, b in zip(side, self.patching.patch, strict=True))
            for side in sides
        )

    def __getitem__(self, step: int | Step) -> dict:
        number, drawn, _ = step if isinstance(step, Step) else Step(step)
        random = np.random.default_rng([self.seed, self.fold, number])
        margin = MARGIN * self.augment.changes
        # as many as the share says on average, whatever the size of a batch
        around = int(self.patching.foreground * self.batch_size + random.random())
        positions = [None] * self.batch_size if drawn is None else drawn.tolist()
        places = [self._place(random, i < around, row) for i, row in enumerate(positions)]
        images, labels, known = zip(*(self._read(*place, margin) for place in places), strict=True)
        moved: Planes = (np.stack(images), np.stack(labels), None)  # (B, z, y, x) both
        if margin:
            moved = augmented(self.augment, moved, int(random.integers(2**32)))
        inside = (..., slice(margin, -margin or None), slice(margin, -margin or None))
        ids = [f"{name} from slice {z}, row {y}, column {x}" for name, (z, y, x) in places]
        return self._as_batch(moved[0][inside], moved[1][inside], np.stack(known), ids)

    def _as_batch(
        self, images: np.ndarray, labels: np.ndarray, known: np.ndarray, ids: list[str]
    ) -> dict:
        """images, labels: (B, z, y, x). known: (B, z) bool, whether a slice is listed."""
        slices = labels.reshape(-1, *labels.shape[2:])  # (B * z, y, x)
        unknown = np.broadcast_to(~known.reshape(-1, 1, 1), slices.shape)
        parts = as_target(self.source, slices, unknown, self.maps)
        parts["maps"] = {key: self._joined(plane) for key, plane in parts["maps"].items()}
        parts |= {key: self._joined(parts[key]) for key in ("target", "ignore") if key in parts}
        return {
            "images": torch.from_numpy(np.ascontiguousarray(images[:, None])),  # (B, 1, z, y, x)
            **parts,
            "ids": ids,
        }

    def _joined(self, slices: Tensor) -> Tensor:
        """(B * z, [C,] y, x) -> (B, [C,] z, y, x)."""
        volumes = slices.unflatten(0, (self.batch_size, -1))
        return volumes.transpose(1, 2).contiguous() if volumes.dim() == 5 else volumes

    def _window(self, name: str) -> Window:
        return self.source.inputs.window(self.source.scan(name))

    def _place(
        self, random: np.random.Generator, around: bool, position: int | None
    ) -> tuple[str, tuple[int, int, int]]:
        """Draw a scan, by its slices, and where a patch of it starts (z, y, x), below 0 perhaps.

        around: centre it on a voxel of an organ, where the scan shows one. position: of the row
        whose scan is taken, and whose slice is the middle where nothing else is; None draws one.
        """
        row = self.rows.iloc[random.integers(len(self.rows)) if position is None else position]
        name = row["scan"]
        sides = (self.source.scan(name).shape[0], *self._window(name).size)
        wanted: tuple[int | None, ...] | None = self._organ(random, name) if around else None
        if wanted is None:
            wanted = (None if position is None else int(row["z"]), None, None)
        start = []
        for axis, (side, length) in enumerate(zip(sides, self.patching.patch, strict=True)):
            free = side - length
            if free <= 0:
                start.append(-(-free // 2))
            elif (middle := wanted[axis]) is None:
                start.append(int(random.integers(free + 1)))
            else:
                start.append(min(max(middle - length // 2, 0), free))
        return name, (start[0], start[1], start[2])

    def _organ(self, random: np.random.Generator, name: str) -> tuple[int, int, int] | None:
        """Draw an organ, a slice that shows it and a voxel of it there; None where there is none.

        Only that slice is read: a table of all voxels would take longer to make than an epoch.
        """
        listed, data = self.scans[name], self.source
        organs = np.flatnonzero(listed.shows.any(axis=0))
        if not len(organs):
            return None
        organ = random.choice(organs)
        z = int(random.choice(listed.z[listed.shows[:, organ]]))
        numbers = [number for number in range(len(data.classes)) if number != data.background]
        labels = data.inputs.labels(data.scan(name), np.array([z]))
        rows, columns = np.nonzero(data.masks(labels)[0, numbers[organ]] >= 0.5)
        if not len(rows):  # lost when the slice was made smaller, or outside the window
            return None
        voxel = random.integers(len(rows))
        return z, int(rows[voxel]), int(columns[voxel])

    def _read(
        self, name: str, start: tuple[int, int, int], margin: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return images (z, y, x), labels (z, y, x) and whether slices are listed (z,)."""
        scan, inputs = self.source.scan(name), self.source.inputs
        first, top, left = start
        depth, height, width = self.patching.patch
        z = np.arange(first, first + depth)  # beyond the scan stack.edge decides
        box = (top - margin, top + height + margin, left - margin, left + width + margin)
        size = (height + 2 * margin, width + 2 * margin)
        patch = Window(self._window(name).size, box, size)
        images = patch.forward(inputs.images(scan, z)[:, 0])
        labels = patch.forward(inputs.labels(scan, z.clip(0, scan.shape[0] - 1)), labels=True)
        return images, labels, np.isin(z, self.scans[name].z)
