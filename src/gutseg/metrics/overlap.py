"""Overlap metrics from pixel counts: one value a row (slice, class)."""

import numpy as np


def iou_rows(intersection: np.ndarray, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of every row; NaN where both sides are empty."""
    union = prediction + truth - intersection
    return np.where(union == 0, np.nan, intersection / np.maximum(union, 1))


def accuracy_rows(
    intersection: np.ndarray, prediction: np.ndarray, truth: np.ndarray, pixels: int
) -> np.ndarray:
    """Share of the row's pixels that are right, background included; pixels: in one slice."""
    return 1 - (prediction + truth - 2 * intersection) / pixels
