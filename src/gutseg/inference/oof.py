"""Out-of-fold predictions: one compressed file a scan and fold, at native size, in bytes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gutseg.config import Rule
from gutseg.data.folds import Held, fold_name
from gutseg.data.sources.source import Source
from gutseg.files import need_file, replacing
from gutseg.inference.background import is_background, reuse_background
from gutseg.inference.ensemble import weighted_mean
from gutseg.inference.made_with import MadeWith
from gutseg.inference.postprocess import finish_scan
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import Metric, ScanResult, compare
from gutseg.metrics.pooled import Counts, count, decided
from gutseg.progress import progress
from gutseg.settings import EarlierDay


def save(path: Path, probabilities: np.ndarray, z: np.ndarray) -> None:
    """Write probabilities (C, len(z), H, W) uint8 (255 = 1) of the planes z."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, probabilities=probabilities, z=z)


def load(path: Path, classes: int, z: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return what `save` wrote, (C, len(z), H, W) uint8.

    classes: C. z: the planes that are expected. size: (H, W) of the scan. Raises ValueError for a
    file that is damaged or holds something else.
    """
    again = "; run: gutseg predict RUN"
    need_file(path, "run: gutseg predict RUN")
    try:
        with np.load(path) as content:
            probabilities, planes = content["probabilities"], content["z"]
    except Exception as error:
        # zipfile, zlib, KeyError or ValueError, depending on where the file is damaged; its text
        # speaks of numpy's options
        kind = type(error).__name__
        raise ValueError(f"{path} is not a readable prediction ({kind}){again}") from None
    wanted = (classes, len(z), *size)
    if probabilities.shape != wanted or probabilities.dtype != np.uint8:
        raise ValueError(
            f"{path} holds {probabilities.dtype} {probabilities.shape}; expected uint8 "
            f"{wanted}{again}"
        )
    if not np.array_equal(planes, z):
        raise ValueError(f"{path} holds other planes than the fold file lists{again}")
    return probabilities


@dataclass(frozen=True)
class OutOfFold:
    """The predictions of a run: RUN/fold<k>/oof/<scan>.npz."""

    run: Path
    # fold -> scan -> the planes z that were predicted
    planes: Mapping[int, Mapping[str, np.ndarray]]
    # fold -> what made them
    made: Mapping[int, MadeWith]
    # what was predicted
    data: Source
    # of another network, whose background is laid over these; see `with_background`
    background: "OutOfFold | None" = None

    @property
    def folds(self) -> list[int]:
        """The folds that have predictions."""
        return sorted(self.planes)

    @property
    def tta(self) -> str:
        """The flips that were averaged, of all folds alike."""
        return next(iter(self.made.values())).tta

    @property
    def prior(self) -> EarlierDay | None:
        """Whether the network saw an earlier day, None where it has no channels for it."""
        return next(iter(self.made.values())).prior

    @property
    def scans(self) -> list[str]:
        """The scans that have predictions."""
        return sorted({scan for parts in self.planes.values() for scan in parts})

    def folds_of(self, scan: str) -> list[int]:
        """Return the folds that hold out planes of a scan."""
        return [fold for fold in self.folds if scan in self.planes[fold]]

    def load(
        self, scan: str, shape: tuple[int, int, int], fold: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a scan's probabilities (C, Z, H, W) uint8 and which planes (Z,) were predicted.

        shape: (Z, H, W). fold: only its part. Where a file is absent the planes are empty: who
        opens predictions decides whether one may be.
        """
        classes = len(self.data.classes)
        whole, seen = np.zeros((classes, *shape), np.uint8), np.zeros(shape[0], bool)
        for number in self.folds_of(scan) if fold is None else [fold]:
            z = self.planes[number][scan]
            seen[z] = True
            path = folder(self.run, number) / f"{scan}.npz"
            if os.path.lexists(path):  # broken links count
                whole[:, z] = load(path, classes, z, shape[1:])
        if self.background is not None:
            other, said = self.background.data, self.background.load(scan, shape, fold)[0]
            covered = is_background(said, other.mode, other.background)  # (Z, H, W)
            whole = reuse_background(whole, covered, self.data.background)
        return whole, seen


@dataclass(frozen=True)
class Scored:
    """Predictions against labels, by group: `fold 0` ... and `all`."""

    # of volumes: the competition's results, one per scan
    results: dict[str, list[ScanResult]]
    # measures over all pixels
    pooled: dict[str, dict[str, float]]
    classes: tuple[str, ...]
    # of networks with channels of an earlier day: whether one of them saw it
    prior: EarlierDay | None = None


def folder(run: Path, fold: Held) -> Path:
    """Return where a fold's predictions lie."""
    return run / fold_name(fold) / "oof"


def with_background(member: OutOfFold, other: OutOfFold) -> OutOfFold:
    """Return predictions over which the background that another run predicts is laid.

    Raises ValueError unless both predicted the same planes of the same images, by fold, and
    classes overlap in both or in neither.
    """
    modes = (member.data.mode, other.data.mode)
    if modes[0] != modes[1]:
        raise ValueError(
            f"{other.run} predicts {modes[1]} classes and {member.run} {modes[0]} ones; its "
            "background can be laid over runs of its own kind alone"
        )
    for fold in member.folds:
        same = member.made[fold].folds == other.made[fold].folds
        parts = (
            {scan: facts["planes"] for scan, facts in one.made[fold].scans.items()}
            for one in (member, other)
        )
        if not same or next(parts) != next(parts):
            raise ValueError(
                f"{member.run} and {other.run} hold out other images in fold {fold}; train and "
                "predict both on the same data and folds"
            )
    return replace(member, background=other)


def check_same_scans(members: Sequence[OutOfFold]) -> None:
    """Raise ValueError unless all runs predicted the same planes of the same images, by fold.

    So it does where their classes differ.
    """
    parts = [
        {
            (scan, fold, *(facts[key] for key in ("cache", "planes") if key in facts))
            for fold, made in member.made.items()
            for scan, facts in made.scans.items()
        }
        for member in members
    ]
    for member, other in zip(members, parts, strict=True):
        if member.data.classes != (known := members[0].data.classes):
            raise ValueError(
                f"{members[0].run} predicts {', '.join(known)} and {member.run} "
                f"{', '.join(member.data.classes)}; blend runs of the same classes"
            )
        if differing := sorted(parts[0] ^ other):
            scan, fold, *_ = differing[0]
            raise ValueError(
                f"{members[0].run} and {member.run} predicted different scans, for example "
                f"{scan} in fold {fold}; predict the same folds of one cache with both"
            )


def _groups(member: OutOfFold) -> list[str]:
    return [*(f"fold {fold}" for fold in member.folds), "all"]


def compare_scans(
    members: Sequence[OutOfFold],
    weights: Sequence[float],
    rules: Sequence[Rule],
    metric: Metric,
    gate: OutOfFold | None = None,
) -> dict[str, list[ScanResult]]:
    """Compare blended out-of-fold predictions with the labels.

    gate: the run that the rules' gates look at, None for the mean of the members. Returns the
    results of every fold, `fold 0` ..., and of all scans, `all`. Only planes that were predicted
    count; where folds divide single scans, `all` joins their parts again.
    """
    first = members[0]
    found: dict[str, list[ScanResult]] = {name: [] for name in _groups(first)}
    for name in progress(first.scans, desc="score", unit="scan"):
        scan, folds = first.data.scan(name), first.folds_of(name)
        for fold in [*folds, None] if len(folds) > 1 else folds:
            parts, (seen, *_) = zip(
                *(member.load(name, scan.shape, fold) for member in members), strict=True
            )
            truth = np.where(seen[:, None, None], scan.labels, 0)
            mean, size = weighted_mean(parts, weights), first.data.voxel_mm(name)
            said = gate.load(name, scan.shape, fold)[0] if gate else None
            masks = finish_scan(mean, rules, seen=seen, voxel_mm=size, gate=said)
            result = compare(name, masks, BitRows.from_class_bits(truth, len(rules)), metric)
            result.dice[:, ~seen] = np.nan
            if fold is not None:
                found[f"fold {fold}"].append(result)
            if fold is None or len(folds) == 1:
                found["all"].append(result)
    return found


def count_results(member: OutOfFold, results: Sequence[ScanResult], folds: Sequence[int]) -> Counts:
    """Pool results of volumes over all pixels of the planes that some folds hold out."""
    tp, found, truth = (
        sum(getattr(result, key).sum(axis=1) for result in results)
        for key in ("intersection", "prediction", "truth")
    )
    pixels = sum(
        len(z) * int(np.prod(member.data.scan(name).shape[1:])) * len(tp)
        for fold in folds
        for name, z in member.planes[fold].items()
    )
    fp, fn = found - tp, truth - tp
    return Counts(tp, fp, fn, pixels)


def count_pictures(member: OutOfFold) -> dict[str, Counts]:
    """Compare the predictions of images that stand alone with their labels.

    Returns the counts of every fold, `fold 0` ..., and of all images, `all`. Bytes decide, as
    the files hold nothing else: of classes that round to the same byte the first is taken, where
    validation during training compares floats and may take another.
    """
    data, none = member.data, Counts.none(len(member.data.classes))
    found = dict.fromkeys(_groups(member), none)
    for fold in member.folds:
        for name, z in member.planes[fold].items():
            scan = data.scan(name)
            whole, _ = member.load(name, scan.shape, fold)
            masks = decided(whole[:, z], data.mode)
            part = count(masks, data.truth(scan, z), data.mode, data.ignored(scan, z))
            found[f"fold {fold}"] += part
            found["all"] += part
    return found
