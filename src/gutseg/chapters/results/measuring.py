"""Everything that the chapter shows of volumes, measured in one pass over the scans."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from gutseg.blends import Blended
from gutseg.chapters.results.false_parts import FalsePart, false_parts
from gutseg.chapters.results.levels import dice_at_levels, level_counts, sums_at_levels
from gutseg.chapters.results.presence import presence_counts
from gutseg.chapters.results.surfaces import quantile, signed_counts
from gutseg.constants import SLICE_MM
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics import clinical
from gutseg.metrics.clinical import OrganResult
from gutseg.metrics.competition import Metric, ScanResult, compare
from gutseg.metrics.mask_words import Spacing
from gutseg.progress import progress


@dataclass(frozen=True)
class ScanFacts:
    """One scan, measured; nothing of it grows with its voxels."""

    result: ScanResult
    # fold -> the part of the scan that it holds out
    folds: dict[int, ScanResult]
    # (C, 2, 256) voxels by truth and probability
    levels: np.ndarray
    # (C, 2, 256) sum and number of Dice rows by threshold
    swept: np.ndarray
    # (C, bins, 2, 2) slices by position, truth and prediction
    presence: np.ndarray
    # (C, bins) surface voxels by signed distance, and their median in mm
    signed: np.ndarray
    offsets: np.ndarray
    false: list[FalsePart]
    # what a clinician asks for, by class
    organs: list[OrganResult]


@dataclass
class Measured:
    """A run or a blend against the truth: results by scan and what is added up over scans."""

    name: str
    results: list[ScanResult] = field(default_factory=list)
    folds: dict[int, list[ScanResult]] = field(default_factory=dict)
    levels: np.ndarray = field(default_factory=lambda: np.zeros((), np.int64))
    swept: np.ndarray = field(default_factory=lambda: np.zeros(()))
    presence: np.ndarray = field(default_factory=lambda: np.zeros((), np.int64))
    signed: np.ndarray = field(default_factory=lambda: np.zeros((), np.int64))
    # scan -> (C,) median signed distances in mm
    offsets: dict[str, np.ndarray] = field(default_factory=dict)
    false: list[FalsePart] = field(default_factory=list)
    organs: list[OrganResult] = field(default_factory=list)

    @property
    def has_rows(self) -> bool:
        """Whether anything can be scored."""
        return any(
            np.isfinite(part).any() for one in self.results for part in (one.dice, one.hausdorff)
        )

    def add(self, facts: ScanFacts) -> None:
        """Take a scan in."""
        self.results.append(facts.result)
        for fold, result in facts.folds.items():
            self.folds.setdefault(fold, []).append(result)
        self.levels = self.levels + facts.levels
        self.swept = self.swept + facts.swept
        self.presence = self.presence + facts.presence
        self.signed = self.signed + facts.signed
        self.offsets[facts.result.scan] = facts.offsets
        self.false += facts.false
        self.organs += facts.organs


def measure(name: str, opened: Blended, metric: Metric) -> Measured:
    """Measure a source whose data are volumes; as many scans are in memory as there are cores."""
    found = Measured(name)
    spacings = _spacings(opened)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        one = partial(measure_scan, opened, metric=metric, spacings=spacings)
        facts = pool.map(one, opened.scans)
        for scan in progress(facts, desc=name, unit="scan", total=len(opened.scans)):
            found.add(scan)
    return found


def _spacings(opened: Blended) -> dict[str, Spacing]:
    """Return the size of a voxel in mm of every scan; the files do not say how thick slices are."""
    first = opened.data.index.groupby("scan")[["spacing_y", "spacing_x"]].first()
    return {scan: (SLICE_MM, *row) for scan, *row in first.itertuples()}


def measure_scan(
    opened: Blended, name: str, *, metric: Metric, spacings: dict[str, Spacing]
) -> ScanFacts:
    """Load a scan and its predictions once and measure all of it."""
    probabilities, seen = opened.probabilities(name)
    masks, truth, result = _compared(opened, name, probabilities, seen, metric)
    folds = opened.members[0].folds_of(name)
    by_fold = dict.fromkeys(folds, result)
    if len(folds) > 1:  # folds that divide single scans
        for fold in folds:
            part = opened.probabilities(name, fold)
            by_fold[fold] = _compared(opened, name, *part, metric)[2]
    counts = level_counts(probabilities, truth)  # (C, Z, 2, 256)
    counts[:, ~seen] = 0
    pairs = zip(masks.words, truth.words, strict=True)
    signed = np.stack([signed_counts(*pair, spacings[name]) for pair in pairs])
    return ScanFacts(
        result,
        by_fold,
        counts.sum(axis=1),
        sums_at_levels(dice_at_levels(counts, metric)),
        presence_counts(result.truth > 0, result.prediction > 0, seen),
        signed,
        np.array([quantile(one, 0.5) for one in signed]),
        list(false_parts(masks, truth, result, metric)),
        clinical.measure_scan(
            name, masks, truth, opened.data.classes, spacings[name], clinical.Clinical()
        ),
    )


def _compared(
    opened: Blended, name: str, probabilities: np.ndarray, seen: np.ndarray, metric: Metric
) -> tuple[BitRows, BitRows, ScanResult]:
    """Return masks, truth and result of the planes that were predicted, as `score` has them."""
    scan = opened.data.scan(name)
    labels = np.where(seen[:, None, None], scan.labels, 0)
    scan.release()
    truth = BitRows.from_class_bits(labels, len(opened.rules))
    masks = opened.finish(name, probabilities, seen)
    result = compare(name, masks, truth, metric)
    result.dice[:, ~seen] = np.nan
    return masks, truth, result
