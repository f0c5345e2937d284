"""Fold and model ensembling: the weighted mean of probabilities."""

from collections.abc import Iterable, Sequence

import numpy as np


def weighted_mean(members: Iterable[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Average uint8 probabilities of any shape; the result is uint8 again.

    members: may be a generator, one is held at a time. weights: need not add up to 1.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError(f"weights {list(weights)}; expected none below 0 and one above")
    mean = None
    for member, weight in zip(members, weights, strict=True):
        share = np.float32(weight / total)
        if mean is None:
            mean = member * share
        else:
            mean += member * share
    return np.rint(mean).astype(np.uint8)
