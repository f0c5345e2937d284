"""From probabilities to masks: threshold, presence gate, smallest component."""

from dataclasses import dataclass

import cc3d
import numpy as np


@dataclass(frozen=True)
class Rule:
    """How one class becomes a mask.

    threshold: a voxel belongs to the organ from this probability on. gate: a slice keeps the
    organ only when its highest probability reaches this much (1st place: .5 over .4).
    smallest: 26-connected components of fewer voxels are dropped; one false speck far away
    costs more Hausdorff distance than it can bring Dice.
    """

    threshold: float = 0.5
    gate: float = 0.0
    smallest: int = 0

    def __post_init__(self) -> None:
        for name in ("threshold", "gate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)}; expected 0 to 1")
        if self.smallest < 0:
            raise ValueError(f"smallest = {self.smallest}; expected 0 or more voxels")


def finish(probabilities: np.ndarray, rule: Rule) -> np.ndarray:
    """Turn the probabilities of one class into its mask: (Z, H, W) uint8 -> bool.

    The volume must be one scan: components and gates never reach across scans.
    """
    mask = probabilities >= level(rule.threshold)
    if level(rule.gate) > level(rule.threshold):
        mask[probabilities.max(axis=(1, 2)) < level(rule.gate)] = False
    if rule.smallest > 1 and mask.any():
        return cc3d.dust(mask, threshold=rule.smallest, connectivity=26, in_place=True)
    return mask


def level(probability: float) -> int:
    """Return the smallest byte whose probability (255 = 1) reaches the given one, at least 1."""
    return max(int(np.ceil(probability * 255 - 1e-9)), 1)
