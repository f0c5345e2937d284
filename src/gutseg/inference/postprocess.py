"""From probabilities to masks: threshold, small components, presence gate, runs of slices, gaps."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from gutseg.config import Rule
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.components import Components
from gutseg.masks.gaps import add_hulls, fill_holes


class Cut:
    """A thresholded volume; its components are labelled once, when a rule first asks for them.

    words: (Z, H, W64) bit rows. peak: (Z,) highest probability of a slice. The volume must be
    (part of) one scan: components, gates and runs never reach across scans.
    """

    def __init__(self, probabilities: np.ndarray, threshold: int) -> None:
        """probabilities: (Z, H, W) uint8. threshold: the first byte that is inside."""
        self.words = BitRows.from_threshold(probabilities[None], [threshold]).words[0]
        self.peak = probabilities.max(axis=(1, 2))
        self.width = probabilities.shape[2]

    @cached_property
    def components(self) -> Components:
        """The mask's connected components."""
        return Components.of(self.words)

    def apply(
        self,
        rule: Rule,
        *,
        reached: np.ndarray | None = None,
        beside_gap: np.ndarray | None = None,
        voxel_ml: float | None = None,
    ) -> np.ndarray:
        """Return the words (Z, H, W64) that a rule of this threshold leaves.

        reached: (Z,) pixels of each slice from `gate_byte` on; None: only the peak is known, which
        says whether there is one. beside_gap: as `beside_gaps` returns it, None for no gap.
        voxel_ml: of a voxel, where the rule has a limit in ml.
        """
        least = min_voxels(rule, voxel_ml)
        words = self.components.without_small(self.words, least) if least > 1 else self.words.copy()
        closed = self.peak < to_byte(rule.gate) if reached is None else reached < rule.gate_pixels
        words[closed] = 0
        if rule.min_run > 1:
            shown = np.asarray(words.any(axis=(1, 2)))
            words[in_short_run(shown, rule.min_run, beside_gap)] = 0
        return self._without_gaps(words, rule) if rule.fill_holes or rule.hull else words

    def _without_gaps(self, words: np.ndarray, rule: Rule) -> np.ndarray:
        shown = words.any(axis=(1, 2))
        if not shown.any():
            return words
        planes = BitRows(words[shown][None], self.width).to_arrays()[0].view(np.uint8)
        planes = fill_holes(planes, rule.fill_holes) if rule.fill_holes else planes
        planes = add_hulls(planes, rule.hull) if rule.hull else planes
        words[shown] = BitRows.from_arrays(planes[None]).words[0]
        return words


def finish_scan(
    probabilities: np.ndarray,
    rules: Sequence[Rule],
    *,
    seen: np.ndarray | None = None,
    voxel_mm: Sequence[float] | None = None,
    gate: np.ndarray | None = None,
) -> BitRows:
    """Turn a scan's probabilities (C, Z, H, W) uint8 into masks, one rule per class.

    seen: (Z,) bool, the planes that were predicted, None for all. voxel_mm: the size of a voxel,
    where something says it. gate: probabilities (C, Z, H, W) uint8 that gates look at instead.
    """
    gaps = None if seen is None else beside_gaps(seen)
    words = [
        Cut(organ, to_byte(rule.threshold)).apply(
            rule,
            reached=_reached(organ, rule) if gate is None else _reached_in(gate[number], rule),
            beside_gap=gaps,
            voxel_ml=millilitres(voxel_mm),
        )
        for number, (organ, rule) in enumerate(zip(probabilities, rules, strict=True))
    ]
    return BitRows(np.stack(words), probabilities.shape[3])


def _reached(organ: np.ndarray, rule: Rule) -> np.ndarray | None:
    return pixels_from(organ, gate_byte(rule)) if rule.gate_pixels > 1 else None


def _reached_in(other: np.ndarray, rule: Rule) -> np.ndarray:
    """Count the pixels of another run (Z, H, W) from the gate on; a gate of 0 lets all in."""
    if rule.gate:
        return pixels_from(other, to_byte(rule.gate))
    return np.full(len(other), rule.gate_pixels)


def to_byte(probability: float) -> int:
    """Return the smallest byte whose probability (255 = 1) reaches the given one, at least 1."""
    return max(int(np.ceil(probability * 255 - 1e-9)), 1)


def gate_byte(rule: Rule) -> int:
    """Return the byte from which on a rule counts pixels for its gate."""
    return max(to_byte(rule.gate), to_byte(rule.threshold))


def pixels_from(probabilities: np.ndarray, byte: int) -> np.ndarray:
    """Count the pixels of every slice that reach a byte: (Z, H, W) uint8 into (Z,) int64."""
    return BitRows.from_threshold(probabilities[None], [byte]).slice_counts()[0]


def min_voxels(rule: Rule, voxel_ml: float | None) -> float:
    """Return how many voxels a component needs to stay; voxel_ml: ml of a voxel, None if unknown.

    Raises ValueError for a limit in ml where that is unknown.
    """
    if not rule.min_component_ml:
        return rule.min_component_size
    if voxel_ml is None:
        raise ValueError(
            f"min_component_ml: {rule.min_component_ml:g}, but nothing says how large a voxel of "
            "this scan is; give its size, or use min_component_size, which counts voxels"
        )
    # a component of exactly so many ml stays, whatever the division rounds to
    return max(rule.min_component_size, rule.min_component_ml / voxel_ml * (1 - 1e-9))


def millilitres(voxel_mm: Sequence[float] | None) -> float | None:
    """Return the volume of a voxel of that size in ml, None for None."""
    return None if voxel_mm is None else float(np.prod(voxel_mm)) / 1000


def beside_gaps(seen: np.ndarray) -> np.ndarray:
    """Return the planes (Z,) bool next to one of the scan that was not predicted; seen: (Z,)."""
    found = np.zeros(len(seen), bool)
    found[1:] |= ~seen[:-1]
    found[:-1] |= ~seen[1:]
    return found


def in_short_run(shown: np.ndarray, least: int, beside_gap: np.ndarray | None) -> np.ndarray:
    """Return the slices (Z,) bool that show a class for fewer than `least` slices in a row.

    shown: (Z,) bool. beside_gap: (Z,), slices at which a run may go on unseen; None for none.
    """
    edges = np.flatnonzero(np.diff(shown.astype(np.int8), prepend=0, append=0))
    found = np.zeros(len(shown), bool)
    for first, past in zip(edges[::2], edges[1::2], strict=True):
        is_open = beside_gap is not None and beside_gap[first:past].any()
        found[first:past] = past - first < least and not is_open
    return found
