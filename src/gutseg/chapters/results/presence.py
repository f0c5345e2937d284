"""Which slices a prediction takes for empty, by where they lie in the scan."""

import numpy as np

BINS = 10


def presence_counts(
    truth: np.ndarray, found: np.ndarray, seen: np.ndarray, bins: int = BINS
) -> np.ndarray:
    """Count slices by position, (C, bins, 2, 2): [truth shows the organ, prediction does].

    truth, found: (C, Z) bool. seen: (Z,) the slices that were predicted. Bin 0 is the head end.
    """
    classes, depth = truth.shape
    place = np.arange(depth) * bins // depth
    counts = np.zeros((classes, bins, 2, 2), np.int64)
    for organ in range(classes):
        rows = place[seen], truth[organ, seen].astype(int), found[organ, seen].astype(int)
        np.add.at(counts[organ], rows, 1)
    return counts
