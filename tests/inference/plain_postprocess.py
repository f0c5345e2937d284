"""Post-processing as one would write it down, to compare the fast one with."""

import math

import numpy as np
from scipy import ndimage, spatial

from gutseg.inference.postprocess import Rule, to_byte

CORNERS = np.ones((3, 3, 3))


def finish_plainly(
    probabilities: np.ndarray, rule: Rule, *, seen=None, voxel_mm=(1, 1, 1)
) -> np.ndarray:
    """The mask of one class, voxel by voxel and with scipy's components: (Z, H, W) bool."""
    mask = probabilities >= to_byte(rule.threshold)
    sure = (mask & (probabilities >= to_byte(rule.gate))).sum(axis=(1, 2))
    labels, _ = ndimage.label(mask, CORNERS)
    voxels = np.bincount(labels.ravel())[labels]
    ml = voxels * math.prod(voxel_mm) / 1000
    mask &= (voxels >= rule.min_component_size) & (ml >= rule.min_component_ml - 1e-9)
    mask[sure < rule.gate_pixels] = False
    drop_short_runs(mask, rule.min_run, np.ones(len(mask), bool) if seen is None else seen)
    for plane in mask:
        fill_plainly(plane, rule.fill_holes)
        if rule.hull:
            add_hulls_plainly(plane, rule.hull)
    return mask


def drop_short_runs(mask, least, seen):
    shown, z = mask.any(axis=(1, 2)), 0
    while z < len(mask):
        past = z
        while past < len(mask) and shown[past]:
            past += 1
        unknown = (z > 0 and not seen[z - 1]) or (past < len(mask) and not seen[past])
        if past - z < least and not unknown:
            mask[z:past] = False
        z = past + 1


def fill_plainly(plane, most):
    """scipy's background, joined by sides alone, on a plane with a border of one more pixel."""
    holes, _ = ndimage.label(np.pad(~plane, 1, constant_values=True))
    sizes = np.bincount(holes.ravel())
    for number in range(1, len(sizes)):
        hole = (holes == number)[1:-1, 1:-1]
        at_border = hole[0].any() or hole[-1].any() or hole[:, 0].any() or hole[:, -1].any()
        if number != holes[0, 0] and not at_border and sizes[number] <= most:
            plane |= hole


def add_hulls_plainly(plane, share):
    """Qhull's inside of the middles of pixels; on its edge are pixels, as far as rounding goes."""
    parts, count = ndimage.label(plane, CORNERS[0])
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    for number in range(1, count + 1):
        points = np.argwhere(parts == number)
        if len(points) < 3 or np.linalg.matrix_rank(points - points[0]) < 2:
            continue
        hull = spatial.ConvexHull(points).equations
        far = np.stack([a * y + b * x + c for a, b, c in hull]).max(axis=0)
        inside = far <= 1e-9
        if (inside & (parts != number)).sum() <= share * len(points):
            plane |= inside
