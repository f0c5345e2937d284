"""What a choice of weights and rules scores out of fold, fast enough for thousands of choices."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from typing import NamedTuple

import numpy as np

from gutseg.config import Rule
from gutseg.inference.ensemble import weighted_mean
from gutseg.inference.oof import OutOfFold, check_same_scans
from gutseg.inference.postprocess import (
    Cut,
    beside_gaps,
    gate_byte,
    millilitres,
    pixels_from,
    to_byte,
)
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import Metric, combine, dice_rows, distance
from gutseg.metrics.intervals import patient_of
from gutseg.progress import progress


class Tally(NamedTuple):
    """Sums and numbers of the rows and volumes that a metric keeps; they add up."""

    dice: float
    rows: int
    hausdorff: float
    volumes: int

    def score(self) -> float:
        """The competition score of the means."""
        return combine(self.dice / max(self.rows, 1), self.hausdorff / max(self.volumes, 1))


def add(parts: Iterable[Tally]) -> Tally:
    """Add the tallies of several scans or classes."""
    return Tally(*map(sum, zip(*parts, strict=True)))


@dataclass
class Volume:
    """One class of one scan, cropped to where a member may predict it or the truth has it.

    members: (M, z, y, x) uint8 probabilities. truth: (1, z, y, x). truth_counts: (Z,) pixels
    of all slices of the scan, of which the crop starts at plane `first`. shape: (Z, H, W).
    unseen: (Z,) slices that were not predicted, None for none. beside_gap: (z,), as `beside_gaps`
    has it of the scan. voxel_ml: None where unknown. gate: (z, 256) pixels of whole slices from
    each byte on, of the run that gates look at; None: it is the mean. cuts, reached: of the mean
    with the last weights, by threshold, and its pixels (z,) by gate.
    """

    members: np.ndarray
    truth: BitRows
    truth_counts: np.ndarray
    first: int
    shape: tuple[int, int, int]
    unseen: np.ndarray | None = None
    beside_gap: np.ndarray | None = None
    voxel_ml: float | None = None
    gate: np.ndarray | None = None
    weights: tuple[float, ...] = ()
    cuts: dict[int, Cut] = field(default_factory=dict)
    reached: dict[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def crop(
        cls,
        members: np.ndarray,
        truth: np.ndarray,
        floor: int,
        *,
        seen: np.ndarray | None = None,
        voxel_mm: Sequence[float] | None = None,
        gate: np.ndarray | None = None,
    ) -> "Volume":
        """Crop whole volumes: members (M, Z, H, W) uint8, truth (Z, H, W) bool.

        floor: no threshold below this byte will be asked for. seen, voxel_mm, gate (Z, H, W): see
        `finish_scan`.
        """
        near = (members >= floor).any(axis=0) | truth
        box = tuple(_extent(np.any(near, axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
        return cls(
            np.ascontiguousarray(members[:, *box]),
            BitRows.from_arrays(np.ascontiguousarray(truth[None, *box])),
            truth.sum(axis=(1, 2)),
            box[0].start,
            truth.shape,
            None if seen is None else ~seen,
            None if seen is None else beside_gaps(seen)[box[0]],
            millilitres(voxel_mm),
            None if gate is None else _pixels_by_byte(gate[box[0]]),
        )

    def evaluate(self, weights: tuple[float, ...], rule: Rule, metric: Metric) -> Tally:
        """Return what this volume adds to the means."""
        words = self._masked(weights, rule)
        prediction = BitRows(words[None], self.truth.width)
        inside = slice(self.first, self.first + len(words))
        predicted, common = np.zeros_like(self.truth_counts), np.zeros_like(self.truth_counts)
        predicted[inside] = prediction.slice_counts()[0]
        common[inside] = prediction.intersection_counts(self.truth)[0]
        dice = dice_rows(common, predicted, self.truth_counts, metric)
        if self.unseen is not None:
            dice[self.unseen] = np.nan  # a reading may count a slice that both sides leave empty
        far = distance(words, self.truth.words[0], self.shape, metric)
        kept = np.isfinite(dice)
        return Tally(dice[kept].sum(), int(kept.sum()), np.nan_to_num(far), int(np.isfinite(far)))

    def _masked(self, weights: tuple[float, ...], rule: Rule) -> np.ndarray:
        """Return the words (z, y, x64) of the crop's mask."""
        if weights != self.weights:
            # a search rarely returns to weights, and the cuts of all of them would fill the memory
            self.weights, self.cuts, self.reached = weights, {}, {}
        threshold, gate = to_byte(rule.threshold), gate_byte(rule)
        counts = rule.gate_pixels > 1 and self.gate is None
        # the mean is made again where a new threshold or gate needs it, and is not kept either
        if threshold not in self.cuts or (counts and gate not in self.reached):
            used = [member for member, weight in zip(self.members, weights, strict=True) if weight]
            mean = used[0] if len(used) == 1 else weighted_mean(self.members, weights)
            if threshold not in self.cuts:
                self.cuts[threshold] = Cut(mean, threshold)
            if counts:
                self.reached[gate] = pixels_from(mean, gate)
        reached = self.reached[gate] if counts else None
        if self.gate is not None:
            # byte 0 is every pixel: a class of gate 0 is not gated
            byte = to_byte(rule.gate) if rule.gate else 0
            reached = np.maximum(self.gate[:, byte], rule.gate_pixels * (byte == 0))
        return self.cuts[threshold].apply(
            rule,
            reached=reached,
            beside_gap=self.beside_gap,
            voxel_ml=self.voxel_ml,
        )


