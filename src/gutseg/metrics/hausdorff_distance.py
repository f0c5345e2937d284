"""Exact Hausdorff distance of two masks.

The default is scipy's: the sets are all voxels. With surface=True they are the edge voxels, as
in MONAI; the two differ where a mask has a hole inside the other. Masks as in mask_words.
"""

from functools import cache

import numpy as np

from gutseg.metrics.hausdorff_kernels import farthest2
from gutseg.metrics.mask_words import ISOTROPIC, Spacing, checked_spacing, scratch, two_words
from gutseg.metrics.row_search import list_outside
from gutseg.metrics.slice_boxes import survey

# rows around a word that are tried one by one before a search: a disc of 18 rows
_NEAR_ROWS = 1024


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
    found = scratch.take("found", (x.size + 1,), np.int64)
    ways = [(x, y, boxes_x, boxes_y), (y, x, boxes_y, boxes_x)]
    for source, target, own, other in ways[: 1 + both_ways]:
        count = list_outside(source, target, shape[1], shape[2], own, found)
        if count:
            m2 = farthest2(source, target, found[:count], shape, other, weights, order, order2, m2)
    return float(np.sqrt(m2))


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
