"""Thinning of a mask to its skeleton, one pixel wide."""

import cv2
import numpy as np


def thinned(mask: np.ndarray) -> np.ndarray:
    """Skeleton (H, W) bool of a mask (H, W) bool; every 8-connected component keeps some pixel.

    Source: [Zhang 1984]; a component that their rules erase, as a square of 2 x 2, stays whole.
    """
    thin = np.pad(mask, 1)  # beyond the image nothing is inside
    while True:
        before = int(thin.sum())
        for first in (True, False):
            thin[1:-1, 1:-1] &= ~_removable(thin, first)
        if int(thin.sum()) == before:
            break
    thin = thin[1:-1, 1:-1]
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    lost = np.setdiff1d(np.arange(1, count), labels[thin])
    return thin | np.isin(labels, lost)


def _removable(thin: np.ndarray, first: bool) -> np.ndarray:
    """Pixels of the edge, of the south-east or the north-west, that nothing hangs together by."""
    height, width = thin.shape
    # the eight neighbours, from the north clockwise
    steps = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
    around = np.stack([thin[1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx] for dy, dx in steps])
    number = around.sum(0)
    rises = (~around & np.roll(around, -1, 0)).sum(0)  # from outside to inside, going round
    north, east, south, west = around[::2]
    if first:
        open_side = ~(north & east & south) & ~(east & south & west)
    else:
        open_side = ~(north & east & west) & ~(north & south & west)
    return (number >= 2) & (number <= 6) & (rises == 1) & open_side
