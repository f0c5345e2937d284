"""From probabilities to masks: threshold, smallest component, presence gate."""

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np

from gutseg.masks.bit_rows import BitRows


@dataclass(frozen=True)
class Rule:
    """How one class becomes a mask.

    A slice keeps the organ only when it has a voxel that reaches the gate.
    """

    # a voxel belongs to the organ from this probability on
    threshold: float = 0.5
    # 26-connected components of fewer voxels are dropped: one false speck far away costs more
    # Hausdorff distance than it can bring Dice
    min_component_size: int = 0
    # the highest probability of a slice must reach it (1st place: .5 over a threshold of .4)
    gate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("threshold", "gate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)}; expected 0 to 1")
        if self.min_component_size < 0:
            raise ValueError(
                f"min_component_size = {self.min_component_size}; expected 0 or more voxels"
            )


def finish(probabilities: np.ndarray, rule: Rule) -> np.ndarray:
    """Turn the probabilities of one class into its mask: (Z, H, W) uint8 -> bool.

    The volume must be one scan: components and gates never reach across scans.
    """
    mask = probabilities >= to_byte(rule.threshold)
    if rule.min_component_size > 1 and mask.any():
        mask = cc3d.dust(mask, threshold=rule.min_component_size, connectivity=26, in_place=True)
    mask[probabilities.max(axis=(1, 2)) < to_byte(rule.gate)] = False
    return mask


def finish_scan(probabilities: np.ndarray, rules: Sequence[Rule]) -> BitRows:
    """Turn a scan's probabilities (C, Z, H, W) uint8 into masks, one rule a class."""
    masks = [finish(organ, rule) for organ, rule in zip(probabilities, rules, strict=True)]
    return BitRows.from_arrays(np.stack(masks))


def to_byte(probability: float) -> int:
    """Return the smallest byte whose probability (255 = 1) reaches the given one, at least 1."""
    return max(int(np.ceil(probability * 255 - 1e-9)), 1)
