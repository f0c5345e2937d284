"""Surfaces compared in millimetres: Hausdorff distances, surface Dice, mean distance, volume.

The surface of a mask is its edge voxels: those with a neighbour of a common face outside the mask
or the volume. Distances go from the centre of each to the nearest edge voxel of the other mask.
Definitions: Maier-Hein et al. 2024, "Metrics reloaded", supplementary notes; how MONAI and
DeepMind's surface-distance differ is in docs/metric.md.

Masks are (Z, H, W) or one slice (H, W), bool or integers, non-zero = inside. spacing is the size
of a voxel in mm along each axis of the array, all 1 by default. Where one mask is empty, nothing
can be measured, and yet a missed organ must count: distances are then `one_empty` (inf, a number,
or the diagonal of the volume, longer than any that a prediction in it has), and surface Dice
is 0. Where both are empty everything but the volume error is `both_empty`: NaN, so that
np.nanmean leaves the pair out, or a number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from gutseg.masks.intrinsics import frozen
from gutseg.metrics.hausdorff_distance import symmetric
from gutseg.metrics.mask_words import Spacing, checked_spacing, scratch, two_words
from gutseg.metrics.row_search import list_outside
from gutseg.metrics.slice_boxes import survey
from gutseg.metrics.surface_kernels import count_voxels, nearest_distances

# what a distance to an empty mask is: the diagonal of the volume, or a number
Missed = Literal["diagonal"] | float
# offsets that whole words are compared at, and the furthest of them in voxels along an axis
_OFFSETS = 256
_REACH = 12
# a distance of 0.3 mm made of three steps of 0.1 mm is within a tolerance of 0.3 mm
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the surfaces of two masks, both ways.

    All inf in the direction of an empty mask; no distance at all when both are empty.
    """

    # of voxels of the prediction's surface that are not on the truth's, in any order
    prediction: np.ndarray
    # of voxels of the truth's surface that are not on the prediction's
    truth: np.ndarray
    # voxels on both surfaces: their distance is 0
    shared: int

    @property
    def voxels(self) -> int:
        """Voxels of both surfaces, those on both counted twice."""
        return 2 * self.shared + len(self.prediction) + len(self.truth)

    def percentile(self, percent: float) -> float:
        """Percentile of each direction, the larger of both; linear between ranks, as numpy."""
        if not 0 <= percent <= 100:
            raise ValueError(f"percent {percent} is not in [0, 100]")
        ways = [self._rank(way, percent) for way in (self.prediction, self.truth)]
        return float(np.nanmax(ways)) if self.voxels else math.nan

    def _rank(self, distances: np.ndarray, percent: float) -> float:
        number = self.shared + len(distances)
        if number == 0:
            return math.nan
        place = (number - 1) * percent / 100 - self.shared
        low = math.floor(place)
        high = min(low + 1, len(distances) - 1)
        if high < 0:
            return 0.0
        ranked = np.partition(distances, [max(low, 0), high])
        below = ranked[low] if low >= 0 else 0.0
        # equal ends are not subtracted: both may be inf
        return below if below == ranked[high] else below + (place - low) * (ranked[high] - below)

    def within(self, tolerance: float) -> float:
        """Share of the voxels of both surfaces at most this far from the other; NaN of none."""
        if not 0 <= tolerance < math.inf:
            raise ValueError(f"tolerance {tolerance} is not a distance of 0 or more")
        limit = tolerance * _ROUNDING
        near = sum(int((way <= limit).sum()) for way in (self.prediction, self.truth))
        return (2 * self.shared + near) / self.voxels if self.voxels else math.nan

    def mean(self) -> float:
        """Mean distance over the voxels of both surfaces; NaN when both are empty."""
        total = self.prediction.sum() + self.truth.sum()
        return float(total / self.voxels) if self.voxels else math.nan


