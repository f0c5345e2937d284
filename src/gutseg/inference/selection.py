"""Which runs an ensemble needs: forward selection and leave-one-out on out-of-fold predictions.

The members of a choice weigh the same. A choice that is scored on the scans it was chosen on looks
better than it is; `cross_fitted` scores every fold by what the others choose ([Caruana 2004]).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from gutseg.config import Rule
from gutseg.inference.search import Part, Search, Tally, add
from gutseg.inference.tuning import Held, Weights, folds_of
from gutseg.metrics.intervals import Interval

# the numbers of the chosen runs, in the order in which they were chosen
Chosen = tuple[int, ...]
Scores = Callable[[Chosen], float]


@dataclass
class Members:
    """Runs whose blends are scored by the same rules, each choice of them once."""

    # over parts of scans by fold
    search: Search
    parts: Sequence[Part]
    # of runs
    count: int
    # one per class
    rules: Sequence[Rule]
    known: dict[frozenset[int], list[Tally]] = field(default_factory=dict)

    def tallies(self, chosen: Chosen) -> list[Tally]:
        """Return what every part contributes to the mean of the chosen runs."""
        key = frozenset(chosen)
        if key not in self.known:
            weights: Weights = tuple(float(number in key) for number in range(self.count))
            self.known[key] = self.search.tallies(weights, self.rules)
        return self.known[key]

    def held(self, chosen: Chosen) -> Held:
        """Return the chosen runs' score on all parts."""
        return Held.of(self.parts, self.tallies(chosen))

    def score(self, chosen: Chosen, without: int | None = None) -> float:
        """Return the score of the chosen runs; without: a fold that is left out."""
        pairs = zip(self.parts, self.tallies(chosen), strict=True)
        return add(one for part, one in pairs if part.fold != without).score()

    def cross_fitted(self, choose: Callable[[Scores, int], Chosen]) -> tuple[Held, list[Chosen]]:
        """Choose on all folds but one and score that one, fold by fold.

        choose: given what choices score and how many runs there are. Returns the score of all
        folds together and what each one's choice was.
        """
        chosen = {
            fold: choose(partial(self.score, without=fold), self.count)
            for fold in folds_of(self.parts)
        }
        mixed = [
            self.tallies(chosen[part.fold])[number]
            for number, part in enumerate(self.parts)
            if part.fold is not None
        ]
        return Held.of(self.parts, mixed), list(chosen.values())


def best_single(score: Scores, count: int) -> Chosen:
    """Return the run that scores best alone, of equal ones the first."""
    return (max(range(count), key=lambda number: score((number,))),)


def forward(score: Scores, count: int) -> Chosen:
    """Begin with the best run and add the one that helps most, as long as one helps.

    Source: [Caruana 2004], every run at most once.
    """
    chosen = best_single(score, count)
    while left := [number for number in range(count) if number not in chosen]:
        grown = [(*chosen, number) for number in left]
        best = max(grown, key=score)
        if score(best) <= score(chosen):
            break
        chosen = best
    return chosen


@dataclass(frozen=True)
class Told:
    """What is said of some runs."""

    # of every run: alone, and what all runs score without it and lose by that
    alone: list[Interval]
    without: list[float]
    worth: list[Interval]
    # of the choice on all folds, with its score after every run that was added
    chosen: Chosen
    steps: list[float]
    everyone: Interval
    # cross-fitted: the selection, its choices by fold, the best single run
    fitted: Held
    by_fold: list[Chosen]
    single: Held
    # the selection minus all runs, and minus the best single one
    gain: Interval
    ahead: Interval


def examine(members: Members) -> Told:
    """Score every run alone and left out, and choose, on all folds and cross-fitted."""
    everyone = tuple(range(members.count))
    all_held = members.held(everyone)
    rest = [tuple(one for one in everyone if one != number) for number in everyone]
    chosen = forward(members.score, members.count)
    fitted, by_fold = members.cross_fitted(forward)
    single, _ = members.cross_fitted(best_single)
    return Told(
        alone=[members.held((number,)).score for number in everyone],
        without=[members.score(others) for others in rest],
        worth=[all_held.minus(members.held(others)) for others in rest],
        chosen=chosen,
        steps=[members.score(chosen[:end]) for end in range(1, len(chosen) + 1)],
        everyone=all_held.score,
        fitted=fitted,
        by_fold=by_fold,
        single=single,
        gain=fitted.minus(all_held),
        ahead=fitted.minus(single),
    )
