"""Where the places of a scan lie in another of the same patient: a translation, by grey values."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft

from gutseg.constants import PIXEL_MM
from gutseg.data.volume import Scan

# Pixels that scans are compared on: loops of bowel, which lie elsewhere on another day, are
# blurred, and the outline of the body is still sharp.
GRID_MM = 6.0
# Farthest that a body may lie from where it lay, within the slices.
REACH_MM = 42.0
# So much of the shorter scan lies on the other: a few slices alone fit in many places.
LEAST_OVERLAP = 0.6
# grey values (percentiles) that count as 0 and 1
LOW, HIGH = 1.0, 99.5
# variance below which a part counts as of one grey value
VARIES = 1e-9


@dataclass(frozen=True)
class Move:
    """From a place in one scan to the same place in another.

    In the plane both are measured from the middle of the slice.
    """

    # slices towards the feet
    slices: int
    down_mm: float
    right_mm: float


def register(fixed: Scan, moving: Scan) -> Move:
    """Return the move from places of a fixed scan to those of a moving one of the same patient.

    Of all translations by slices and pixels of GRID_MM the one at which what overlaps correlates
    best; in the plane refined by a parabola and rounded to pixels of the fixed scan. Scans of one
    grey value stay where they are.
    """
    grids = [_grid(one) for one in (fixed, moving)]
    depths = [len(grid) for grid in grids]
    steps = np.arange(1 - depths[0], depths[1])
    common = np.minimum(depths[0], depths[1] - steps) - np.maximum(0, -steps)  # slices
    steps = steps[common >= LEAST_OVERLAP * min(depths)]
    # half the difference of two sides: that far apart are pixels of one number
    halves = [(b - a) / 2 for a, b in zip(grids[0].shape[1:], grids[1].shape[1:], strict=True)]
    reach = REACH_MM / GRID_MM
    rows, columns = (
        np.arange(np.ceil(half - reach), np.floor(half + reach) + 1).astype(int) for half in halves
    )
    found = correlation(grids[0], grids[1], (steps, rows, columns))
    if found.max() <= -1:
        return Move(0, 0.0, 0.0)
    z, y, x = map(int, np.unravel_index(found.argmax(), found.shape))
    peaks = (rows[y] + _off_peak(found[z, :, x], y), columns[x] + _off_peak(found[z, y], x))
    down, right = (
        round((peak - half) * GRID_MM / side) * side
        for peak, half, side in zip(peaks, halves, pixel_mm(fixed), strict=True)
    )
    return Move(int(steps[z]), down, right)


def pixel_mm(scan: Scan) -> tuple[float, float]:
    """Return the size (y, x) of a scan's pixels, the usual one where nothing says it."""
    return scan.voxel_mm[1:] if scan.voxel_mm else (PIXEL_MM, PIXEL_MM)


def _grid(scan: Scan) -> np.ndarray:
    """Return a scan on pixels of GRID_MM: (Z, h, w) float32."""
    sides = zip(scan.shape[1:], pixel_mm(scan), strict=True)
    height, width = (max(round(length * side / GRID_MM), 1) for length, side in sides)
    low, high = scan.percentile(LOW), scan.percentile(HIGH)
    found = np.empty((scan.shape[0], height, width), np.float32)
    for target, plane in zip(found, scan.image, strict=True):
        target[:] = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    found -= low
    found /= max(high - low, 1)
    return found.clip(0, 1, out=found)


def correlation(fixed: np.ndarray, moving: np.ndarray, shifts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the correlation coefficient of what overlaps of two volumes, for all given shifts.

    fixed, moving: (Z, H, W). shifts: of z, y and x, with some overlap: fixed[i] lies on
    moving[i + shift]. -1 where nothing varies. Returns (shifts of z, of y, of x) in [-1, 1].
    """
    # as long as none of the shifts brings the ends together
    sides = [
        fft.next_fast_len(max(a + int(some.max()), b - int(some.min()), a, b), real=True)
        for a, b, some in zip(fixed.shape, moving.shape, shifts, strict=True)
    ]
    volumes = [part.astype(np.float32) - part.mean(dtype=np.float32) for part in (fixed, moving)]
    first, second = (fft.rfftn(volume, sides) for volume in volumes)
    products = fft.irfftn(first.conj() * second, sides)[np.ix_(*shifts)].astype(np.float64)
    starts = [np.maximum(0, -some) for some in shifts]
    stops = [
        np.minimum(a, b - some)
        for a, b, some in zip(fixed.shape, moving.shape, shifts, strict=True)
    ]
    count = _outer([stop - start for start, stop in zip(starts, stops, strict=True)])
    total, squares = _box_sums(volumes[0], starts, stops)
    moved = [
        [end + some for end, some in zip(ends, shifts, strict=True)] for ends in (starts, stops)
    ]
    other, others = _box_sums(volumes[1], *moved)
    spread = np.maximum(squares - total**2 / count, 0) * np.maximum(others - other**2 / count, 0)
    varies = spread > (VARIES * count) ** 2
    found = (products - total * other / count) / np.sqrt(np.where(varies, spread, 1))
    return np.where(varies, found, -1).clip(-1, 1)


def _outer(lengths: Sequence[np.ndarray]) -> np.ndarray:
    depth, height, width = lengths
    return depth[:, None, None] * height[:, None] * width.astype(np.float64)


def _box_sums(
    volume: np.ndarray, starts: Sequence[np.ndarray], stops: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums, and those of squares, over all boxes of some spans of every axis."""
    found = []
    for values in (volume.astype(np.float64), volume.astype(np.float64) ** 2):
        for axis, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            edges = np.insert(values.cumsum(axis), 0, 0, axis)
            values = edges.take(stop, axis) - edges.take(start, axis)
        found.append(values)
    return found[0], found[1]


def _off_peak(values: np.ndarray, at: int) -> float:
    """Return how far the top of a parabola through a peak and its neighbours lies from it."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = values[at - 1 : at + 2]
    bend = before - 2 * here + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
