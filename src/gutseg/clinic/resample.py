"""Volumes of other spacings than the training's: brought to it, and masks brought back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gutseg.clinic.geometry import AXES, SLICE_MM, Turn
from gutseg.clinic.volume import Volume
from gutseg.data.index import LARGEST_SCAN
from gutseg.registry import shown

Value = TypeVar("Value")

# of slices, rows and columns; 97 % of the competition's slices are of 1.5 mm, the rest of 1.63
TRAINED_MM = (SLICE_MM, 1.5, 1.5)
# Spacings within this factor are left alone, as those of 1.63 mm were in training.
# see `resample`: enough for float32, far too little to move an outline
TILT = 1e-3
ALIKE = 1.15
# Beyond this factor there is nothing to gain: what networks saw is finer or coarser by far.
FARTHEST = 3.0


@dataclass(frozen=True)
class Fit:
    """How a volume becomes what networks know, and masks return; see `fit`."""

    turn: Turn
    # turned: voxels and millimetres of slices, rows and columns
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    # voxels that networks see
    seen: tuple[int, int, int]

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """The size (z, y, x) in mm of the voxels that networks see."""
        sides = zip(self.shape, self.spacing, self.seen, strict=True)
        return _three([count * mm / seen for count, mm, seen in sides])

    def forward(self, image: np.ndarray) -> np.ndarray:
        """Return a volume's grey values (Z, H, W) uint16 as networks see them."""
        straight = self.turn.apply(image)
        if self.seen == self.shape:
            return np.ascontiguousarray(straight)
        return np.rint(resample(straight, self.seen)).astype(np.uint16)

    def back(self, masks: np.ndarray) -> np.ndarray:
        """Bring masks (C, Z, H, W) bool back to the volume's own voxels."""
        if self.seen != self.shape:
            # an average of exactly one half would be inside on both ends of an organ
            masks = np.stack([resample(mask, self.shape, tilt=TILT) >= 0.5 for mask in masks])
        return np.stack([self.turn.undo(mask) for mask in masks])

    def __str__(self) -> str:
        """Say what is done."""
        done = "not resampled" if self.seen == self.shape else f"resampled to {sides(self.seen)}"
        return f"{sides(self.shape)} voxels of {sides(self.spacing)} mm, {done}"


def fit(volume: Volume, trained_mm: Sequence[float], where: str) -> Fit:
    """Say how a volume is turned and resampled for networks that were trained at a spacing.

    trained_mm: of slices, rows and columns. An axis within ALIKE of it is left alone. where: a
    file, for errors. Raises ValueError for one that is FARTHEST from it, tilted or too large.
    """
    turn = volume.geometry.turn(where)
    shape, spacing, seen = [], [], []
    for name, axis, trained in zip(AXES, turn.order, trained_mm, strict=True):
        count, found = volume.geometry.shape[axis], volume.geometry.spacing[axis]
        factor = max(found / trained, trained / found)
        if factor > FARTHEST:
            raise ValueError(
                f"{where}: its {name} are {found:.3g} mm apart; the networks were trained at "
                f"{trained:g} mm, to which {trained / FARTHEST:g} to {trained * FARTHEST:g} mm are "
                "resampled"
            )
        shape.append(count)
        spacing.append(found)
        seen.append(count if factor <= ALIKE else max(round(count * found / trained), 1))
    if int(np.prod(seen, dtype=object)) > LARGEST_SCAN:
        raise ValueError(
            f"{where}: resampled it would have {sides(seen)} voxels; expected at most "
            f"{LARGEST_SCAN:,}"
        )
    return Fit(turn, _three(shape), _three(spacing), _three(seen))


def resample(volume: np.ndarray, shape: Sequence[int], tilt: float = 0.0) -> np.ndarray:
    """Return a volume over the same box with another number of voxels, float32.

    An axis that shrinks is averaged over the voxels that a new one covers; one that grows is
    interpolated between centres. tilt: by which share the last voxel of a shrinking axis weighs
    less than the first, so that halves of a mask are no ties.
    """
    values = volume.astype(np.float32)
    for axis, count in enumerate(shape):
        if count != values.shape[axis]:
            share = _shares(values.shape[axis], count, tilt)  # (count, before)
            values = np.moveaxis(np.tensordot(share, values, (1, axis)), 0, axis)
    return values


def _shares(before: int, after: int, tilt: float) -> np.ndarray:
    """What each voxel of an axis gives to each new one, (after, before) float32; rows sum to 1."""
    step = before / after
    if step > 1:
        start, cell = np.arange(after)[:, None] * step, np.arange(before)
        share = (np.minimum(start + step, cell + 1) - np.maximum(start, cell)).clip(min=0)
        share *= 1 - tilt * cell / before
        return (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    centre = ((np.arange(after) + 0.5) * step - 0.5).clip(0, before - 1)
    share = 1 - np.abs(centre[:, None] - np.arange(before))
    return share.clip(min=0).astype(np.float32)


def sides(values: Sequence[float]) -> str:
    """Return 3, 1.5, 1.5 as 3x1.5x1.5."""
    return "x".join(f"{value:.4g}" if value % 1 else f"{value:.0f}" for value in values)


def parsed(text: str) -> tuple[float, float, float]:
    """Return the millimetres of 3x1.5x1.5; raises ValueError for any other text."""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?(x\d{1,3}(\.\d{1,6})?){2}", text):
        raise ValueError(f"--trained-mm {shown(text)}; expected {sides(TRAINED_MM)} or alike")
    values = [float(part) for part in text.split("x")]
    if not min(values) > 0:
        raise ValueError(f"--trained-mm {text}; expected numbers above 0")
    return _three(values)


def _three(values: Sequence[Value]) -> tuple[Value, Value, Value]:
    first, second, third = values
    return first, second, third
