"""gutseg blend RUN [RUN ...] --out blends/NAME: choose weights, thresholds, post-processing."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import optuna
import typer

from gutseg.blends import check_full, over_background
from gutseg.config import Blend, Rule, dump
from gutseg.config.blend import Member, Predicted, Rules
from gutseg.constants import CLASSES
from gutseg.data.folds import FULL
from gutseg.files import check_output
from gutseg.inference.search import Search, volumes
from gutseg.metrics.competition import METRICS
from gutseg.progress import progress
from gutseg.registry import require
from gutseg.runs import predictions

MOST_TRIALS = 100_000  # beyond it the search itself, not the scoring, takes the time and memory
# What is tried: one choice of each per class.
CHOICES: dict[str, Sequence[Any]] = {
    "threshold": [round(0.2 + 0.05 * step, 2) for step in range(13)],
    "min_component_size": [0, 10, 25, 50, 100, 250, 500],
    "gate": [0.0, 0.5, 0.6, 0.7, 0.8, 0.9],
}

AnyTrial = optuna.Trial | optuna.trial.FrozenTrial


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
) -> None:
    """Search weights, thresholds, smallest component and presence gate out of fold.

    Where a --background run, best one of data.params.binary=true, sees nothing, no organ is. With
    --full the search is the same, and blend.yaml names the networks that saw all patients.
    """
    require(metric, METRICS, "--metric")
    places = [run.resolve() for run in runs]
    if twice := [run for run, place in zip(runs, places, strict=True) if places.count(place) > 1]:
        raise ValueError(f"{twice[-1]} is listed twice; give every run once")
    check_output(out / "blend.yaml", begins=b"members:")
    for run in [*runs, *filter(None, [background])] if full else ():
        check_full(run)
    members = over_background([predictions(run, fold) for run in runs], background)
    over = members[0].background
    floor = min(CHOICES["threshold"])
    search = Search(volumes(members, floor), METRICS[metric], os.cpu_count() or 1)
    study = _search(search, len(runs), trials, seed)
    solved = Blend(
        members=[
            Member(
                run=Path(os.path.relpath(member.run, out)),
                folds=[FULL] if full else member.folds,
                weight=weight,
                tta=member.tta,
            )
            for member, weight in zip(members, _weights(study.best_trial, len(runs)), strict=True)
            if weight > 0
        ],
        rules=Rules(**dict(zip(CLASSES, _rules(study.best_trial), strict=True))),
        background=over
        and Predicted(
            run=Path(os.path.relpath(over.run, out)),
            folds=[FULL] if full else over.folds,
            tta=over.tta,
        ),
        metric=metric,
        score=study.best_value,
    )
    dump(solved, out / "blend.yaml")
    plain = study.trials[0].value
    print(
        f"{out / 'blend.yaml'}: out-of-fold score {study.best_value:.4f} ({metric}), "
        f"{plain:.4f} with thresholds of 0.5 and nothing else"
    )


def _search(search: Search, members: int, trials: int, seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    # the plain choice is tried first, so the result is never worse than it
    plain = {f"{organ}.{key}": value for organ in CLASSES for key, value in vars(Rule()).items()}
    study.enqueue_trial(plain | {f"weight.{number}": 1.0 for number in range(members)})
    bar = progress(range(trials), desc="blend", unit="choice")
    for _ in bar:
        study.optimize(lambda one: search.score(_weights(one, members), _rules(one)), n_trials=1)
        bar.set_postfix(best=f"{study.best_value:.4f}")
    return study


def _weights(trial: AnyTrial, members: int) -> tuple[float, ...]:
    """Return one weight a run: at most 1, the largest is 1."""
    if members == 1:
        return (1.0,)
    raw = [trial.suggest_float(f"weight.{number}", 0.0, 1.0, step=0.1) for number in range(members)]
    largest = max(raw)
    return tuple(weight / largest for weight in raw) if largest else (1.0,) * members


def _rules(trial: AnyTrial) -> list[Rule]:
    return [
        Rule(
            **{
                key: trial.suggest_categorical(f"{organ}.{key}", values)
                for key, values in CHOICES.items()
            }
        )
        for organ in CLASSES
    ]
