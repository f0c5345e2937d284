"""How far a piece of an organ lies from the rest of it."""

from dataclasses import dataclass

import numpy as np

from gutseg.masks.components import Components
from gutseg.masks.intrinsics import kernel

# only the largest pieces are looked at: a mask of noise has thousands
MOST_PIECES = 32


@dataclass(frozen=True)
class FarPart:
    """The connected component that lies farthest from all larger ones of its mask."""

    components: int
    # between the nearest voxel centres, 0 with one component
    mm: float
    voxels: int
    plane: int


def farthest_part(parts: Components, height: int, spacing: tuple[float, float, float]) -> FarPart:
    """Return the component farthest from all larger ones; parts: of an organ that is not empty.

    height: rows of a slice. spacing: (z, y, x) in mm. Of equal components the first counts as the
    larger one; those after the MOST_PIECES largest are not looked at.
    """
    leaders = np.unique(parts.root)
    order = leaders[np.argsort(-parts.voxels[leaders], kind="stable")]
    place = np.searchsorted(leaders, parts.root)
    rank = np.empty(len(leaders), np.int64)
    rank[np.searchsorted(leaders, order)] = np.arange(len(order))
    rank = rank[place]
    plane, line = np.divmod(parts.row, height)
    best = FarPart(len(leaders), 0.0, int(parts.voxels[order[0]]), int(plane[order[0]]))
    for number, leader in enumerate(order[1:MOST_PIECES], 1):
        own = np.flatnonzero(rank == number)
        larger = np.flatnonzero(rank < number)
        mm = _gap(plane, line, parts.start, parts.stop, own, larger, np.array(spacing))
        if mm > best.mm:
            best = FarPart(len(leaders), mm, int(parts.voxels[leader]), int(plane[leader]))
    return best


@kernel
def _gap(plane, line, start, stop, first, second, spacing):
    """Return the shortest distance in mm between voxels of two sets of runs, sorted by plane."""
    best = np.inf
    planes = plane[second]
    for a in first:
        # from the run's own plane outwards, until planes alone are farther than what was found
        middle = np.searchsorted(planes, plane[a])
        for step in (1, -1):
            at = middle if step == 1 else middle - 1
            while 0 <= at < len(second):
                b = second[at]
                z = (plane[a] - plane[b]) * spacing[0]
                if z * z >= best:
                    break
                y = (line[a] - line[b]) * spacing[1]
                x = max(0, start[a] - stop[b] + 1, start[b] - stop[a] + 1) * spacing[2]
                best = min(best, z * z + y * y + x * x)
                at += step
    return np.sqrt(best)