def hausdorff(
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    spacing: Sequence[float] | None = None,
    one_empty: Missed = math.inf,
    both_empty: float = math.nan,
) -> float:
    """Largest distance of an edge voxel of either mask to the nearest one of the other, in mm."""
    masks = _plain(prediction), _plain(truth)
    # the largest distance alone needs no other: ten times faster where masks are far apart
    found = symmetric(*masks, spacing=_steps(spacing, masks[0].ndim), surface=True)
    if found == 0 and not masks[0].any():
        return both_empty
    return _settled(found, masks[0].shape, spacing, one_empty, both_empty)


def hausdorff_percentile(
    prediction: np.ndarray,
    truth: np.ndarray,
    percent: float = 95.0,
    *,
    spacing: Sequence[float] | None = None,
    one_empty: Missed = math.inf,
    both_empty: float = math.nan,
) -> float:
    """Percentile of the surface distances in mm (HD95 by default), the larger of both directions.

    Between two ranks the percentile is interpolated. Raises ValueError unless 0 <= percent <= 100.
    """
    found = surface_distances(prediction, truth, spacing=spacing).percentile(percent)
    return _settled(found, np.shape(truth), spacing, one_empty, both_empty)


def surface_dice(
    prediction: np.ndarray,
    truth: np.ndarray,
    tolerance: float,
    *,
    spacing: Sequence[float] | None = None,
    both_empty: float = math.nan,
) -> float:
    """Share of the edge voxels of both masks at most `tolerance` mm from the other's surface.

    The normalised surface Dice (NSD), in [0, 1]; 0 when one mask is empty.
    """
    found = surface_distances(prediction, truth, spacing=spacing).within(tolerance)
    return both_empty if math.isnan(found) else found


def average_surface_distance(
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    spacing: Sequence[float] | None = None,
    one_empty: Missed = math.inf,
    both_empty: float = math.nan,
) -> float:
    """Mean of the surface distances of both directions together in mm (ASSD).

    Every voxel counts alike, so a larger surface weighs more than a smaller one.
    """
    found = surface_distances(prediction, truth, spacing=spacing).mean()
    return _settled(found, np.shape(truth), spacing, one_empty, both_empty)


def volume_error(
    prediction: np.ndarray, truth: np.ndarray, *, spacing: Sequence[float] | None = None
) -> float:
    """Volume of the prediction minus that of the truth, in ml (1000 mm³); 0 when both are empty.

    Of slices (H, W) with two numbers as spacing: areas, in 1000 mm².
    """
    masks = _plain(prediction), _plain(truth)
    if masks[0].shape != masks[1].shape:
        raise ValueError(f"masks differ in shape: {masks[0].shape} and {masks[1].shape}")
    voxels = [int(np.count_nonzero(mask)) for mask in masks]
    return (voxels[0] - voxels[1]) * math.prod(_steps(spacing, masks[0].ndim)) / 1000


def surface_distances(
    prediction: np.ndarray, truth: np.ndarray, *, spacing: Sequence[float] | None = None
) -> SurfaceDistances:
    """Measure both surfaces once, for several of the measures."""
    masks = _plain(prediction), _plain(truth)
    return distances_of_words(*masks, spacing=_steps(spacing, masks[0].ndim))


def distances_of_words(
    prediction: np.ndarray, truth: np.ndarray, *, spacing: Spacing
) -> SurfaceDistances:
    """As surface_distances, of masks as in mask_words: also of the words of a class of BitRows."""
    table = _offsets(checked_spacing(spacing))
    x, y, shape, boxes = _surveyed(*two_words(prediction, truth, surface=True))
    forth, shared = _one_way(x, y, shape, boxes, table)
    back, _ = _one_way(y, x, shape, boxes[::-1], table)
    return SurfaceDistances(forth, back, shared)


def signed_distances(prediction: np.ndarray, truth: np.ndarray, *, spacing: Spacing) -> np.ndarray:
    """Distance of every surface voxel of a prediction to the truth's surface, in any order.

    Negative inside the truth, 0 on both surfaces, inf where the truth is empty. prediction, truth:
    (Z, H, W64) uint64 words of one class of BitRows.
    """
    table = _offsets(checked_spacing(spacing))
    x, y = two_words(prediction, truth, surface=True)
    inside, shared = _one_way(*_surveyed(frozen(x & truth), y), table)
    outside, _ = _one_way(*_surveyed(frozen(x & ~truth), y), table)
    return np.concatenate([-inside, np.zeros(shared), outside])


