"""Where the voxels of a volume lie in the patient, and how to turn it the way networks know.

Coordinates are DICOM's: millimetres, x towards the patient's left, y to the back, z to the head.
NIfTI's have the first two the other way round.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

# Slices of the competition run from head to feet, rows to the back, columns to the left. Seen on
# case2_day1: the liver is on the left of a slice, the stomach lies in slices before the bowel.
STRAIGHT = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
# between slices; the competition's page says it, the names of its files do not
SLICE_MM = 3.0
# degrees that an axis of a volume may be away from the patient's; Kaggle's scans are straight
MOST_TILT = 20.0
# cosine of the angle between axes that should be at right angles: half a tenth of a degree
SQUARE = 1e-3
AXES = ("slices", "rows", "columns")


@dataclass(frozen=True)
class Turn:
    """How a volume's axes are put in order and flipped, so that it lies as Kaggle's scans do."""

    order: tuple[int, ...]
    flips: tuple[bool, ...]

    def apply(self, volume: np.ndarray) -> np.ndarray:
        """Turn a volume (Z, H, W) of an input into one that networks know."""
        return np.flip(volume.transpose(self.order), self._flipped)

    def undo(self, volume: np.ndarray) -> np.ndarray:
        """Turn a volume back."""
        return np.flip(volume, self._flipped).transpose(np.argsort(self.order))

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)


@dataclass(frozen=True)
class Geometry:
    """A grid in the patient."""

    # (Z, H, W)
    shape: tuple[int, int, int]
    # (x, y, z) mm of the centre of voxel (0, 0, 0)
    origin: np.ndarray
    # (3, 3) mm: one row to the next slice, one to the next image row, one to the next column
    steps: np.ndarray

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Distances of neighbouring slices, rows and columns in mm."""
        depth, height, width = np.linalg.norm(self.steps, axis=1)
        return float(depth), float(height), float(width)

    @cached_property
    def directions(self) -> np.ndarray:
        """The steps as vectors of length 1, (3, 3)."""
        return self.steps / np.array(self.spacing)[:, None]

    def to_patient(self, index: np.ndarray) -> np.ndarray:
        """Return positions (N, 3) mm of indices (N, 3) of voxels, or of places between them."""
        return self.origin + index @ self.steps

    def to_index(self, position: np.ndarray) -> np.ndarray:
        """Return indices (N, 3) of positions (N, 3) mm."""
        return (position - self.origin) @ np.linalg.inv(self.steps)

    def turn(self, where: str) -> Turn:
        """Return how to turn the volume; where: a file, for errors.

        Raises ValueError where axes are askew or far from the patient's.
        """
        askew = np.abs(self.directions @ self.directions.T - np.eye(3)).max()
        if not askew <= SQUARE:
            raise ValueError(
                f"{where}: slices, rows and columns are not at right angles (cosine {askew:.3f}); "
                "resample it to a straight grid"
            )
        cosines = self.directions @ STRAIGHT.T  # (own axis, that of Kaggle's scans)
        order = max(permutations(range(3)), key=lambda o: np.abs(cosines[list(o), range(3)]).sum())
        along = cosines[list(order), range(3)]
        tilt = float(np.degrees(np.arccos(np.abs(along).min().clip(max=1))))
        if tilt > MOST_TILT:
            raise ValueError(
                f"{where}: its axes are tilted by {tilt:.0f} degrees against the patient's; at "
                f"most {MOST_TILT:g} are expected, as networks have seen straight scans alone"
            )
        return Turn(order, tuple(bool(cosine < 0) for cosine in along))


def of_scan(shape: tuple[int, int, int], spacing: tuple[float, float]) -> Geometry:
    """Return where a scan of the competition is taken to lie: straight, its middle at zero.

    shape: (Z, H, W). spacing: of rows and columns in mm, as in the names of the files.
    """
    steps = np.array([SLICE_MM, *spacing])[:, None] * STRAIGHT
    return Geometry(shape, (1 - np.array(shape)) / 2 @ steps, steps)
