"""The baseline that looks at no image: how often an organ lies at a place of the scan."""

from collections.abc import Iterable

import cv2
import numpy as np

from gutseg.constants import CLASSES


class Prior:
    """Mean mask per relative slice position and relative pixel, over training scans."""

    def __init__(self, *, positions: int = 48, size: int = 96) -> None:
        """positions: bins along z. size: pixels a side of the common grid."""
        self.size = size
        self.sums = np.zeros((positions, len(CLASSES), size, size), np.float64)
        self.counts = np.zeros(positions)

    def fit(self, masks: Iterable[np.ndarray]) -> "Prior":
        """Add scans up; masks: (Z, H, W) uint8, one bit per class."""
        for mask in masks:
            for position, plane in zip(self._positions(len(mask)), mask, strict=True):
                for organ in range(len(CLASSES)):
                    present = (plane >> organ & 1).astype(np.float32)
                    grid = cv2.resize(present, (self.size, self.size), interpolation=cv2.INTER_AREA)
                    self.sums[position, organ] += grid
                self.counts[position] += 1
        return self

    def predict(self, shape: tuple[int, int, int]) -> np.ndarray:
        """Return probabilities of a scan of shape (Z, H, W): (C, Z, H, W) uint8, 255 = 1."""
        depth, height, width = shape
        mean = self.sums / np.maximum(self.counts, 1)[:, None, None, None]
        found = np.empty((len(CLASSES), *shape), np.uint8)
        for z, position in enumerate(self._positions(depth)):
            for organ in range(len(CLASSES)):
                plane = cv2.resize(mean[position, organ], (width, height))
                found[organ, z] = np.rint(plane * 255)
        return found

    def _positions(self, depth: int) -> np.ndarray:
        middles = (np.arange(depth) + 0.5) / depth
        return (middles * len(self.counts)).astype(int)
