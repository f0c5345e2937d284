"""How well a network says whether images show a class."""

from collections.abc import Sequence

import numpy as np

# Logits are counted in bins of 1/32 from -16 on, so that counts of several parts may be added.
BINS, PER_UNIT, LOWEST = 1024, 32, -16


def tally(logits: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Count images by class, truth and logit: (C, 2, BINS); logits, shown: (B, C), shown in {0, 1}.

    Beyond -16 and 16 logits are counted in the first bin and the last.
    """
    classes = shown.shape[1]
    places = np.floor((logits.astype(np.float64) - LOWEST) * PER_UNIT).clip(0, BINS - 1)
    counts = np.zeros((classes, 2, BINS))
    np.add.at(counts, (np.arange(classes), shown.astype(int), places.astype(int)), 1)
    return counts


def presence_measures(counts: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Return `presence_auc` and `presence_accuracy`, of each class and their means over classes.

    counts: of `tally`. The area under the ROC curve is NaN for a class that all images show or
    none does; the accuracy is that of the logit's sign.
    """
    without, having = counts[:, 0], counts[:, 1]  # (C, BINS)
    below = without.cumsum(axis=1) - without / 2  # equal logits count half
    with np.errstate(invalid="ignore"):
        auc = (having * below).sum(axis=1) / (having.sum(axis=1) * without.sum(axis=1))
        half = -LOWEST * PER_UNIT
        correct = having[:, half:].sum(axis=1) + without[:, :half].sum(axis=1)
        accuracy = correct / counts.sum(axis=(1, 2))
    found = {}
    for key, values in (("presence_auc", auc), ("presence_accuracy", accuracy)):
        known = values[np.isfinite(values)]
        found[key] = float(known.mean()) if len(known) else float("nan")
        found |= {f"{key}_{name}": float(v) for name, v in zip(classes, values, strict=True)}
    return found
