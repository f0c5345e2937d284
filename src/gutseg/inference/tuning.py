"""Weights and rules chosen by a search, and what such a choice scores on scans it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import optuna

from gutseg.config import Rule
from gutseg.constants import CLASSES
from gutseg.inference.search import Part, Search, Tally, patient_sums
from gutseg.metrics.intervals import Interval, differences, intervals
from gutseg.progress import progress

# What is tried: one choice of each per class.
CHOICES: dict[str, Sequence[Any]] = {
    "threshold": [round(0.2 + 0.05 * step, 2) for step in range(13)],
    "min_component_size": [0, 10, 25, 50, 100, 250, 500],
    "gate": [0.0, 0.5, 0.6, 0.7, 0.8, 0.9],
}
# What is tried where it is asked for.
MORE_CHOICES: dict[str, Sequence[Any]] = {
    "gate_pixels": [1, 5, 13, 25, 50],
    "min_component_ml": [0.0, 0.1, 0.3, 1.0, 3.0],
    "min_run": [1, 2, 3, 5],
    "fill_holes": [0, 10, 50],
    "hull": [0.0, 0.05, 0.1, 0.2],
}

AnyTrial = optuna.Trial | optuna.trial.FrozenTrial
Weights = tuple[float, ...]


@dataclass(frozen=True)
class Tuned:
    """What a search found."""

    # one per run; the largest is 1
    weights: Weights
    # one per class
    rules: list[Rule]
    score: float
    # of the choice that is tried first: equal weights and the rules given
    plain: float


@dataclass(frozen=True)
class Held:
    """Tallies of scans that a choice was scored on, by patient, as `metrics.intervals` has them."""

    sums: dict[str, np.ndarray]

    @classmethod
    def of(cls, parts: Sequence[Part], tallies: Sequence[Tally]) -> Self:
        """Take the tallies of parts of scans, one each."""
        return cls(patient_sums(parts, tallies))

    @property
    def score(self) -> Interval:
        """The score with its interval over patients."""
        return intervals(list(self.sums.values()))["score"]

    def minus(self, other: "Held") -> Interval:
        """The difference of two scores of the same patients, drawn in pairs."""
        ours, theirs = ([held.sums[name] for name in self.sums] for held in (self, other))
        return differences(ours, theirs)["score"]


@dataclass(frozen=True)
class Tuner:
    """How weights and rules are searched."""

    trials: int
    seed: int
    # rows of MORE_CHOICES that are tried, too
    also: Sequence[str] = ()
    # the rules that are tried first, one per class; what is not searched stays as they have it
    first: Sequence[Rule] = (Rule(),) * len(CLASSES)

    def __call__(self, search: Search, members: int, desc: str = "blend") -> Tuned:
        """Search the choice that scores best; members: how many runs are weighted."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self.seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        # the plain choice is tried first, so the result is never worse than it
        plain = {
            f"{organ}.{key}": getattr(rule, key)
            for organ, rule in zip(CLASSES, self.first, strict=True)
            for key in self._keys
        }
        study.enqueue_trial(plain | {f"weight.{number}": 1.0 for number in range(members)})
        bar = progress(range(self.trials), desc=desc, unit="choice")
        for _ in bar:
            study.optimize(
                lambda one: search.score(_weights(one, members), self._rules(one)), n_trials=1
            )
            bar.set_postfix(best=f"{study.best_value:.4f}")
        best, plain_value = study.best_trial, study.get_trials(deepcopy=False)[0].value or 0.0
        return Tuned(_weights(best, members), self._rules(best), study.best_value, plain_value)

    @property
    def _keys(self) -> list[str]:
        return [*CHOICES, *self.also]

    def _rules(self, trial: AnyTrial) -> list[Rule]:
        return [
            Rule(**(vars(rule) | {key: self._suggest(trial, organ, key) for key in self._keys}))
            for organ, rule in zip(CLASSES, self.first, strict=True)
        ]

    def _suggest(self, trial: AnyTrial, organ: str, key: str) -> Any:
        choices = (CHOICES | MORE_CHOICES)[key]
        first = getattr(self.first[CLASSES.index(organ)], key)
        known = choices if first in choices else [*choices, first]
        return trial.suggest_categorical(f"{organ}.{key}", known)


def _weights(trial: AnyTrial, members: int) -> Weights:
    """Return one weight a run: at most 1, the largest is 1."""
    if members == 1:
        return (1.0,)
    raw = [trial.suggest_float(f"weight.{number}", 0.0, 1.0, step=0.1) for number in range(members)]
    largest = max(raw)
    return tuple(weight / largest for weight in raw) if largest else (1.0,) * members


def cross_fitted(
    search: Search, parts: Sequence[Part], members: int, tuner: Tuner
) -> tuple[Held, list[Tuned]]:
    """Choose on all folds but one and score on that one, fold by fold.

    search: over parts of scans by fold. Returns what all folds add up to, and each fold's choice.
    """
    tallies: dict[int, Tally] = {}
    chosen = []
    for fold in folds_of(parts):
        out = [part.fold == fold for part in parts]
        found = tuner(search.only([not one for one in out]), members, f"without fold {fold}")
        there = search.only(out).tallies(found.weights, found.rules)
        tallies |= dict(zip(np.flatnonzero(out).tolist(), there, strict=True))
        chosen.append(found)
    return Held.of(parts, [tallies[number] for number in range(len(parts))]), chosen


def folds_of(parts: Sequence[Part]) -> list[int]:
    """Return the folds of some parts; raises ValueError where one alone is left to choose on."""
    folds = sorted({part.fold for part in parts if part.fold is not None})
    if len(folds) < 2:
        raise ValueError(
            f"cross-fitting chooses on all folds but one, and there is {len(folds)} with "
            "predictions; train and predict another"
        )
    return folds
