"""gutseg blend RUN [RUN ...] --out blends/NAME: choose weights, thresholds, post-processing."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gutseg.blends import check_full, check_given, check_once, first_rules, over_background
from gutseg.config import Blend, dump
from gutseg.config.blend import Member, Predicted, Rules
from gutseg.constants import CLASSES
from gutseg.data.folds import FULL
from gutseg.files import check_output
from gutseg.inference.oof import OutOfFold
from gutseg.inference.search import Search, parts_of, volumes
from gutseg.inference.tuning import CHOICES, MORE_CHOICES, Held, Tuned, Tuner, cross_fitted
from gutseg.metrics.competition import METRICS, Metric
from gutseg.registry import require
from gutseg.reporting.tables import between
from gutseg.runs import predictions

MOST_TRIALS = 100_000  # beyond it the search itself, not the scoring, takes the time and memory


def blend(
    runs: Annotated[list[Path], typer.Argument(help="run folders with predictions")],
    out: Annotated[Path, typer.Option(help="folder for blend.yaml")] = Path("blends/blend"),
    trials: Annotated[int, typer.Option(help="choices to try", min=1, max=MOST_TRIALS)] = 100,
    seed: Annotated[int, typer.Option(help="of the search")] = 0,
    metric: Annotated[str, typer.Option(help="a row of METRICS")] = "default",
    fold: Annotated[str, typer.Option(help="a number, several (0,2) or all")] = "all",
    background: Annotated[
        Path | None, typer.Option(help="a run that says where there is no organ at all")
    ] = None,
    full: Annotated[bool, typer.Option(help="submit with the networks of --fold full")] = False,
    rules: Annotated[
        Path | None, typer.Option(help="a blend.yaml whose rules are tried first")
    ] = None,
    also: Annotated[str, typer.Option(help="more rules to search, as in gate_pixels,min_run")] = "",
    gate_by: Annotated[
        Path | None, typer.Option(help="a run whose probabilities the gates look at")
    ] = None,
    cross_fit: Annotated[
        bool, typer.Option(help="also score each fold by what the others choose")
    ] = False,
) -> None:
    """Search weights, thresholds, smallest component and presence gate out of fold.

    Where a --background run, best one of data.params.binary=true, sees nothing, no organ is. With
    --full the search is the same, and blend.yaml names the networks that saw all patients. The
    score is of the scans that were searched on; --cross-fit says what scans get that were not.
    """
    require(metric, METRICS, "--metric")
    keys = _more(also)
    check_once(runs)
    check_output(out / "blend.yaml", begins=b"members:")
    for run in [*runs, *filter(None, [background, gate_by])] if full else ():
        check_full(run)
    kept = first_rules(rules, gate_by=gate_by, background=background, cross_fit=cross_fit)
    tuner = Tuner(trials, seed, keys, kept)
    members = over_background([predictions(run, fold) for run in runs], background)
    folds = ",".join(map(str, members[0].folds))
    gate = predictions(gate_by, folds) if gate_by else None
    check_given([*members, *filter(None, [members[0].background, gate])])
    floor = min(*CHOICES["threshold"], *(rule.threshold for rule in tuner.first))
    search = Search(volumes(members, floor, gate=gate), METRICS[metric], os.cpu_count() or 1)
    found = tuner(search, len(runs))
    dump(_solved(out, members, found, metric, full, gate), out / "blend.yaml")
    first = f"the rules of {rules} and equal weights" if rules else _PLAIN
    print(
        f"{out / 'blend.yaml'}: out-of-fold score {found.score:.4f} ({metric}), "
        f"{found.plain:.4f} with {first}"
    )
    if cross_fit:
        print(_cross_fitted(members, gate, floor, METRICS[metric], tuner, first))


_PLAIN = "thresholds of 0.5 and nothing else"


def _more(also: str) -> Sequence[str]:
    """Return the rules that --also names; raises ValueError for others and for one named twice."""
    keys = also.split(",") if also else []
    for key in keys:
        require(key, MORE_CHOICES, "--also")
        if keys.count(key) > 1:
            raise ValueError(f"--also {also}: {key} is listed twice")
    return keys


def _solved(
    out: Path,
    members: Sequence[OutOfFold],
    found: Tuned,
    metric: str,
    full: bool,
    gate: OutOfFold | None,
) -> Blend:
    """Return what blend.yaml says of a choice, its runs relative to the folder `out`."""

    def predicted(one: OutOfFold | None) -> Predicted | None:
        if one is None:
            return None
        run = Path(os.path.relpath(one.run, out))
        return Predicted(run=run, folds=[FULL] if full else one.folds, tta=one.tta)

    return Blend(
        members=[
            Member(
                run=Path(os.path.relpath(member.run, out)),
                folds=[FULL] if full else member.folds,
                weight=weight,
                tta=member.tta,
            )
            for member, weight in zip(members, found.weights, strict=True)
            if weight > 0
        ],
        rules=Rules(**dict(zip(CLASSES, found.rules, strict=True))),
        background=predicted(members[0].background),
        gate_by=predicted(gate),
        metric=metric,
        score=found.score,
    )


def _cross_fitted(
    members: Sequence[OutOfFold],
    gate: OutOfFold | None,
    floor: float,
    metric: Metric,
    tuner: Tuner,
    first: str,
) -> str:
    """Say what the search scores on folds that it did not see."""
    parts = parts_of(members[0], apart=True)
    loaded = volumes(members, floor, apart=True, gate=gate)
    search = Search(loaded, metric, os.cpu_count() or 1)
    held, _ = cross_fitted(search, parts, len(members), tuner)
    plain = Held.of(parts, search.tallies((1.0,) * len(members), tuner.first))
    found, gain = held.score, held.minus(plain)
    return (
        f"cross-fitted, searched on all folds but one and scored on that one: {found.value:.4f} "
        f"(95 % {between(found.low, found.high)}), {gain.value:+.4f} "
        f"({between(gain.low, gain.high)}) over {first}"
    )
