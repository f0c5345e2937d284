"""What each component of a prediction that touches no truth costs in score."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gutseg.masks.bit_rows import BitRows
from gutseg.masks.components import Components
from gutseg.metrics.competition import Metric, ScanResult, dice_rows, distance, summarise

# of one class in one scan, the largest first; a prediction of more specks has other problems
MOST_PARTS = 200


@dataclass(frozen=True)
class FalsePart:
    """One false component of a class."""

    scan: str
    organ: int
    voxels: int
    # the slices that it spans, from 0
    first: int
    last: int
    # what the scan's score gains without it; below 0 where it is better kept
    cost: float


def false_parts(
    prediction: BitRows, truth: BitRows, result: ScanResult, metric: Metric
) -> Iterator[FalsePart]:
    """Take every false component away, one at a time, and score the scan again.

    result: of `compare`. metric: one that measures distances per scan and class.
    """
    before = summarise([result], metric).score
    for organ, (found, inside) in enumerate(zip(prediction.words, truth.words, strict=True)):
        parts = Components.of(found)
        false = ~parts.touches(inside)
        roots = np.unique(parts.root[false])
        largest = np.argsort(-parts.voxels[roots], kind="stable")[:MOST_PARTS]
        for root in roots[largest]:
            runs = parts.root == root
            plane = parts.row[runs] // found.shape[1]
            lengths = (parts.stop - parts.start)[runs]
            gone = np.bincount(plane, lengths, minlength=len(found)).astype(int)
            left = parts.without(found, runs)
            apart = distance(left, inside, truth.shape[1:], metric)
            after = summarise([_without(result, organ, gone, apart, metric)], metric).score
            # a scan that is empty on both sides then has nothing left that is wrong
            cost = (1.0 if np.isnan(after) else after) - before
            first, last = int(plane.min()), int(plane.max())
            yield FalsePart(result.scan, organ, int(lengths.sum()), first, last, cost)


def _without(
    result: ScanResult, organ: int, gone: np.ndarray, apart: float, metric: Metric
) -> ScanResult:
    """Return a result after voxels (Z,) of one class that hit nothing are gone."""
    dice, distances = result.dice.copy(), result.hausdorff.copy()
    counts = result.intersection[organ], result.prediction[organ] - gone, result.truth[organ]
    dice[organ] = np.where(gone > 0, dice_rows(*counts, metric), dice[organ])
    distances[organ] = apart
    return replace(result, dice=dice, hausdorff=distances)
