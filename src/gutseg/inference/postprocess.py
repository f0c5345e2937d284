"""From probabilities to masks: threshold, smallest component, presence gate."""

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np

from gutseg.metrics.bitrows import BitRows


@dataclass(frozen=True)
class Rule:
    """How one class becomes a mask.

    threshold: a voxel belongs to the organ from this probability on. smallest: 26-connected
    components of fewer voxels are dropped; one false speck far away costs more Hausdorff
    distance than it can bring Dice. gate: a slice keeps the organ only when its highest
    probability reaches this much (1st place: .5 over a threshold of .4).
    """

    threshold: float = 0.5
    smallest: int = 0
    gate: float = 0.0

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
    if rule.smallest > 1 and mask.any():
        mask = cc3d.dust(mask, threshold=rule.smallest, connectivity=26, in_place=True)
    mask[probabilities.max(axis=(1, 2)) < level(rule.gate)] = False
    return mask


def finish_scan(probabilities: np.ndarray, rules: Sequence[Rule]) -> BitRows:
    """Turn a scan's probabilities (C, Z, H, W) uint8 into masks, one rule a class."""
    masks = [finish(organ, rule) for organ, rule in zip(probabilities, rules, strict=True)]
    return BitRows.from_arrays(np.stack(masks))


def level(probability: float) -> int:
    """Return the smallest byte whose probability (255 = 1) reaches the given one, at least 1."""
    return max(int(np.ceil(probability * 255 - 1e-9)), 1)