@dataclass(frozen=True)
class Part:
    """What a volume is of: a scan, or the slices of it that a fold held out."""

    scan: str
    # None: all folds that have slices of the scan
    fold: int | None


def parts_of(member: OutOfFold, *, apart: bool) -> list[Part]:
    """List what was predicted, scan by scan; apart: by fold, so that a choice can leave one out."""
    if not apart:
        return [Part(scan, None) for scan in member.scans]
    return [Part(scan, fold) for scan in member.scans for fold in member.folds_of(scan)]


def patient_sums(parts: Sequence[Part], tallies: Sequence[Tally]) -> dict[str, np.ndarray]:
    """Return what `metrics.intervals` draws, by patient: (2, 2) each; tallies: one per part."""
    sums: dict[str, np.ndarray] = {}
    for part, one in zip(parts, tallies, strict=True):
        rows = np.array([[one.dice, one.rows], [one.hausdorff, one.volumes]])
        name = patient_of(part.scan)
        sums[name] = sums[name] + rows if name in sums else rows
    return sums


class Search:
    """All volumes of some scans; scores choices of weights and rules, remembering each class."""

    def __init__(self, volumes: Sequence[Sequence[Volume]], metric: Metric, threads: int) -> None:
        """volumes: one list per class. Raises ValueError for a metric that mixes classes."""
        if (metric.volume, metric.dice_mean, metric.hausdorff_mean) != ("scan", "rows", "flat"):
            raise ValueError(
                "blend needs a metric that averages rows and (scan, class) volumes flatly; "
                "choices: default, one_sided, no_sqrt3_clip, page_text"
            )
        self.volumes = volumes
        self.metric = metric
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads)
        self.known: dict[tuple, Tally] = {}

    def score(self, weights: tuple[float, ...], rules: Sequence[Rule]) -> float:
        """Return the competition score of a choice; rules: one per class."""
        return add(self.tally(organ, weights, rule) for organ, rule in enumerate(rules)).score()

    def tally(self, organ: int, weights: tuple[float, ...], rule: Rule) -> Tally:
        """Return what one class contributes."""
        key = (organ, weights, rule)
        if key not in self.known:
            self.known[key] = add(self._by_volume(organ, weights, rule))
        return self.known[key]

    def tallies(self, weights: tuple[float, ...], rules: Sequence[Rule]) -> list[Tally]:
        """Return what every scan, or part of one, contributes; rules: one per class."""
        organs = (self._by_volume(organ, weights, rule) for organ, rule in enumerate(rules))
        return [add(one) for one in zip(*organs, strict=True)]

    def _by_volume(self, organ: int, weights: tuple[float, ...], rule: Rule) -> Iterable[Tally]:
        evaluate = partial(Volume.evaluate, weights=weights, rule=rule, metric=self.metric)
        return self.pool.map(evaluate, self.volumes[organ])

    def only(self, chosen: Sequence[bool]) -> "Search":
        """Return a search over some of the scans, or parts of them; chosen: one per volume."""
        some = [list(compress(organ, chosen)) for organ in self.volumes]
        return Search(some, self.metric, self.threads)


def _pixels_by_byte(probabilities: np.ndarray) -> np.ndarray:
    """Count the pixels of slices (z, H, W) uint8 from each byte on: (z, 256)."""
    exact = [np.bincount(plane.ravel(), minlength=256) for plane in probabilities]
    return np.stack(exact)[:, ::-1].cumsum(axis=1)[:, ::-1]


def _extent(occupied: np.ndarray) -> slice:
    """Return the first to last True; a single plane when there is none."""
    places = np.flatnonzero(occupied)
    return slice(places[0], places[-1] + 1) if len(places) else slice(0, 1)


def volumes(
    members: Sequence[OutOfFold],
    floor: float,
    *,
    apart: bool = False,
    gate: OutOfFold | None = None,
) -> list[list[Volume]]:
    """Load out-of-fold predictions for a search, one list a class, in the order of `parts_of`.

    floor: the lowest threshold that will be asked for. gate: the run that gates look at. Raises
    ValueError when the runs predicted different scans, when no organ is labelled in them, or where
    they are no volumes.
    """
    check_same_scans([*members, *filter(None, [gate])])
    run, data = members[0].run, members[0].data
    if not data.has_volumes:
        raise ValueError(
            f"{run}: a blend is chosen by the competition score, which images that stand alone "
            "do not have; use gutseg score"
        )
    found: list[list[Volume]] = [[] for _ in data.classes]
    for part in progress(parts_of(members[0], apart=apart), desc="out of fold", unit="scan"):
        scan = data.scan(part.scan)
        loaded = (one.load(part.scan, scan.shape, part.fold) for one in members)
        parts, (seen, *_) = zip(*loaded, strict=True)
        probabilities = np.stack(parts)  # (M, C, Z, H, W)
        said = gate.load(part.scan, scan.shape, part.fold)[0] if gate else None  # (C, Z, H, W)
        truth = np.where(seen[:, None, None], scan.labels, 0)
        for bit, organ in enumerate(found):
            present = (truth >> bit & 1).astype(bool)
            crop = Volume.crop(
                probabilities[:, bit],
                present,
                to_byte(floor),
                seen=seen,
                voxel_mm=data.voxel_mm(part.scan),
                gate=None if said is None else said[bit],
            )
            organ.append(crop)
    if not any(volume.truth_counts.any() for organ in found for volume in organ):
        raise ValueError(
            f"{run}: nothing to choose by, no organ is labelled on the predicted slices"
        )
    return found
