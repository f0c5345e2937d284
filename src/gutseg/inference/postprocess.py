"""From probabilities to masks: threshold, smallest component, presence gate."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from gutseg.config import Rule
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.components import Components


class Cut:
    """A thresholded volume; its components are labelled once, when a rule first asks for them.

    words: (Z, H, W64) bit rows. peak: (Z,) highest probability of a slice. The volume must be
    (part of) one scan: components and gates never reach across scans.
    """

    def __init__(self, probabilities: np.ndarray, threshold: int) -> None:
        """probabilities: (Z, H, W) uint8. threshold: the first byte that is inside."""
        self.words = BitRows.from_threshold(probabilities[None], [threshold]).words[0]
        self.peak = probabilities.max(axis=(1, 2))

    @cached_property
    def components(self) -> Components:
        """The mask's connected components."""
        return Components.of(self.words)

    def apply(self, min_size: int, gate: int) -> np.ndarray:
        """Return the words without components below `min_size` and slices below the gate."""
        if min_size > 1:
            words = self.components.without_small(self.words, min_size)
        else:
            words = self.words.copy()
        words[self.peak < gate] = 0
        return words


def finish_scan(probabilities: np.ndarray, rules: Sequence[Rule]) -> BitRows:
    """Turn a scan's probabilities (C, Z, H, W) uint8 into masks, one rule per class."""
    words = [
        Cut(organ, to_byte(rule.threshold)).apply(rule.min_component_size, to_byte(rule.gate))
        for organ, rule in zip(probabilities, rules, strict=True)
    ]
    return BitRows(np.stack(words), probabilities.shape[3])


def to_byte(probability: float) -> int:
    """Return the smallest byte whose probability (255 = 1) reaches the given one, at least 1."""
    return max(int(np.ceil(probability * 255 - 1e-9)), 1)
