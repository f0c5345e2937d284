"""What is measured of a presence head, beside counting pairs of images."""

import numpy as np
import pytest

from gutseg.metrics.presence import presence_measures, tally


def test_auc_and_accuracy_worked_by_hand():
    """Shown 2, -1, 0.5; not shown -3, -1: of six pairs five are in order, one is a tie."""
    logits = np.array([[2.0], [-1.0], [0.5], [-3.0], [-1.0]])
    shown = np.array([[1.0], [1.0], [1.0], [0.0], [0.0]])
    found = presence_measures(tally(logits, shown), ["gut"])
    assert found["presence_auc_gut"] == found["presence_auc"] == pytest.approx(5.5 / 6)
    assert found["presence_accuracy_gut"] == pytest.approx(4 / 5)


def test_a_class_that_is_always_shown_has_no_auc_and_parts_add_up():
    random = np.random.default_rng(0)
    logits, shown = random.normal(0, 2, (60, 3)), random.integers(0, 2, (60, 3))
    shown[:, 2] = 1
    whole = tally(logits, shown)
    np.testing.assert_array_equal(
        tally(logits[:25], shown[:25]) + tally(logits[25:], shown[25:]), whole
    )
    found = presence_measures(whole, ["a", "b", "c"])
    assert np.isnan(found["presence_auc_c"])
    for column, name in enumerate("ab"):
        bins = np.floor(logits[:, column] * 32)
        yes, no = (bins[shown[:, column] == truth] for truth in (1, 0))
        pairs = (yes[:, None] > no).mean() + (yes[:, None] == no).mean() / 2
        assert found[f"presence_auc_{name}"] == pytest.approx(pairs)
    assert found["presence_auc"] == pytest.approx(
        (found["presence_auc_a"] + found["presence_auc_b"]) / 2
    )
    right = ((logits >= 0) == shown).mean(axis=0)
    assert [found[f"presence_accuracy_{name}"] for name in "abc"] == pytest.approx(right.tolist())
    extreme = tally(np.array([[99.0], [-99.0]]), np.array([[0.0], [1.0]]))
    assert presence_measures(extreme, ["a"])["presence_auc"] == 0
