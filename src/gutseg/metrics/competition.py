"""The competition score, 0.4 · Dice + 0.6 · (1 - normalised Hausdorff), in all its readings.

Kaggle never published its scorer. METRICS lists how the public record reads it; every number
this project prints names the row it was made with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gutseg.constants import CLASSES, DICE_WEIGHT, HAUSDORFF_WEIGHT
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.hausdorff_distance import directed, symmetric


@dataclass(frozen=True)
class Metric:
    """One reading of the metric."""

    # where the reading comes from
    source: str
    # the score of a row (slice, class) with no pixel on either side; None drops the row
    both_empty: float | None = None
    # whether a row with an empty truth counts at all
    truth_empty: Literal["keep", "drop"] = "keep"
    # added to the denominator of Dice
    smooth: float = 0.0
    # the mean is flat over rows, or first over the organs of a slice
    dice_mean: Literal["rows", "slices"] = "rows"
    # where distances are taken: per scan and class, of the union of classes, or per slice
    volume: Literal["scan", "union", "slice"] = "scan"
    # both ways, or from prediction to truth
    direction: Literal["symmetric", "one_sided"] = "symmetric"
    # all voxels, or the surface alone
    points: Literal["voxels", "surface"] = "voxels"
    # coordinates over the shape and then over √3, the same clipped at 1 instead, or voxels over
    # the diagonal of the volume (from dimensions - 1) or of the slice
    scale: Literal["sqrt3", "clip", "diagonal", "slice_diagonal"] = "sqrt3"
    # the distance of a volume with no voxel on either side; None drops the volume
    both_empty_distance: float | None = None
    # a prediction with more than this many times the truth's voxels has distance 1
    oversize: float | None = None
    # the mean is flat, or first inside a scan
    hausdorff_mean: Literal["flat", "scans"] = "flat"


METRICS = {
    "default": Metric(
        "docs/metric.md: rows and volumes empty on both sides are dropped (host, "
        "discussion 324934), symmetric, coordinates over (Z, H, W), over √3"
    ),
    "one_sided": Metric(
        "as default, from prediction to truth only: what scipy's linked function computes",
        direction="one_sided",
    ),
    "no_sqrt3_clip": Metric("as default, clipped at 1 instead of divided by √3", scale="clip"),
    "voxel_diagonal": Metric(
        "[abhivij 2025], best calibrated against the leaderboard",
        dice_mean="slices",
        direction="one_sided",
        points="surface",
        scale="diagonal",
        hausdorff_mean="scans",
    ),
    "mle_bench": Metric(
        "[Chan 2024], grade.py: union of the classes, tenfold predictions count as 1",
        volume="union",
        oversize=10.0,
    ),
    "carno_april": Metric(
        "[Carno 2022], a kernel of April 2022: the metric before its repair",
        both_empty=1.0,
        smooth=1.0,
        dice_mean="slices",
        direction="one_sided",
        scale="clip",
        hausdorff_mean="scans",
    ),
    "slice_2d": Metric(
        "[yiheng 2022], with MONAI: 2-D distances between edges, rows with an empty truth left out",
        truth_empty="drop",
        volume="slice",
        direction="one_sided",
        points="surface",
        scale="slice_diagonal",
        both_empty_distance=0.0,
    ),
    "page_text": Metric("the competition's page: Dice 0 when both are empty", both_empty=0.0),
}


@dataclass(frozen=True)
class ScanResult:
    """One scan compared: NaN where a row or volume was dropped.

    dice: (C, Z). hausdorff: (C,) normalised distances, (1,) of a union, (C, Z) of slices.
    intersection, prediction, truth: (C, Z) pixels.
    """

    scan: str
    dice: np.ndarray
    hausdorff: np.ndarray
    intersection: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray


def compare(
    scan: str, prediction: BitRows, truth: BitRows, metric: Metric, *, distances: bool = True
) -> ScanResult:
    """Compare the two masks of one scan, of the same shape (C, Z, H, W).

    distances: False leaves the Hausdorff distances out (NaN). Raises ValueError on two shapes.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"{scan}: prediction {prediction.shape}, truth {truth.shape} (C, Z, H, W)")
    common = prediction.intersection_counts(truth)
    counts = common, prediction.slice_counts(), truth.slice_counts()
    found = _distances(prediction, truth, metric) if distances else np.full(len(CLASSES), np.nan)
    return ScanResult(scan, dice_rows(*counts, metric), found, *counts)


def dice_rows(
    intersection: np.ndarray, prediction: np.ndarray, truth: np.ndarray, metric: Metric
) -> np.ndarray:
    """Dice of every row from pixel counts of any shape; NaN where the row is dropped."""
    total = prediction + truth
    dice = 2 * intersection / np.maximum(total + metric.smooth, 1)
    both = np.nan if metric.both_empty is None else metric.both_empty
    dice = np.where(total == 0, both, dice)
    return np.where(truth == 0, np.nan, dice) if metric.truth_empty == "drop" else dice


