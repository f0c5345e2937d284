"""Measures of pooled pixels, by hand, against scikit-learn, and as sums over images."""

import numpy as np
import pytest
from pytest import approx

from gutseg.metrics.pooled import Counts, count, decided, measures

CLASSES = ("ground", "large", "small")


def _one_hot(numbers):
    return np.arange(3).reshape(3, *[1] * np.ndim(numbers)) == np.array(numbers)


def _measured(truth, found):
    counts = count(_one_hot(found), _one_hot(truth), "multiclass")
    return measures(counts, CLASSES, "multiclass", 0)


def test_measures_by_hand():
    found = _measured([[0, 0, 0, 1], [0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, 1, 0]])
    assert found["accuracy"] == 6 / 8
    assert found["iou.ground"] == 4 / 6 and found["iou.large"] == 2 / 4
    assert np.isnan(found["iou.small"])  # neither there nor predicted
    assert found["iou"] == approx((4 / 6 + 2 / 4) / 2)
    assert found["iou_fg"] == found["iou.large"]
    assert found["dice.large"] == 4 / 6
    assert found["precision.large"] == found["recall.large"] == 2 / 3


def test_a_class_that_is_not_there_or_not_found():
    found = _measured([[0, 1]], [[2, 0]])
    assert found["precision.large"] == found["recall.large"] == found["iou.large"] == 0
    assert found["iou.small"] == found["precision.small"] == 0
    assert np.isnan(found["recall.small"])


def test_the_confusion_of_sklearn():
    from sklearn.metrics import jaccard_score, precision_score, recall_score

    truth, guess = np.random.default_rng(1).integers(0, 3, (2, 20, 20))
    found = _measured(truth, guess)
    for name, score in (
        ("iou", jaccard_score),
        ("precision", precision_score),
        ("recall", recall_score),
    ):
        assert found[name] == approx(score(truth.ravel(), guess.ravel(), average="macro"))


def test_multilabel_counts_every_class_of_its_own():
    masks = np.random.default_rng(0).random((2, 8, 8)) < 0.5
    found = measures(count(masks, masks, "multilabel"), ("a", "b"), "multilabel", None)
    assert found["iou"] == found["iou_fg"] == found["accuracy"] == 1
    half = measures(count(masks, ~masks | masks, "multilabel"), ("a", "b"), "multilabel", None)
    assert half["recall"] == approx(masks.mean()) == half["accuracy"]


def test_counts_of_images_add_up():
    found, truth = (_one_hot(part) for part in np.random.default_rng(2).integers(0, 3, (2, 4, 6)))
    whole = count(found, truth, "multiclass")
    halves = (np.s_[:, :2], np.s_[:, 2:])
    total = Counts.none(3)
    for half in halves:
        total += count(found[half], truth[half], "multiclass")
    assert np.array_equal(total.vector, whole.vector)
    assert np.array_equal(Counts.of_vector(whole.vector).vector, whole.vector)
    assert (whole.tp + whole.fn).sum() == whole.pixels == 24


def test_ignored_pixels_count_nowhere():
    ignored = np.array([[False, True, False]])
    counts = count(_one_hot([[0, 1, 2]]), _one_hot([[0, 2, 2]]), "multiclass", ignored)
    assert counts.pixels == counts.tp.sum() == 2 and counts.fp.tolist() == [0, 0, 0]
    assert measures(counts, CLASSES, "multiclass", 0)["accuracy"] == 1


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
def test_of_ignored_pixels_alone_nothing_is_measured(mode):
    masks = _one_hot([[0, 1, 2]])
    counts = count(masks, masks, mode, np.ones((1, 3), bool))
    found = measures(counts, CLASSES, mode, 0)
    assert "accuracy" in found and np.isnan(list(found.values())).all()


def test_what_is_decided():
    likely = np.array([[0.5, 0.2], [0.5, 0.7], [0.0, 0.1]])
    assert decided(likely, "multiclass").argmax(axis=0).tolist() == [0, 1]
    assert decided(likely, "multilabel").tolist() == [[True, False], [True, True], [False, False]]
    assert decided(np.array([127, 128], np.uint8), "multilabel").tolist() == [False, True]
