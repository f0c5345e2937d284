"""Background reuse: where one network sees no object, another's classes do not count."""

import numpy as np

from gutseg.metrics.pooled import decided
from gutseg.settings import Mode


def is_background(probabilities: np.ndarray, mode: Mode, background: int | None) -> np.ndarray:
    """Return the pixels (...) bool where probabilities (C, ...) say background.

    mode, background: of their classes. Without a class of its own, background is where no class
    reaches 0.5.
    """
    masks = decided(probabilities, mode)  # (C, ...)
    return np.logical_not(masks.any(axis=0)) if background is None else masks[background]


def reuse_background(found: np.ndarray, covered: np.ndarray, background: int | None) -> np.ndarray:
    """Return a prediction (C, ...) that is background where `covered` (...) bool says so.

    found: masks, or probabilities as floats or bytes (255 = 1). background: its class, which is
    then certain; None where classes overlap: all are 0 there. Source: [Tongji 2022], equation 3.4.
    """
    laid = found.copy()
    laid[:, covered] = 0
    if background is not None:
        laid[background, covered] = 255 if found.dtype == np.uint8 else 1
    return laid
