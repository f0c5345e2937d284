"""Choosing runs and rules out of fold, worked out again by brute force."""

from itertools import combinations

import numpy as np
import pytest
from plain_postprocess import finish_plainly

from gutseg.config import Rule
from gutseg.inference.ensemble import weighted_mean
from gutseg.inference.search import Part, Search, Volume, parts_of, patient_sums
from gutseg.inference.selection import Members, best_single, examine, forward
from gutseg.inference.tuning import CHOICES, Held, Tuner, cross_fitted, folds_of
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics import intervals
from gutseg.metrics.competition import METRICS, compare, summarise

METRIC = METRICS["default"]
RULES = [Rule(0.4), Rule(0.5), Rule(0.5, 3)]
PARTS = [Part(f"case{number // 2}_day{number % 2}", number // 2 % 3) for number in range(12)]


@pytest.fixture(scope="module")
def scans():
    """Four runs over 12 scans of 6 patients in 3 folds: (M, C, Z, H, W) uint8, truth (C, ...).

    Each run is noisy on its own; the last one is blind to the truth.
    """
    rng = np.random.default_rng(0)
    made = []
    for number in range(len(PARTS)):
        truth = np.zeros((3, 5, 16, 20), bool)
        for organ in truth:
            y, x = rng.integers(1, [8, 12])
            organ[1:4, y : y + 6, x : x + 6] = True
        noise = [0.3, 0.3, 0.55 if number < 6 else 0.25, 0.5]
        seen = [0.5 * truth + rng.normal(0.25, scale, truth.shape) for scale in noise[:3]]
        seen.append(rng.normal(0.4, noise[3], truth.shape))
        made.append(((np.stack(seen).clip(0, 1) * 255).astype(np.uint8), truth))
    return made


@pytest.fixture(scope="module")
def members(scans):
    volumes = [[Volume.crop(m[:, c], t[c], 51) for m, t in scans] for c in range(3)]
    return Members(Search(volumes, METRIC, threads=2), PARTS, 4, RULES)


def _results(scans, chosen):
    """What `gutseg score` would say of the mean of some runs, scan by scan."""
    found = []
    for part, (probabilities, truth) in zip(PARTS, scans, strict=True):
        mean = weighted_mean([probabilities[one] for one in chosen], [1.0] * len(chosen))
        masks = [finish_plainly(p, rule) for p, rule in zip(mean, RULES, strict=True)]
        pair = BitRows.from_arrays(np.stack(masks)), BitRows.from_arrays(truth)
        found.append(compare(part.scan, *pair, METRIC))
    return found


@pytest.fixture(scope="module")
def plain(scans):
    """Every choice of runs -> its results."""
    numbers = range(4)
    return {
        some: _results(scans, some) for size in (1, 2, 3, 4) for some in combinations(numbers, size)
    }


def _score(results, folds):
    kept = [one for one, part in zip(results, PARTS, strict=True) if part.fold in folds]
    return summarise(kept, METRIC).score


def _greedy(plain, folds):
    """Forward selection over whole lists of scores."""
    chosen = ()
    while True:
        grown = [some for some in plain if len(some) == len(chosen) + 1 and {*chosen} <= {*some}]
        best = max(grown, key=lambda some: _score(plain[some], folds), default=chosen)
        if chosen and _score(plain[best], folds) <= _score(plain[chosen], folds):
            return chosen
        chosen = best


def test_scores_and_intervals_are_those_of_gutseg_score(members, plain):
    for some, results in plain.items():
        held = members.held(some)
        assert held.score.value == pytest.approx(summarise(results, METRIC).score)
        expected = intervals.patient_sums(results, METRIC)
        assert held.sums.keys() == expected.keys()
        for name, rows in expected.items():
            np.testing.assert_allclose(held.sums[name], rows)


def test_what_is_told_is_what_brute_force_finds(members, plain):
    told, everyone = examine(members), (0, 1, 2, 3)
    chosen = _greedy(plain, {0, 1, 2})
    assert set(told.chosen) == set(chosen) and 1 < len(chosen) < 4 and 3 not in chosen
    assert told.steps[-1] == pytest.approx(_score(plain[chosen], {0, 1, 2}))
    assert told.steps == sorted(told.steps)
    for number in everyone:
        rest = tuple(one for one in everyone if one != number)
        less = _score(plain[rest], {0, 1, 2})
        assert told.without[number] == pytest.approx(less)
        expected = _score(plain[everyone], {0, 1, 2}) - less
        assert told.worth[number].value == pytest.approx(expected)
    assert told.worth[3].high < 0  # without the blind run all are better, beyond chance


def test_a_fold_is_scored_by_what_the_others_choose(members, plain):
    told = examine(members)
    mixed = []
    for fold, found in zip((0, 1, 2), told.by_fold, strict=True):
        chosen = _greedy(plain, {0, 1, 2} - {fold})
        assert set(found) == set(chosen)
        pairs = zip(plain[chosen], PARTS, strict=True)
        mixed += [one for one, part in pairs if part.fold == fold]
    assert told.fitted.score.value == pytest.approx(summarise(mixed, METRIC).score)
    assert told.gain.value == pytest.approx(told.fitted.score.value - told.everyone.value)
    assert told.gain.low < told.gain.value < told.gain.high


def test_the_choice_sees_no_score_of_the_fold_it_is_scored_on(members):
    asked = []

    def spy(score, count):
        asked.append(score)
        return best_single(score, count)

    members.cross_fitted(spy)
    for fold, score in zip((0, 1, 2), asked, strict=True):
        assert score((0, 1)) == members.score((0, 1), without=fold) != members.score((0, 1))


def test_of_equal_runs_one_is_chosen():
    assert forward(lambda some: 0.5, 3) == (0,)
    assert forward(lambda some: {(1,): 0.6, (1, 2): 0.7}.get(some, 0.5), 3) == (1, 2)


def test_parts_are_scans_or_what_folds_hold_of_them():
    class Run:
        scans = ("a", "b")

        def folds_of(self, scan):
            return [0, 1] if scan == "a" else [1]

    assert parts_of(Run(), apart=False) == [Part("a", None), Part("b", None)]
    assert parts_of(Run(), apart=True) == [Part("a", 0), Part("a", 1), Part("b", 1)]
    with pytest.raises(ValueError, match="all folds but one, and there is 1 with predictions"):
        folds_of([Part("a", 1), Part("b", 1)])


def test_sums_of_a_patient_add_up(members):
    tallies = members.tallies((0,))
    sums = patient_sums(PARTS, tallies)
    assert list(sums) == [f"case{number}" for number in range(6)]
    assert sums["case0"].tolist() == [
        [tallies[0].dice + tallies[1].dice, tallies[0].rows + tallies[1].rows],
        [tallies[0].hausdorff + tallies[1].hausdorff, tallies[0].volumes + tallies[1].volumes],
    ]


def test_a_search_tries_more_rules_where_it_is_asked_to(members):
    search = members.search
    base = Tuner(12, 0)(search, 4)
    assert all(
        rule == Rule(rule.threshold, rule.min_component_size, rule.gate) for rule in base.rules
    )
    assert base.plain == search.score((1.0,) * 4, [Rule()] * 3) < base.score
    more = Tuner(12, 0, ["min_run", "gate_pixels"])(search, 4)
    assert any(rule.min_run > 1 or rule.gate_pixels > 1 for rule in more.rules)
    assert {rule.hull for rule in more.rules} == {0.0}


def test_a_search_begins_with_the_rules_it_is_given(members):
    """37 is no choice of CHOICES, and min_run is not searched: both stay."""
    first = [Rule(0.37, min_run=2), Rule(0.5, 7), Rule()]
    assert 0.37 not in CHOICES["threshold"]
    found = Tuner(1, 0, (), first)(members.search, 4)
    assert found.rules == first and found.weights == (1.0,) * 4
    assert found.score == found.plain == members.search.score((1.0,) * 4, first)
    more = Tuner(8, 0, (), first)(members.search, 4)
    assert [rule.min_run for rule in more.rules] == [2, 1, 1]


def test_a_cross_fitted_search_scores_each_fold_by_the_search_on_the_others(members):
    tuner = Tuner(6, 3)
    held, choices = cross_fitted(members.search, PARTS, 4, tuner)
    expected = [None] * len(PARTS)
    for fold, found in zip((0, 1, 2), choices, strict=True):
        others = members.search.only([part.fold != fold for part in PARTS])
        assert tuner(others, 4) == found
        tallies = members.search.tallies(found.weights, found.rules)
        for number, part in enumerate(PARTS):
            if part.fold == fold:
                expected[number] = tallies[number]
    assert held.score.value == pytest.approx(Held.of(PARTS, expected).score.value)
    assert held.minus(held).value == pytest.approx(0, abs=1e-15)  # but for rounding
