"""Fold and model ensembling: the weighted mean of probabilities."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from gutseg.config import Rule
from gutseg.data.volume import Scan
from gutseg.inference.background import is_background, reuse_background
from gutseg.inference.parts import Part
from gutseg.inference.postprocess import finish_scan
from gutseg.inference.predictor import Predictor
from gutseg.masks.bit_rows import BitRows


def weighted_mean(members: Iterable[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Average uint8 probabilities of any shape; the result is uint8 again.

    members: may be a generator, one is held at a time. weights: need not add up to 1.
    """
    parts = (member * share for member, share in zip(members, shares(weights), strict=True))
    mean = next(parts)
    for part in parts:
        mean += part
    return np.rint(mean).astype(np.uint8)


def shares(weights: Sequence[float]) -> list[np.float32]:
    """Return weights that add up to 1; raises ValueError where they cannot."""
    total = sum(weights)
    if not np.isfinite(total) or total <= 0 or min(weights) < 0:
        raise ValueError(
            f"weights {list(weights)}; expected finite ones, none below 0 and one above"
        )
    return [np.float32(weight / total) for weight in weights]


@dataclass(frozen=True)
class Ensemble:
    """Trained networks with weights, and the rules that turn their mean into masks."""

    predictors: Sequence[Predictor]
    weights: Sequence[float]
    rules: Sequence[Rule]
    # the networks whose mean says where there is background; without them all pixels count
    background: Sequence[Predictor] = ()
    # the networks whose mean the rules' gates look at; without them it is that of the predictors
    gate: Sequence[Predictor] = ()

    def __call__(self, scan: Scan, z: np.ndarray) -> BitRows:
        """Return the masks of a scan (C, Z, H, W); planes that are not in z stay empty."""
        return self.masks([Part(scan, z)])[0]

    def masks(self, parts: Sequence[Part]) -> list[BitRows]:
        """Return the masks of scans of one size (H, W), in batches that they fill together."""
        mean = mean_of(self.predictors, self.weights, parts)  # (C, N, H, W)
        if self.background:
            said = mean_of(self.background, [1.0] * len(self.background), parts)
            mean = reuse_background(mean, is_background(said, "multilabel", None), None)
        gate = mean_of(self.gate, [1.0] * len(self.gate), parts) if self.gate else None
        masks, first = [], 0
        for part in parts:
            here = slice(first, first + len(part.z))
            seen = np.isin(np.arange(len(part.scan.image)), part.z)
            done = finish_scan(
                _whole(mean[:, here], part),
                self.rules,
                seen=seen,
                voxel_mm=part.scan.voxel_mm,
                gate=None if gate is None else _whole(gate[:, here], part),
            )
            masks.append(done)
            first += len(part.z)
        return masks


def _whole(found: np.ndarray, part: Part) -> np.ndarray:
    """Lay the planes (C, N, H, W) of a part into its scan: (C, Z, H, W), the others empty."""
    whole = np.zeros((len(found), *part.scan.shape), np.uint8)
    whole[:, part.z] = found
    return whole


def mean_of(
    predictors: Sequence[Predictor], weights: Sequence[float], parts: Sequence[Part]
) -> np.ndarray:
    """Return the weighted mean (C, N, H, W) uint8 of what networks predict of scans of one size.

    N: planes of all parts. It equals `weighted_mean` bit for bit. Networks that see the same,
    such as the folds of a run, share the work of preparing it.
    """
    count, size = sum(len(part.z) for part in parts), parts[0].scan.shape[1:]
    total = np.zeros(0, np.float32)
    pairs = zip(predictors, shares(weights), strict=True)
    for _, group in groupby(pairs, lambda pair: pair[0].sees):
        alike, first = list(group), 0
        for batch, images in alike[0][0].stacks(parts):
            for predictor, share in alike:
                found = predictor.predict(batch, images)  # (C, B, H, W)
                if not total.size:
                    total = np.zeros((len(found), count, *size), np.float32)
                total[:, first : first + found.shape[1]] += found * share
            first += found.shape[1]
    return np.rint(total, out=total).astype(np.uint8)
