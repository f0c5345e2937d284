"""How many voxels have which probability, inside and outside the truth: calibration, thresholds."""

from typing import NamedTuple

import numpy as np

from gutseg.masks.bit_rows import BitRows
from gutseg.masks.intrinsics import ONE, kernel
from gutseg.metrics.competition import Metric, dice_rows

LEVELS = 256
BINS = 10


def level_counts(probabilities: np.ndarray, truth: BitRows) -> np.ndarray:
    """Count voxels by probability, (C, Z, 2, 256) int64: outside the truth, then inside.

    probabilities: (C, Z, H, W) uint8, of the shape of the truth.
    """
    counts = np.zeros((*probabilities.shape[:2], 2, LEVELS), np.int64)
    for organ, inside, found in zip(probabilities, truth.words, counts, strict=True):
        _count(organ, inside, found)
    return counts


@kernel
def _count(levels, truth, counts):
    """Count (Z, H, W) uint8 by value and bit of (Z, H, W64) uint64 into (Z, 2, 256) zeros."""
    depth, height, width = levels.shape
    for z in range(depth):
        # nearly all voxels are at 0 outside the truth: the rest of a slice
        others = 0
        for y in range(height):
            for x in range(width):
                inside = np.int64((truth[z, y, x >> 6] >> np.uint64(x & 63)) & ONE)
                level = levels[z, y, x]
                if level or inside:
                    counts[z, inside, level] += 1
                    others += 1
        counts[z, 0, 0] = height * width - others


def dice_at_levels(counts: np.ndarray, metric: Metric) -> np.ndarray:
    """Return Dice of every row when voxels from each byte on are inside, (..., 256).

    counts: (..., 2, 256). Byte 0 puts every voxel inside. NaN where the metric drops the row.
    """
    from_on = counts[..., ::-1].cumsum(axis=-1)[..., ::-1]
    truth = counts[..., 1, :].sum(axis=-1)[..., None]
    common, predicted = from_on[..., 1, :], from_on.sum(axis=-2)
    return dice_rows(common, predicted, np.broadcast_to(truth, common.shape), metric)


def sums_at_levels(dice: np.ndarray) -> np.ndarray:
    """Return sum and number of the rows that count, (C, 2, 256); dice: (C, Z, 256)."""
    return np.stack([np.nansum(dice, axis=1), np.isfinite(dice).sum(axis=1)], axis=1)


class Reliability(NamedTuple):
    """Voxels in bins of their probability, (B,) each; NaN in bins without voxels."""

    # mean probability that was predicted
    predicted: np.ndarray
    # share that is inside the truth
    observed: np.ndarray
    voxels: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: mean gap of the two over voxels; NaN of none."""
        kept = self.voxels > 0
        gaps = np.abs(self.predicted - self.observed)[kept] * self.voxels[kept]
        return float(gaps.sum() / self.voxels.sum()) if kept.any() else float("nan")


def reliability(counts: np.ndarray, bins: int = BINS) -> Reliability:
    """Put voxels whose byte is above 0 into bins of equal width; counts: (2, 256).

    Voxels at 0 are left out: nearly all are, and would hide every error.
    """
    byte = np.arange(1, LEVELS)
    place = np.minimum(byte * bins // (LEVELS - 1), bins - 1)
    inside, voxels = counts[1, 1:], counts[:, 1:].sum(axis=0)
    totals, hits, levels = (
        np.bincount(place, weights=part, minlength=bins)
        for part in (voxels, inside, voxels * byte / (LEVELS - 1))
    )
    some = np.where(totals > 0, totals, np.nan)
    return Reliability(levels / some, hits / some, totals)
