"""Fold and model ensembling: the weighted mean of probabilities."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gutseg.config import Rule
from gutseg.data.volume import Scan
from gutseg.inference.background import is_background, reuse_background
from gutseg.inference.postprocess import finish_scan
from gutseg.inference.predictor import Predictor
from gutseg.masks.bit_rows import BitRows


def weighted_mean(members: Iterable[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Average uint8 probabilities of any shape; the result is uint8 again.

    members: may be a generator, one is held at a time. weights: need not add up to 1.
    """
    total = sum(weights)
    if not np.isfinite(total) or total <= 0 or min(weights) < 0:
        raise ValueError(
            f"weights {list(weights)}; expected finite ones, none below 0 and one above"
        )
    shares = (np.float32(weight / total) for weight in weights)
    parts = (member * share for member, share in zip(members, shares, strict=True))
    mean = next(parts)
    for part in parts:
        mean += part
    return np.rint(mean).astype(np.uint8)


@dataclass(frozen=True)
class Ensemble:
    """Trained networks with weights, and the rules that turn their mean into masks."""

    predictors: Sequence[Predictor]
    weights: Sequence[float]
    rules: Sequence[Rule]
    # the networks whose mean says where there is background; without them all pixels count
    background: Sequence[Predictor] = ()

    def __call__(self, scan: Scan, z: np.ndarray) -> BitRows:
        """Return the masks of a scan (C, Z, H, W); planes that are not in z stay empty."""
        members = (predictor(scan, z) for predictor in self.predictors)
        mean = weighted_mean(members, self.weights)
        if self.background:
            said = weighted_mean((p(scan, z) for p in self.background), [1] * len(self.background))
            mean = reuse_background(mean, is_background(said, "multilabel", None), None)
        whole = np.zeros((len(mean), *scan.shape), np.uint8)
        whole[:, z] = mean
        return finish_scan(whole, self.rules)
