"""What a clinician asks of one organ in one scan: overlap, distances in mm, volume in ml."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.mask_words import Spacing
from gutseg.metrics.surface import distances_of_words, volume_diagonal

# on both sides, only in the truth, only in the prediction, on neither
Outcome = Literal["found", "missed", "invented", "absent"]
# what the distance to an empty mask is: the diagonal of the scan, or inf
OneEmpty = Literal["diagonal", "inf"]
ONE_EMPTY: tuple[OneEmpty, ...] = get_args(OneEmpty)


@dataclass(frozen=True)
class Clinical:
    """How scans are measured."""

    # mm from the other surface that still count as agreement, of the surface Dice
    tolerance: float = 3.0
    one_empty: OneEmpty = "diagonal"


@dataclass(frozen=True)
class OrganResult:
    """One organ of one scan; absent on both sides, everything is NaN but the volume error."""

    scan: str
    organ: str
    outcome: Outcome
    # of the whole volume
    dice: float
    # normalised, at the tolerance
    surface_dice: float
    # mm; where only one side shows the organ, what `one_empty` says
    hausdorff: float
    hausdorff_95: float
    mean_distance: float
    # ml, prediction minus truth
    volume_error: float
    # ml
    truth_volume: float


def measure_organ(
    scan: str,
    organ: str,
    pair: tuple[np.ndarray, np.ndarray],
    shape: tuple[int, int, int],
    spacing: Spacing,
    how: Clinical,
) -> OrganResult:
    """Measure one organ; pair: uint64 words (Z, H, W64) of prediction and truth. shape: (Z, H, W).

    spacing: mm (z, y, x).
    """
    prediction, truth = pair
    voxels, expected = (int(np.bitwise_count(words).sum()) for words in pair)
    common = int(np.bitwise_count(prediction & truth).sum())
    ml = float(np.prod(spacing)) / 1000
    volumes = {"volume_error": (voxels - expected) * ml, "truth_volume": expected * ml}
    if not (voxels or expected):
        return OrganResult(scan, organ, "absent", *[np.nan] * 5, **volumes)
    found = distances_of_words(prediction, truth, spacing=spacing)
    distances = (found.percentile(100), found.percentile(95), found.mean())
    if not (voxels and expected) and how.one_empty == "diagonal":
        distances = (volume_diagonal(shape, spacing),) * 3
    outcome: Outcome = "found" if voxels and expected else "invented" if voxels else "missed"
    overlap = 2 * common / (voxels + expected), found.within(how.tolerance)
    return OrganResult(scan, organ, outcome, *overlap, *distances, **volumes)


def measure_scan(
    scan: str,
    prediction: BitRows,
    truth: BitRows,
    classes: tuple[str, ...],
    spacing: Spacing,
    how: Clinical,
) -> list[OrganResult]:
    """Measure every class of a scan; prediction, truth: (C, Z, H, W), spacing: mm (z, y, x)."""
    if prediction.shape != truth.shape:
        raise ValueError(f"{scan}: prediction {prediction.shape}, truth {truth.shape} (C, Z, H, W)")
    return [
        measure_organ(scan, organ, (found, expected), truth.shape[1:], spacing, how)
        for organ, found, expected in zip(classes, prediction.words, truth.words, strict=True)
    ]
