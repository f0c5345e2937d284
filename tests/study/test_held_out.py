import dataclasses

import numpy as np
import pytest
import torch
from bench_cases import blobs
from pytest import approx
from torch import nn

from gutseg.data.sources.labelled import Labelled
from gutseg.study.held_out import count, logits_of, measures, with_background_of

CPU = torch.device("cpu")


def _pair(truth, found, classes=3):
    """One image with labels and a prediction that is certain of what it says."""
    truth, found = np.array(truth, np.uint8), np.array(found)
    names = ("ground", "large", "small")[:classes]
    data = Labelled([np.zeros((*truth.shape, 1))], [truth], ["a"], ["a"], names, "multiclass", 0)
    logits = 5 * torch.nn.functional.one_hot(torch.from_numpy(found), classes).movedim(-1, 0)
    return data, lambda _: logits.float()


def test_measures_by_hand():
    data, predict = _pair([[0, 0, 0, 1], [0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, 1, 0]])
    found = measures(count(predict, data, [0]), data)
    assert found["accuracy"] == 6 / 8
    assert found["iou.ground"] == 4 / 6 and found["iou.large"] == 2 / 4
    assert np.isnan(found["iou.small"])  # neither there nor predicted
    assert found["iou"] == approx((4 / 6 + 2 / 4) / 2)
    assert found["iou_fg"] == found["iou.large"]
    assert found["dice.large"] == 4 / 6
    assert found["precision.large"] == found["recall.large"] == 2 / 3


def test_a_class_that_is_not_there_or_not_found():
    data, predict = _pair([[0, 1]], [[2, 0]])
    found = measures(count(predict, data, [0]), data)
    assert found["precision.large"] == found["recall.large"] == found["iou.large"] == 0
    assert found["iou.small"] == found["precision.small"] == 0
    assert np.isnan(found["recall.small"])


def test_the_confusion_of_sklearn():
    from sklearn.metrics import jaccard_score, precision_score, recall_score

    random = np.random.default_rng(1)
    truth, guess = random.integers(0, 3, (2, 20, 20))
    data, predict = _pair(truth, guess)
    found = measures(count(predict, data, [0]), data)
    for name, score in (
        ("iou", jaccard_score),
        ("precision", precision_score),
        ("recall", recall_score),
    ):
        assert found[name] == approx(score(truth.ravel(), guess.ravel(), average="macro"))


def test_multilabel_counts_every_class_of_its_own():
    data = blobs(2, mode="multilabel")
    perfect = [torch.from_numpy(np.stack([label & 1, label >> 1 & 1])) for label in data.labels]
    answers = iter([10.0 * masks - 5 for masks in perfect])
    found = measures(count(lambda _: next(answers), data, [0, 1]), data)
    assert found["iou"] == found["iou_fg"] == found["accuracy"] == 1


def test_the_hardest_pixels_are_those_that_are_wrong():
    data, predict = _pair([[0, 0, 1, 2]], [[0, 0, 0, 2]])
    counts = count(predict, data, [0], [1, 100])
    assert counts.hard[1].tolist() == [0, 1, 0]
    assert counts.hard[100].tolist() == counts.truth.tolist() == [2, 1, 1]


@pytest.mark.parametrize("size", [(70, 40), (65, 64), (33, 100)])
def test_tiles_give_what_the_whole_gives(size):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    image = np.random.default_rng(0).random((*size, 1)).astype(np.float32)
    whole, tiled = (logits_of(network, image, tile, CPU) for tile in (512, 32))
    assert whole.shape == (2, *size)
    torch.testing.assert_close(whole, tiled, atol=1e-5, rtol=0)


def test_counts_of_images_add_up():
    data = blobs(3)
    zero = [torch.zeros(3, *label.shape) for label in data.labels]
    each = [count(lambda _, n=n: zero[n], data, [n]) for n in range(3)]
    answers = iter(zero)
    together = count(lambda _: next(answers), data, [0, 1, 2])
    for field in dataclasses.fields(together)[:5]:
        total = sum(getattr(part, field.name) for part in each)
        assert np.array_equal(getattr(together, field.name), total)


def test_a_binary_background_is_laid_over_a_prediction():
    """Objects that the binary network does not see vanish; its own objects change nothing."""
    data, predict = _pair([[0, 1, 2, 0]], [[1, 1, 0, 2]])
    _, binary = _pair([[0, 1, 1, 1]], [[0, 1, 1, 1]], classes=2)
    reused = with_background_of(predict, binary, data.images[0], background=0)
    assert reused.argmax(0).tolist() == [[0, 1, 0, 2]]
