"""Drawing in three dimensions: smooth paths, tubes as distance fields, smooth noise.

Millimetres throughout. A point is (z, y, x): z from the head end, y and x from the middle of
the slice, y towards the back, x towards the patient's left (right in the picture).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from gutseg.synthetic.roster import Voxels

# A tube's distance is exact up to this far outside it; beyond, it reads this much.
REACH_MM = 9.0
Box = tuple[slice, slice, slice]


def lengths(path: np.ndarray) -> np.ndarray:
    """Return how far every point lies along its path, (N,) mm. path: (N, 3 or more)."""
    steps = np.linalg.norm(np.diff(path[:, :3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def smooth_path(knots: np.ndarray, step_mm: float) -> np.ndarray:
    """Round the corners of a polyline and resample it at even steps.

    knots: (K, 3 + D), points (z, y, x) and D more columns (radius, ...) that ride along.
    Returns (N, 3 + D). Source: [Chaikin 1974].
    """
    path = np.asarray(knots, float)
    for _ in range(3):
        quarter = 0.75 * path[:-1] + 0.25 * path[1:]
        three = 0.25 * path[:-1] + 0.75 * path[1:]
        path = np.concatenate([path[:1], np.stack([quarter, three], 1).reshape(-1, path.shape[1])])
        path = np.concatenate([path, knots[-1:]])
    along = lengths(path)
    at = np.linspace(0.0, along[-1], max(2, int(along[-1] / step_mm)))
    return np.stack([np.interp(at, along, column) for column in path.T], axis=1)


def push_off(path: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Move a tube out of another until only a rim is inside: (N, 4) each, with radius.

    share: the part of the radius that the middle line keeps from the other's surface.
    """
    path = path.copy()
    apart = path[:, None, :3] - other[None, :, :3]
    length = np.linalg.norm(apart, axis=2)
    lacking = share * path[:, 3:] + other[None, :, 3] - length
    worst = lacking.argmax(1)
    rows = np.arange(len(path))
    away = apart[rows, worst] / np.maximum(length[rows, worst], 0.1)[:, None]
    path[:, :3] += away * np.maximum(lacking[rows, worst], 0)[:, None]
    return path


@dataclass(frozen=True)
class Tube:
    """A tube's distance field in a box of the scan, and which point of its path is nearest."""

    box: Box
    # (z, y, x) float32 in mm, negative inside
    distance: np.ndarray
    # the same shape: index of the nearest point of the path
    owner: np.ndarray
    # (N, 4), points (z, y, x) and radius
    path: np.ndarray


def within(box: Box, outer: Box) -> Box:
    """Return where a box of the scan lies in an array that covers another, larger one."""
    z, y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, outer, strict=True))
    return z, y, x


def draw_tube(grid: Voxels, path: np.ndarray) -> Tube:
    """Stamp a ball at every point of a path; the union is the tube. path: (N, 4), with radius."""
    reach = path[:, 3:] + REACH_MM
    box = grid.box((path[:, :3] - reach).min(0), (path[:, :3] + reach).max(0))
    shape = [max(0, part.stop - part.start) for part in box]
    distance = np.full(shape, REACH_MM, np.float32)
    owner = np.zeros(shape, np.int16)
    for index, (point, radius) in enumerate(zip(path[:, :3], path[:, 3], strict=True)):
        if radius <= 0:
            continue
        ball = grid.box(point - radius - REACH_MM, point + radius + REACH_MM)
        z, y, x = (
            (axis[part] - centre) ** 2
            for axis, part, centre in zip((grid.z, grid.y, grid.x), ball, point, strict=True)
        )
        near = np.sqrt(z[:, None, None] + (y[:, None] + x)[None]).astype(np.float32) - radius
        here = within(ball, box)
        closer = near < distance[here]
        np.copyto(distance[here], near, where=closer)
        np.copyto(owner[here], index, where=closer)
    return Tube(box, distance, owner, path)


class Noise:
    """Smooth random values with unit variance at every point of space, repeating far away.

    One lattice serves every cell size: coarse cells bend outlines, fine ones are texture.
    The value at a point in mm does not depend on the voxel grid.
    """

    def __init__(self, rng: np.random.Generator, grid: Voxels):
        self._lattice = rng.standard_normal((48, 64, 64), dtype=np.float32)
        self._grid = grid

    def at(
        self, index: int, cell_mm: float, *, salt: int = 0, box: tuple[slice, slice] = np.s_[:, :]
    ) -> np.ndarray:
        """Return the noise of slice `index` inside box (rows, columns).

        salt: another field of the same kind.
        """
        depth = float(self._grid.z[index]) / cell_mm
        layer, share = int(depth), depth - int(depth)
        share *= share * (3 - 2 * share)
        above, below = (self._lattice[(layer + k + 17 * salt) % 48] for k in (0, 1))
        # The blend of two independent layers has less variance halfway; undo that.
        blend = ((1 - share) * above + share * below) / np.hypot(1 - share, share)
        step = self._grid.spacing_mm / cell_mm
        y, x = self._grid.y[box[0]], self._grid.x[box[1]]
        if not len(y) or not len(x):
            return np.zeros((len(y), len(x)), np.float32)
        left, top = (float(axis[0]) / cell_mm + 32 + 7 * salt for axis in (x, y))
        to_lattice = np.array([[step, 0, left % 64], [0, step, top % 64]])
        wide = np.pad(blend, ((0, 64), (0, 64)), mode="wrap")
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        # Interpolation averages neighbours; 1.3 restores the variance.
        return 1.3 * cv2.warpAffine(
            wide, to_lattice, (len(x), len(y)), flags=flags, borderMode=cv2.BORDER_WRAP
        )
