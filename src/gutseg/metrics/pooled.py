"""Measures from pixels that are pooled over images, for any classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gutseg.settings import Mode


@dataclass(frozen=True)
class Counts:
    """Pixels of every class, summed over images; counts of several parts may be added."""

    # (C,) each
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    # of mode `multiclass`; pixels times classes of mode `multilabel`
    pixels: int = 0

    @classmethod
    def none(cls, classes: int) -> "Counts":
        """Return the counts of no image."""
        return cls(*np.zeros((3, classes), np.int64))

    @classmethod
    def of_vector(cls, vector: np.ndarray) -> "Counts":
        """Undo `vector`."""
        tp, fp, fn = vector[:-1].reshape(3, -1)
        return cls(tp, fp, fn, int(vector[-1]))

    @property
    def vector(self) -> np.ndarray:
        """All numbers in a row, (3 C + 1,), as ranks add them up."""
        return np.concatenate([self.tp, self.fp, self.fn, [self.pixels]])

    def __add__(self, other: "Counts") -> "Counts":
        return Counts.of_vector(self.vector + other.vector)


def decided(probabilities: np.ndarray, mode: Mode) -> np.ndarray:
    """Turn probabilities (C, ...), float in [0, 1] or uint8 (255 = 1), into masks (C, ...) bool.

    multilabel: from 0.5 on. multiclass: the likeliest class, the first of equals.
    """
    if mode == "multilabel":
        return probabilities >= (128 if probabilities.dtype == np.uint8 else 0.5)
    numbers = np.arange(len(probabilities)).reshape(-1, *[1] * (probabilities.ndim - 1))
    return probabilities.argmax(axis=0) == numbers


def count(
    found: np.ndarray, truth: np.ndarray, mode: Mode, ignored: np.ndarray | None = None
) -> Counts:
    """Compare masks (C, ...) bool of a prediction and of labels; ignored: (...) bool or None."""
    if ignored is not None:
        found, truth = found & ~ignored, truth & ~ignored
    pixels = truth[0].size - (0 if ignored is None else np.count_nonzero(ignored))
    tp, predicted, labelled = (
        np.array([np.count_nonzero(plane) for plane in planes])
        for planes in (found & truth, found, truth)
    )
    if mode == "multilabel":
        pixels *= len(truth)
    return Counts(tp, predicted - tp, labelled - tp, pixels)


def measures(
    counts: Counts, classes: Sequence[str], mode: Mode, background: int | None
) -> dict[str, float]:
    """Return averages over classes and, as `iou.<class>`, what each class has.

    A class that is neither there nor predicted is NaN and left out of averages, and recall is so
    wherever the class is not there; precision of a class that is there and never predicted is 0.
    Of no pixels everything is NaN. Averages named `_fg` leave the background out.
    """
    tp, fp, fn = (part.astype(float) for part in (counts.tp, counts.fp, counts.fn))
    seen = tp + fp + fn > 0
    parts = {
        "iou": (tp, tp + fp + fn),
        "dice": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }
    correct = tp.sum() if mode == "multiclass" else counts.pixels - fp.sum() - fn.sum()
    found = {"accuracy": correct / counts.pixels if counts.pixels else np.nan}
    for name, (part, whole) in parts.items():
        defined = tp + fn > 0 if name == "recall" else seen
        values = np.where(defined, part / np.maximum(whole, 1), np.nan)
        foreground = values
        if background is not None and mode == "multiclass":
            foreground = np.delete(values, background)
        found |= {name: _mean(values), f"{name}_fg": _mean(foreground)}
        found |= {f"{name}.{key}": value for key, value in zip(classes, values, strict=True)}
    return {key: float(value) for key, value in found.items()}


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
