"""Labelled scans that a blend predicts with the folds that have not seen them, and their score."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from gutseg import runs
from gutseg.config import load_blend
from gutseg.config.blend import Predicted
from gutseg.data.folds import FULL, fold_name
from gutseg.data.index import Slices, scan_key
from gutseg.data.mask_csv import MaskCsv
from gutseg.engine.provenance import HELD_OUT
from gutseg.files import read_json, write_json
from gutseg.inference.csv_scores import compare_csvs
from gutseg.inference.ensemble import Ensemble
from gutseg.metrics.competition import METRICS
from gutseg.registry import listed
from gutseg.reporting.tables import as_text, group_by, scores
from gutseg.training import META

log = logging.getLogger(__name__)

# in a bundle, beside the weights of a fold
NOTE = "held_out.json"
SCORE = "score.json"

Cases = frozenset[int]


def held_out(folder: Path) -> Cases:
    """Return the cases of which a fold has seen no slice; none where that cannot be known."""
    if (folder / NOTE).is_file():
        return _read_note(folder / NOTE)
    if folder.name == FULL:
        return frozenset()
    if (folder / META).is_file():  # runs of earlier versions do not say it
        made = read_json(folder / META)
        if isinstance(made, dict) and HELD_OUT in made:
            return _cases(folder / META, made[HELD_OUT], "train again")
    try:
        fold = runs.open_fold(folder)
    except (ValueError, OSError) as error:
        remedy = "put its data and fold file back, or its public session is not scored"
        log.warning("which cases %s held out cannot be known; %s (%s)", folder, remedy, error)
        return frozenset()
    if "case" not in fold.data.index:
        return frozenset()
    kept: Counter[int] = Counter()
    for name, z in fold.planes.items():
        kept[scan_key(name)[0]] += len(z)
    slices = fold.data.index["case"].value_counts()
    # where folds divide slices, the fold has seen the others of a case
    return frozenset(case for case, count in kept.items() if count == slices[case])


def write_note(folder: Path, cases: Cases) -> None:
    """Write what `held_out` reads where the data of the training are not at hand."""
    write_json(folder / NOTE, {"cases": sorted(cases)})


def _read_note(path: Path) -> Cases:
    content = read_json(path)
    cases = content.get("cases") if isinstance(content, dict) else None
    return _cases(path, cases, "build the bundle again")


def _cases(path: Path, found: object, remedy: str) -> Cases:
    if not isinstance(found, list) or not all(type(case) is int for case in found):
        problem = "does not say which cases were held out, as in [1, 2]"
        raise ValueError(f"{path} {problem}; {remedy}")
    return frozenset(found)


@dataclass(frozen=True)
class Unseen:
    """The cases that each network of a blend has not seen."""

    # weight of each member, and the cases that its folds held out
    members: Sequence[tuple[float, Sequence[Cases]]]
    # those of the background's folds
    background: Sequence[Cases]
    # the reading of the metric that the blend's rules were chosen under
    metric: str = "default"
    # those of the folds of the run that gates look at
    gate: Sequence[Cases] = ()

    @classmethod
    def of_blend(cls, path: Path) -> "Unseen":
        """Ask the folds of a blend.yaml, one by one."""

        def cases(run: Predicted) -> list[Cases]:
            return [held_out(path.parent / run.run / fold_name(fold)) for fold in run.folds]

        solved = load_blend(path)
        over, gate = (cases(one) if one else [] for one in (solved.background, solved.gate_by))
        members = [(member.weight, cases(member)) for member in solved.members]
        return cls(members, over, solved.metric, gate)

    def knows(self, scan: str) -> bool:
        """Say whether some fold of every member held the case of a scan out."""
        case = scan_key(scan)[0]
        groups = [folds for _, folds in self.members]
        groups += [folds for folds in (self.background, self.gate) if folds]
        return all(any(case in cases for cases in folds) for folds in groups)

    def choose(self, ensemble: Ensemble, scan: str) -> Ensemble:
        """Return the networks that never saw a scan's case; all, where a member has none."""
        if not self.knows(scan):
            return ensemble
        case = scan_key(scan)[0]
        kept, weights, first = [], [], 0
        for weight, folds in self.members:
            chosen = [first + fold for fold, cases in enumerate(folds) if case in cases]
            kept += [ensemble.predictors[number] for number in chosen]
            weights += [weight / len(chosen)] * len(chosen)
            first += len(folds)
        over, gate = (
            [predictor for predictor, cases in zip(*pair, strict=True) if case in cases]
            for pair in ((ensemble.background, self.background), (ensemble.gate, self.gate))
        )
        return replace(ensemble, predictors=kept, weights=weights, background=over, gate=gate)


def score_public(submission: Path, truth: Path, slices: pd.DataFrame, unseen: Unseen) -> None:
    """Score what a public session predicted, and write score.json beside it.

    slices: of the labelled scans in the submission, which is read again from its file. Cases that
    every fold has seen are left out: their score would say how well they are remembered.
    """
    names = slices["scan"].unique()
    known = [name for name in names if unseen.knows(name)]
    skipped = [name for name in names if name not in known]
    if skipped:
        remedy = "blend all folds of a run; what `kernel build` then warns of says the rest"
        log.warning(
            "not scored, since every network may have seen them: %s; %s",
            *(listed(skipped, len(skipped)), remedy),
        )
    metric = METRICS[unseen.metric]
    found: dict = {"score": None}
    if known:
        listing = Slices(slices[slices["scan"].isin(known)], truth)
        ours, theirs = MaskCsv(submission, listing), MaskCsv(truth, listing)
        results, _ = compare_csvs(ours, theirs, metric)
        found = scores(results, unseen.metric, metric)
        print(as_text(group_by(results, "scan") | {"all": results}, metric))
        if found["score"] is not None:
            which = f"{unseen.metric}: {metric.source}"
            print(f"score {found['score']:.4f} of folds that had not seen these cases ({which})")
    write_json(submission.with_name(SCORE), found | {"not_scored": skipped})
