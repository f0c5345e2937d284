import numpy as np
import pandas as pd
import pytest
from pytest import approx
from scipy import stats

from gutseg.study.statistics import (
    against_best,
    cliques,
    holm,
    interval,
    ranks,
    smallest_p,
    wilcoxon_p,
)


def test_interval_by_hand():
    # mean 2, sd 1, n 3: 4.3027 (t, 2 degrees of freedom) / sqrt(3) = 2.4841
    assert interval(np.array([1.0, 2.0, 3.0, np.nan])) == approx((2.0, 2.4841), abs=1e-4)
    assert interval(np.array([5.0]))[0] == 5 and np.isnan(interval(np.array([5.0]))[1])
    assert np.isnan(interval(np.array([]))).all()


def test_interval_is_scipys():
    values = np.random.default_rng(0).normal(size=9)
    low, high = stats.t.interval(0.9, 8, values.mean(), stats.sem(values))
    assert interval(values, 0.9) == approx(((low + high) / 2, (high - low) / 2))


def test_holm_by_hand():
    # sorted .01 .03 .04 -> .03 .06 .04, and none below the one before it
    assert holm(np.array([0.04, 0.01, 0.03])) == approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.6, 0.7])) == approx([1, 1])


def test_wilcoxon_of_six_pairs_that_all_agree_is_the_smallest():
    one = np.arange(1.0, 7.0)
    assert wilcoxon_p(one, one * 0.5) == approx(smallest_p(6)) == approx(2 / 64)
    assert wilcoxon_p(one, one) == 1
    assert wilcoxon_p(np.append(one, np.nan), np.append(one * 0.5, 3)) == approx(2 / 64)


def test_the_best_is_compared_with_all_others():
    blocks = np.linspace(0, 0.05, 6)
    scores = pd.DataFrame({"low": 0.1 + blocks, "high": 0.5 + blocks**2, "mid": 0.3 + blocks * 0.5})
    p = against_best(scores)
    assert np.isnan(p["high"])
    assert p["low"] == p["mid"] == approx(2 * 2 / 64)


def test_ranks_by_hand():
    scores = pd.DataFrame({"a": [0.9, 0.8, 0.9], "b": [0.5, 0.8, np.nan], "c": [0.1, 0.2, 0.3]})
    found = ranks(scores)
    assert found.average.to_dict() == approx({"a": (1 + 1.5 + 1) / 3, "b": 6.5 / 3, "c": 8 / 3})
    # Demsar 2006, table 5: q of three contenders at .05 is 2.343
    assert found.critical == approx(2.343 * np.sqrt(3 * 4 / (6 * 3)), abs=1e-3)
    assert found.p == approx(stats.friedmanchisquare([1, 1.5, 1], [2, 1.5, 3], [3, 3, 2]).pvalue)


@pytest.mark.parametrize(("contenders", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_the_paper(contenders, q):
    """Demsar 2006, table 5a."""
    value = stats.studentized_range.ppf(0.95, contenders, np.inf) / np.sqrt(2)
    assert value == approx(q, abs=1e-3)


def test_two_contenders_have_no_critical_difference():
    assert np.isnan(ranks(pd.DataFrame({"a": [1.0, 2], "b": [2.0, 3]})).critical)


def test_ties_everywhere_differ_in_nothing():
    found = ranks(pd.DataFrame({key: [0.5, 0.5] for key in "abc"}))
    assert found.p == 1 and set(found.average) == {2.0}


def test_cliques_are_the_widest_runs():
    average = pd.Series({"a": 1.0, "b": 1.5, "c": 2.2, "d": 3.5})
    assert cliques(average, 1.0) == [("a", "b"), ("b", "c")]
    assert cliques(average, 9.0) == [("a", "d")]
    assert cliques(average, 0.1) == []
