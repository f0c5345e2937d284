"""The three views of a scan: planes across any of its axes become the images of a 2-D network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from gutseg.data.volume import Scan

View = Literal["axial", "coronal", "sagittal"]
# Axes of (Z, H, W): first the one that planes are counted along, then their rows and columns.
# Rows are slices in both other views: of 3 mm, where columns are of 1.5 mm.
AXES: dict[View, tuple[int, int, int]] = {
    "axial": (0, 1, 2),
    "coronal": (1, 0, 2),
    "sagittal": (2, 0, 1),
}


def turn(volume: np.ndarray, view: View) -> np.ndarray:
    """View a volume (..., Z, H, W) plane by plane: (..., planes, rows, columns), not copied."""
    return _transposed(volume, AXES[view])


def turn_back(volume: np.ndarray, view: View) -> np.ndarray:
    """Undo `turn`: (..., Z, H, W), not copied."""
    return _transposed(volume, np.argsort(AXES[view]).tolist())


def _transposed(volume: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    first = volume.ndim - 3
    return volume.transpose(*range(first), *(first + axis for axis in axes))


def turned(scan: Scan, view: View) -> Scan:
    """Return a scan plane by plane of a view, its maps not copied; its boxes have all slices."""
    axes = AXES[view]
    _, rows, columns = axes
    size = scan.voxel_mm

    def turned_box(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        sides = np.array([0, len(scan.image), *box]).reshape(3, 2)  # of z, y and x: first, last
        return (*sides[rows].tolist(), *sides[columns].tolist())

    return replace(
        scan,
        image=turn(np.asarray(scan.image), view),
        mask=None if scan.mask is None else turn(np.asarray(scan.mask), view),
        body=turned_box(scan.body),
        found=scan.found and turned_box(scan.found),
        voxel_mm=size and (size[axes[0]], size[rows], size[columns]),
    )
