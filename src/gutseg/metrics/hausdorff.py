"""Exact Hausdorff distance of two masks.

The default is scipy's: the sets are all voxels. With surface=True they are the edge voxels, as
in MONAI; the two differ where a mask has a hole inside the other.
Masks are (Z, H, W): bool or uint8 arrays, or the uint64 words of one class of BitRows. Without
the axis Z they are one slice, whose surface is its outline; of a volume of one slice every voxel
is surface.
"""

import math
import threading
from functools import cache

import numpy as np

from gutseg.masks.bit_rows import edge, pack_at_least, words_of
from gutseg.masks.intrinsics import frozen
from gutseg.metrics.hausdorff_kernels import farthest2, list_outside
from gutseg.metrics.slice_boxes import survey

Spacing = tuple[float, float, float]
ISOTROPIC: Spacing = (1.0, 1.0, 1.0)
# largest buffer kept between calls, in bytes: the bits of 33 million voxels
_KEPT = 2**22
# rows around a word that are tried one by one before a search: a disc of 18 rows
_NEAR_ROWS = 1024


class _Scratch(threading.local):
    """Buffers kept between the calls of a thread, at most _KEPT bytes each.

    The pages of a fresh buffer cost as much time as the search: 750 page faults for a scan's bits.
    """

    def __init__(self) -> None:
        self._kept: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An array whose contents are left over; valid until the thread takes `name` again."""
        size = math.prod(shape)
        buffer = self._kept.get(name)
        if buffer is None or buffer.size < size:
            buffer = np.empty(size, dtype)
            if buffer.nbytes <= _KEPT:
                self._kept[name] = buffer
        return buffer[:size].reshape(shape)


_scratch = _Scratch()


def directed(
    source: np.ndarray, target: np.ndarray, *, spacing: Spacing = ISOTROPIC, surface: bool = False
) -> float:
    """Largest distance of a voxel of source to the nearest one of target, in units of spacing.

    spacing: (z, y, x); (1 / Z, 1 / H, 1 / W) divides coordinates by the size of the volume.
    surface: edge voxels on both sides. 0 from an empty mask, inf from others to an empty one;
    what those should count as is the caller's convention.
    """
    return _distance(source, target, spacing, surface, both_ways=False)


def symmetric(
    first: np.ndarray, second: np.ndarray, *, spacing: Spacing = ISOTROPIC, surface: bool = False
) -> float:
    """The larger of both directed() distances: 0 when both are empty, inf when one is."""
    return _distance(first, second, spacing, surface, both_ways=True)


def _distance(
    first: np.ndarray, second: np.ndarray, spacing: Spacing, surface: bool, *, both_ways: bool
) -> float:
    weights, order, order2 = _row_order(checked_spacing(spacing))
    x, y = two_words(first, second, surface=surface)
    shape = x.shape
    rows_x, rows_y = x.reshape(shape[0], -1), y.reshape(shape[0], -1)
    boxes_x, boxes_y = np.empty((2, shape[0] + 1, 4), np.int64)
    filled = survey(rows_x, shape[2], boxes_x), survey(rows_y, shape[2], boxes_y)
    if not all(filled):
        return np.inf if filled[0] or (both_ways and filled[1]) else 0.0
    x, y, m2 = x.reshape(-1), y.reshape(-1), 0.0
    found = _scratch.take("found", (x.size + 1,), np.int64)
    ways = [(x, y, boxes_x, boxes_y), (y, x, boxes_y, boxes_x)]
    for source, target, own, other in ways[: 1 + both_ways]:
        count = list_outside(source, target, shape[1], shape[2], own, found)
        if count:
            m2 = farthest2(source, target, found[:count], shape, other, weights, order, order2, m2)
    return float(np.sqrt(m2))


def two_words(
    first: np.ndarray, second: np.ndarray, *, surface: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Both masks as (Z, H, W64) uint64 words, for surface=True of their edge voxels."""
    if (first.dtype == np.uint64) != (second.dtype == np.uint64):
        raise ValueError(f"one mask is packed and one is not: {first.dtype}, {second.dtype}")
    if first.shape != second.shape:
        raise ValueError(f"masks differ in shape: {first.shape} and {second.shape}")
    flat = first.ndim == 2
    if flat:
        first, second = first[None], second[None]
    if not surface:
        return _words(first, "first"), _words(second, "second")
    edges = []
    for mask, name in ((first, "first"), (second, "second")):
        # one buffer for both packings: only their edges are needed together
        words = _words(mask, "packed")
        found = _scratch.take(name, words.shape, np.uint64)
        edge(words, found, flat)
        edges.append(frozen(found))
    return edges[0], edges[1]


def _words(mask: np.ndarray, name: str) -> np.ndarray:
    if mask.ndim != 3 or mask.dtype not in (np.bool_, np.uint8, np.uint64) or not mask.size:
        raise ValueError(
            f"expected (Z, H, W) bool or uint8, or (Z, H, W64) uint64 words, or a slice, "
            f"found {mask.dtype} {mask.shape}"
        )
    mask = np.ascontiguousarray(mask)
    if mask.dtype == np.uint64:
        return frozen(mask)
    depth, height, width = mask.shape
    words = _scratch.take(name, (depth * height, words_of(width)), np.uint64)
    data = frozen(mask.view(np.uint8).reshape(-1))
    pack_at_least(data, width, np.uint8(1), words)
    return frozen(words.reshape(depth, height, -1))


def checked_spacing(spacing: Spacing) -> Spacing:
    steps = tuple(float(step) for step in spacing)
    if len(steps) != 3 or not all(0 < step < np.inf for step in steps):
        raise ValueError(f"spacing (z, y, x) must be three positive numbers, found {spacing}")
    return steps


@cache
def _row_order(spacing: Spacing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared spacing (3,), the nearest row offsets (N, 2) as (dz, dy), their squared distance."""
    weights = np.array(spacing, np.float64) ** 2
    radius = 64
    steps = np.arange(-radius, radius + 1)
    dz, dy = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    off2 = dz * dz * weights[0] + dy * dy * weights[1]
    nearest = np.argsort(off2, kind="stable")[:_NEAR_ROWS]
    return weights, np.stack([dz[nearest], dy[nearest]], axis=1), off2[nearest]