def _surveyed(
    x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], np.ndarray]:
    """Return the words of two masks (Z, H, W64) flat, their shape, and survey() of both."""
    boxes = np.empty((2, x.shape[0] + 1, 4), np.int64)
    for words, own in zip((x, y), boxes, strict=True):
        survey(words.reshape(x.shape[0], -1), x.shape[2], own)
    return x.reshape(-1), y.reshape(-1), x.shape, boxes


def _one_way(
    source: np.ndarray,
    target: np.ndarray,
    shape: tuple[int, ...],
    boxes: np.ndarray,
    table: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, int]:
    """Distances of the source's voxels outside the target, and how many voxels both have.

    source, target: flat words. shape: (Z, H, W64). boxes: survey() of both. table: _offsets().
    """
    outside, shared = count_voxels(source, target)
    if boxes[1, -1, 1] < 0:
        return np.full(outside, math.inf), shared
    distances = np.empty(outside)
    found = scratch.take("found", (source.size + 1,), np.int64)
    count = list_outside(source, target, shape[1], shape[2], boxes[0], found)
    nearest_distances(source, target, found[:count], shape, boxes[1], *table, distances)
    return distances, shared


def _plain(mask: np.ndarray) -> np.ndarray:
    """Return a mask as bool or uint8; tensors on the CPU are read as arrays."""
    mask = np.asarray(mask)
    if mask.dtype.kind not in "bui" or mask.ndim not in (2, 3) or not mask.size:
        raise ValueError(
            "expected a mask (Z, H, W) or (H, W) of bool or integers, found "
            f"{mask.dtype} {mask.shape}"
        )
    return mask if mask.dtype in (np.bool_, np.uint8) else mask != 0


def _steps(spacing: Sequence[float] | None, axes: int) -> Spacing:
    """Return a checked spacing (z, y, x); of slices z is 1."""
    steps = (1.0,) * axes if spacing is None else tuple(spacing)
    if len(steps) != axes:
        raise ValueError(f"a mask of {axes} axes needs as many numbers as spacing: {spacing}")
    return checked_spacing((1.0,) * (3 - axes) + steps)


def _settled(
    found: float,
    shape: tuple[int, ...],
    spacing: Sequence[float] | None,
    one_empty: Missed,
    both_empty: float,
) -> float:
    """Return a distance, or what stands for it where a mask is empty."""
    if math.isnan(found):
        return both_empty
    if math.isinf(found):
        return volume_diagonal(shape, spacing) if one_empty == "diagonal" else float(one_empty)
    return found


def volume_diagonal(shape: Sequence[int], spacing: Sequence[float] | None = None) -> float:
    """Diagonal of a volume or slice in mm, from outer corner to outer corner of its voxels."""
    steps = _steps(spacing, len(shape))[3 - len(shape) :]
    return math.hypot(*(size * step for size, step in zip(shape, steps, strict=True)))


@cache
def _offsets(spacing: Spacing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared spacing (3,), the nearest offsets (N, 3) as (dz, dy, |dx|), their lengths (N,)."""
    weights = np.array(spacing, np.float64) ** 2
    steps = np.arange(-_REACH, _REACH + 1)
    grid = np.meshgrid(steps, steps, np.arange(_REACH + 1), indexing="ij")
    offsets = np.stack([axis.ravel() for axis in grid], axis=1)
    length2 = offsets**2 @ weights
    order = np.argsort(length2, kind="stable")[1 : 1 + _OFFSETS]
    # beyond the cube there are offsets that are missing here
    order = order[length2[order] < (_REACH + 1) ** 2 * weights.min()]
    return weights, np.ascontiguousarray(offsets[order]), np.sqrt(length2[order])
