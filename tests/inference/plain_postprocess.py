"""Post-processing as one would write it down, to compare the fast one with."""

import numpy as np
from scipy import ndimage

from gutseg.inference.postprocess import Rule, to_byte


def finish_plainly(probabilities: np.ndarray, rule: Rule) -> np.ndarray:
    """The mask of one class, voxel by voxel and with scipy's components: (Z, H, W) bool."""
    mask = probabilities >= to_byte(rule.threshold)
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    mask &= np.bincount(labels.ravel())[labels] >= rule.min_component_size
    mask[probabilities.max(axis=(1, 2)) < to_byte(rule.gate)] = False
    return mask
