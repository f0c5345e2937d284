"""Small gaps of a mask, plane by plane: holes that it encloses, and bites out of its outline."""

import cv2
import numpy as np

# the background of 8-connected pixels: it does not pass between two that touch by a corner
CROSS = 4


def fill_holes(planes: np.ndarray, most: int) -> np.ndarray:
    """Return planes (N, H, W) uint8 in {0, 1} with holes of at most `most` pixels filled.

    A hole is background that a plane's mask encloses: its pixels, joined by their sides, reach no
    border.
    """
    found = planes.copy()
    for plane in found:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - plane, connectivity=CROSS)
        # number 0 is the mask
        first, past = stats[:, :2], stats[:, :2] + stats[:, 2:4]  # (x, y) of the boxes
        enclosed = (first > 0).all(axis=1) & (past < plane.shape[::-1]).all(axis=1)
        filled = enclosed & (stats[:, cv2.CC_STAT_AREA] <= most) & (np.arange(count) > 0)
        plane[filled[labels]] = 1
    return found


def add_hulls(planes: np.ndarray, share: float) -> np.ndarray:
    """Return planes (N, H, W) uint8 in {0, 1} with the convex hulls of components added.

    Of a component, pixels joined by sides or corners, its hull is added where that adds at most
    this share of its pixels. To the hull of the pixels' middles belong those whose middle lies in
    it or on its edge.
    """
    found = planes.copy()
    for plane, target in zip(planes, found, strict=True):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(plane, connectivity=8)
        for number in range(1, count):
            left, top, width, height, area = stats[number].tolist()
            box = slice(top, top + height), slice(left, left + width)
            hull = _hull(labels[box] == number)
            if hull.sum() - area <= share * area:
                target[box] |= hull
    return found


def _hull(component: np.ndarray) -> np.ndarray:
    """Return the convex hull (h, w) bool of a mask (h, w) bool that is not empty; exact."""
    corners = cv2.convexHull(cv2.findNonZero(component.astype(np.uint8)))[:, 0]  # (E, 2), x and y
    along = np.roll(corners, -1, axis=0) - corners
    y, x = np.ogrid[: component.shape[0], : component.shape[1]]
    (x0, y0), (dx, dy) = corners.T[:, :, None, None], along.T[:, :, None, None]
    side = dx * (y - y0) - dy * (x - x0)  # (E, h, w), of each edge
    return (side >= 0).all(axis=0) | (side <= 0).all(axis=0)
