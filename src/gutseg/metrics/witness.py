"""Where two masks differ most: the voxel whose distance is the Hausdorff distance.

Masks as in gutseg.metrics.hausdorff_distance.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from gutseg.metrics.hausdorff_distance import directed
from gutseg.metrics.mask_words import ISOTROPIC, Spacing, checked_spacing, two_words

# Distances that differ by less, relative to the larger one, are the same but for rounding.
ROUNDING = 1e-9

Voxel = tuple[int, int, int]


class Witness(NamedTuple):
    """The farthest voxel of one mask and the nearest voxel of the other, both (z, y, x)."""

    distance: float
    voxel: Voxel
    nearest: Voxel
    # whether voxel belongs to the first mask
    in_first: bool


def witness(
    first: np.ndarray, second: np.ndarray, *, spacing: Spacing = ISOTROPIC
) -> Witness | None:
    """Return the voxel that is as far from the other mask as the Hausdorff distance says.

    spacing: (z, y, x). Of voxels that are equally far, and of equally near ones, the first in the
    order of z, y, x is taken. None where no voxel can be named: masks that are equal, or one that
    is empty.
    """
    scale = np.array(checked_spacing(spacing))
    words = np.stack(two_words(first, second, surface=False))
    if not all(mask.any() for mask in words):
        return None
    rows = np.argwhere(words.any(axis=(0, 3)))  # (N, 2) as z, y
    start, stop = rows.min(axis=0), rows.max(axis=0) + 1
    near = words[:, start[0] : stop[0], start[1] : stop[1]]
    # what is nearest to a voxel outside a mask is one of its edge voxels
    edges = [_voxels(mask) for mask in two_words(*near, surface=True)]
    found = [
        _farthest(_voxels(near[source] & ~near[1 - source]), edges[1 - source], scale, source)
        for source in (0, 1)
    ]
    ways = [way for way in found if way is not None]
    if not ways:
        return None
    longest = max(way.distance for way in ways) * (1 - ROUNDING)
    way = min((way for way in ways if way.distance >= longest), key=lambda way: way.voxel)
    voxel, nearest = (np.add(place, (*start, 0)) for place in (way.voxel, way.nearest))
    return way._replace(voxel=_as_voxel(voxel), nearest=_as_voxel(nearest))


def farthest_plane(
    first: np.ndarray, second: np.ndarray, axis: int, *, spacing: Spacing = ISOTROPIC
) -> tuple[float, int] | None:
    """Return the Hausdorff distance and the first plane across an axis with a voxel as far.

    first, second: (Z, H, W) bool. Where one mask is empty, inf and the plane that shows most of the
    other; None for equal masks. Much faster than `witness` on masks that differ a lot.
    """
    if not first.any() or not second.any():
        planes = np.count_nonzero(first | second, axis=tuple({0, 1, 2} - {axis}))
        return (np.inf, int(planes.argmax())) if planes.any() else None
    pairs = (first, second), (second, first)
    away = [directed(*pair, spacing=spacing) for pair in pairs]
    distance = max(away)
    if not distance:
        return None
    enough = distance * (1 - ROUNDING)
    ways = [pair for pair, far in zip(pairs, away, strict=True) if far >= enough]
    return distance, min(_first_plane(*pair, axis, enough, spacing) for pair in ways)


def _first_plane(
    source: np.ndarray, target: np.ndarray, axis: int, enough: float, spacing: Spacing
) -> int:
    """Return the first plane with a voxel of source that is so far from target; there is one."""
    low, high = 0, source.shape[axis] - 1
    while low < high:
        middle = (low + high) // 2
        part = np.zeros_like(source)
        until = (slice(None),) * axis + (slice(middle + 1),)
        part[until] = source[until]
        if directed(part, target, spacing=spacing) >= enough:
            high = middle
        else:
            low = middle + 1
    return low


def _voxels(words: np.ndarray) -> np.ndarray:
    """Return the voxels (N, 3) of bit rows (Z, H, W64), in the order of z, y, x."""
    return np.argwhere(np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little"))


def _farthest(
    voxels: np.ndarray, edge: np.ndarray, scale: np.ndarray, source: int
) -> Witness | None:
    if not len(voxels):
        return None
    away = cKDTree(edge * scale).query(voxels * scale)[0]
    voxel = voxels[_first(away, away.max() * (1 - ROUNDING))]
    distances = np.linalg.norm((edge - voxel) * scale, axis=1)
    nearest = edge[_first(-distances, -distances.min() * (1 + ROUNDING))]
    return Witness(float(distances.min()), _as_voxel(voxel), _as_voxel(nearest), source == 0)


def _first(values: np.ndarray, least: float) -> int:
    return int(np.argmax(values >= least))


def _as_voxel(place: np.ndarray) -> Voxel:
    z, y, x = place.tolist()
    return z, y, x