def iou_rows(intersection: np.ndarray, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of every row; NaN where both sides are empty."""
    union = prediction + truth - intersection
    return np.where(union == 0, np.nan, intersection / np.maximum(union, 1))


def accuracy_rows(
    intersection: np.ndarray, prediction: np.ndarray, truth: np.ndarray, pixels: int
) -> np.ndarray:
    """Share of the row's pixels that are correct, background included; pixels: in one slice."""
    return 1 - (prediction + truth - 2 * intersection) / pixels


def _distances(prediction: BitRows, truth: BitRows, metric: Metric) -> np.ndarray:
    if metric.volume == "union":
        prediction, truth = prediction.union(), truth.union()
    pairs = zip(prediction.words, truth.words, strict=True)
    shape = truth.shape[1:]
    if metric.volume != "slice":
        return np.array([distance(p, t, shape, metric) for p, t in pairs])
    # one slice without z: its surface is its outline, in a volume every voxel would be surface
    plane = (1, *shape[1:])
    return np.array(
        [[distance(*two, plane, metric) for two in zip(*pair, strict=True)] for pair in pairs]
    )


def distance(
    prediction: np.ndarray, truth: np.ndarray, shape: tuple[int, int, int], metric: Metric
) -> float:
    """Return the normalised distance of two volumes; NaN when the metric drops the pair.

    prediction, truth: uint64 bit rows (z, y, words), possibly a crop, or (y, words) of one slice.
    shape: (Z, H, W) of the whole scan, which the coordinates are divided by.
    """
    has = bool(prediction.any()), bool(truth.any())
    if not any(has):
        return np.nan if metric.both_empty_distance is None else metric.both_empty_distance
    if not all(has):
        return 1.0
    voxels = [int(np.bitwise_count(words).sum()) for words in (prediction, truth)]
    if metric.oversize and voxels[0] > metric.oversize * voxels[1]:
        return 1.0
    sides = np.array(shape, float)
    spacing = 1 / sides if metric.scale in ("sqrt3", "clip") else np.ones(3)
    measure = symmetric if metric.direction == "symmetric" else directed
    surface = metric.points == "surface"
    found = measure(prediction, truth, spacing=tuple(spacing), surface=surface)
    reach = {
        "sqrt3": np.sqrt(3),
        "clip": 1.0,
        "diagonal": np.linalg.norm(sides - 1),
        "slice_diagonal": np.hypot(*sides[1:]),
    }[metric.scale]
    return float(min(found / reach, 1.0))


@dataclass(frozen=True)
class Summary:
    """Means over scans. hausdorff is the normalised distance, 0 is best."""

    score: float
    dice: float
    hausdorff: float
    # (slice, class): all, kept and dropped by the metric, empty on both sides
    counts: dict[str, int]


def combine(dice: float, distance: float) -> float:
    """Return 0.4 · dice + 0.6 · (1 - distance); the only place where the two meet."""
    return DICE_WEIGHT * dice + HAUSDORFF_WEIGHT * (1 - distance)


def summarise(results: Sequence[ScanResult], metric: Metric) -> Summary:
    """Average over scans as the metric says; NaN when nothing was kept."""
    rows = _joined([result.dice for result in results])
    dice, distance = _mean(rows), _mean(_joined([result.hausdorff for result in results]))
    if metric.dice_mean == "slices":
        dice = _mean([_mean(organs) for result in results for organs in result.dice.T])
    if metric.hausdorff_mean == "scans":
        distance = _mean([_mean(result.hausdorff) for result in results])
    kept = int(np.isfinite(rows).sum())
    counts = {
        "rows": len(rows),
        "kept": kept,
        "dropped": len(rows) - kept,
        "empty": sum(int((one.prediction + one.truth == 0).sum()) for one in results),
    }
    return Summary(combine(dice, distance), dice, distance, counts)


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0), *(values.ravel() for values in arrays)])


def _mean(values: np.ndarray | list[float]) -> float:
    """Mean of what was kept; NaN when nothing was."""
    kept = np.asarray(values)[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else np.nan


def of_class(result: ScanResult, organ: str) -> ScanResult:
    """Return the part of a result that belongs to one class; a union keeps its distance."""
    position = CLASSES.index(organ)
    pick = slice(position, position + 1)
    keys = ["dice", "intersection", "prediction", "truth"]
    if len(result.hausdorff) > 1:
        keys.append("hausdorff")
    return replace(result, **{key: getattr(result, key)[pick] for key in keys})
