"""Runs and blends against the labels that their networks have not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gutseg import config as configuration
from gutseg import runs
from gutseg.config import Blend, Rule
from gutseg.config.blend import Predicted
from gutseg.constants import CLASSES
from gutseg.data.folds import FULL
from gutseg.data.sources.source import Source
from gutseg.engine.budget import check_finished
from gutseg.files import need_file
from gutseg.inference import oof
from gutseg.inference.ensemble import weighted_mean
from gutseg.inference.oof import OutOfFold, Scored
from gutseg.inference.postprocess import finish_scan
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.clinical import Clinical, OrganResult, measure_scan
from gutseg.metrics.competition import Metric
from gutseg.metrics.pooled import measures
from gutseg.progress import progress
from gutseg.settings import EarlierDay, Missing


def over_background(
    members: Sequence[OutOfFold], run: Path | None, missing: Missing = "refuse"
) -> list[OutOfFold]:
    """Lay the background that a run predicts over predictions of the same folds; None: nothing."""
    if run is None:
        return list(members)
    other = runs.predictions(run, ",".join(map(str, members[0].folds)), missing)
    return [oof.with_background(member, other) for member in members]


@dataclass(frozen=True)
class Blended:
    """Out-of-fold predictions of a run or a blend, and what turns them into masks."""

    members: Sequence[OutOfFold]
    weights: Sequence[float]
    # one per class
    rules: Sequence[Rule]
    # what the rules' gates look at; None: the mean of the members
    gate: OutOfFold | None = None

    @property
    def data(self) -> Source:
        """What was predicted."""
        return self.members[0].data

    @property
    def scans(self) -> list[str]:
        """The scans that have predictions."""
        return self.members[0].scans

    def masks(self, name: str) -> tuple[BitRows, np.ndarray]:
        """Return the masks of a scan's volume and which planes (Z,) were predicted."""
        probabilities, seen = self.probabilities(name)
        return self.finish(name, probabilities, seen), seen

    def finish(self, name: str, probabilities: np.ndarray, seen: np.ndarray) -> BitRows:
        """Turn what `probabilities` returns of a scan into masks."""
        size = self.data.voxel_mm(name)
        said = self.gate.load(name, self.data.scan(name).shape)[0] if self.gate else None
        return finish_scan(probabilities, self.rules, seen=seen, voxel_mm=size, gate=said)

    def probabilities(self, name: str, fold: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (C, Z, H, W) uint8 of a scan and which planes (Z,) were predicted.

        fold: only its part.
        """
        shape = self.data.scan(name).shape
        parts, seen = zip(*(member.load(name, shape, fold) for member in self.members), strict=True)
        # the mean of one is itself, without a copy as floats
        return parts[0] if len(parts) == 1 else weighted_mean(parts, self.weights), seen[0]


def open_source(
    source: Path, wanted: str = "all", missing: Missing = "refuse", background: Path | None = None
) -> Blended:
    """Open the predictions of a run folder (thresholds of 0.5) or of a blend.yaml.

    wanted: as in `--fold`; "all" are the folds that a blend lists. missing: as in `predictions`.
    background: a run whose background is laid over the predictions, in place of the blend's.
    """
    gate = None
    if source.is_dir():
        members, weights = [runs.predictions(source, wanted, missing)], [1.0]
        by_class = [Rule()] * len(members[0].data.classes)
    else:
        solved = configuration.load_blend(source)
        _check_holds_out(source, solved)
        weights, by_class = [member.weight for member in solved.members], runs.rules(solved)
        members = []
        for member in solved.members:
            folds = ",".join(map(str, member.folds)) if wanted == "all" else wanted
            members.append(_solved_for(source, member, folds, missing))
        folds = ",".join(map(str, members[0].folds))
        if solved.gate_by:
            gate = _solved_for(source, solved.gate_by, folds, missing)
        if solved.background and background is None:
            background = source.parent / solved.background.run
            _solved_for(source, solved.background, folds, missing)
    oof.check_same_scans([*members, *filter(None, [gate])])
    members = over_background(members, background, missing)
    if not (members[0].data.has_volumes or source.is_dir()):
        raise ValueError(
            f"{source}: the rules of a blend are for volumes, and {members[0].run} predicts images "
            f"that stand alone; score each run by itself: gutseg score {members[0].run}"
        )
    return Blended(members, weights, by_class, gate)


def _solved_for(source: Path, used: Predicted, folds: str, missing: Missing) -> OutOfFold:
    """Open a run of a blend; refuse predictions that are not those the blend was chosen on."""
    found = runs.predictions(source.parent / used.run, folds, missing)
    if found.tta != used.tta:
        raise ValueError(
            f"{source}: {used.run} was predicted with tta {found.tta}, but the blend was chosen on "
            f"tta {used.tta}, which is what submit does; run: gutseg predict {found.run} --tta "
            f"{used.tta}, or blend again"
        )
    return found


def out_of_fold(
    source: Path,
    metric: Metric,
    wanted: str = "all",
    missing: Missing = "refuse",
    background: Path | None = None,
) -> Scored:
    """Score a run folder or a blend.yaml out of fold, fold by fold; arguments: `open_source`."""
    opened = open_source(source, wanted, missing, background)
    members, data = opened.members, opened.data
    if data.has_volumes:
        results = oof.compare_scans(members, opened.weights, opened.rules, metric, opened.gate)
        groups = {f"fold {fold}": [fold] for fold in members[0].folds} | {"all": members[0].folds}
        counts = {
            name: oof.count_results(members[0], results[name], group)
            for name, group in groups.items()
        }
    else:
        results, counts = {}, oof.count_pictures(members[0])
    pooled = {
        name: measures(found, data.classes, data.mode, data.background)
        for name, found in counts.items()
    }
    seen = {member.prior for member in [*members, *filter(None, [opened.gate])]}
    prior: EarlierDay | None = next((one for one in ("given", "withheld") if one in seen), None)
    return Scored(results, pooled, data.classes, prior)


def measured(opened: Blended, how: Clinical) -> list[OrganResult]:
    """Measure what was predicted out of fold in mm, organ by organ, on the planes predicted.

    Raises ValueError where nothing says how large voxels are.
    """
    data, results = opened.data, []
    for name in progress(opened.scans, desc="measure", unit="scan"):
        spacing = data.voxel_mm(name)
        if spacing is None or not data.has_volumes:
            raise ValueError(
                f"{opened.members[0].run} predicts images without a size in mm; --metric clinical "
                "is for volumes of the competition's kind"
            )
        masks, seen = opened.masks(name)
        truth = np.where(seen[:, None, None], data.scan(name).labels, 0)
        labelled = BitRows.from_class_bits(truth, len(data.classes))
        results += measure_scan(name, masks, labelled, data.classes, spacing, how)
    return results


def _check_holds_out(path: Path, solved: Blend) -> None:
    for member in solved.used:
        if FULL in member.folds:
            raise ValueError(
                f"{path}: {member.run} predicts with `{FULL}`, which was trained on all patients, "
                "so that nothing is out of fold; score the blend whose folds are numbers"
            )


def check_once(runs: Sequence[Path]) -> None:
    """Raise ValueError for a run that is listed twice."""
    places = [run.resolve() for run in runs]
    if twice := [run for run, place in zip(runs, places, strict=True) if places.count(place) > 1]:
        raise ValueError(f"{twice[-1]} is listed twice; give every run once")


def first_rules(
    path: Path | None,
    *,
    gate_by: Path | None = None,
    background: Path | None = None,
    cross_fit: bool = False,
) -> list[Rule]:
    """Return the rules of a blend.yaml, one per class; None: thresholds of 0.5 alone.

    gate_by, background: the runs that gate, or say where there is background. cross_fit: whether
    the rules will be scored on folds as if they had not seen them. Raises ValueError where the
    rules were chosen with another gate or background, or were searched on all folds.
    """
    if path is None:
        return [Rule()] * len(CLASSES)
    solved = configuration.load_blend(path)
    for key, given in (("gate_by", gate_by), ("background", background)):
        other = getattr(solved, key)
        if other and (given is None or given.resolve() != (path.parent / other.run).resolve()):
            raise ValueError(
                f"--rules {path}: these rules were chosen with {key} {other.run}, and mean "
                "something else without it; give that run too, or rules of a blend that has none"
            )
    if cross_fit and solved.score is not None:
        raise ValueError(
            f"--rules {path}: these rules were searched on all folds, so that cross-fitting from "
            "them would not be honest; leave out --cross-fit, or give rules that were not searched "
            "(without `score`)"
        )
    return runs.rules(solved)


def check_given(members: Sequence[OutOfFold]) -> None:
    """Raise ValueError for predictions that were not shown the earlier day that submit shows."""
    for member in members:
        if member.prior == "withheld":
            raise ValueError(
                f"{member.run} was predicted with --prior withheld, but submit shows the earlier "
                f"day; run: gutseg predict {member.run}"
            )


def check_full(run: Path) -> None:
    """Raise unless a run has weights that were trained on all patients, to their end."""
    folder = run / FULL
    file = need_file(folder / "config.yaml", f"run: gutseg train CONFIG --fold {FULL}")
    check_finished(folder, configuration.load(file).train, f" (--fold {FULL})")
