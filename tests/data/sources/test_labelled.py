"""Folds and class shares of images in memory, worked by hand and as properties."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gutseg.data.sources.labelled import Labelled, class_shares, folds, spread


def _labelled(labels, groups=None, classes=4, mode="multiclass"):
    names = [f"image{number}" for number in range(len(labels))]
    arrays = [np.atleast_2d(np.array(label, np.uint8)) for label in labels]
    images = [np.zeros((*array.shape, 1), np.float32) for array in arrays]
    known = tuple(f"class {number}" for number in range(classes))
    background = 0 if mode == "multiclass" else None
    return Labelled(images, arrays, names, groups or names, known, mode, background)


def test_shares_weigh_pixels_and_not_images():
    data = _labelled([[0, 0, 0, 1, 1, 3], [2, 2], [1]])
    assert class_shares(data, np.array([0, 1])) == [3 / 8, 2 / 8, 2 / 8, 1 / 8]
    assert class_shares(data, np.array([2])) == [0, 1, 0, 0]
    assert class_shares(data, np.array([], int)) == [0, 0, 0, 0]


def test_shares_of_overlapping_classes():
    data = _labelled([[0, 1, 3, 7], [4, 4, 0, 0]], classes=3, mode="multilabel")
    assert class_shares(data, np.array([0, 1])) == [3 / 8, 2 / 8, 3 / 8]


@pytest.mark.parametrize(
    ("mode", "rare", "usual"),
    [
        # background has the fewest pixels of all and must not count as the rarest class
        ("multiclass", [0, 1, 1, 2, 2, 2, 2, 2], [0, 1, 1, 1, 1, 1, 1, 1]),
        ("multilabel", [1, 1, 3, 1], [1, 1, 0, 1]),
    ],
)
def test_every_fold_holds_the_rarest_class(mode, rare, usual):
    # 4 of 16 images show class 2 (bit 1): by chance most folds would lack it
    data = _labelled([rare if n % 4 == 3 else usual for n in range(16)], mode=mode)
    for seed in range(5):
        held = folds(data, 4, seed)
        assert [sum(n % 4 == 3 for n in fold) for fold in held] == [1, 1, 1, 1]
        assert [len(fold) for fold in held] == [4, 4, 4, 4]


def test_folds_depend_on_the_seed_alone():
    data = _labelled([[0, n % 2] for n in range(20)])
    one, two, other = (np.concatenate(folds(data, 5, seed)).tolist() for seed in (3, 3, 4))
    assert one == two != other


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(st.integers(0, 8), min_size=2, max_size=30),
    seed=st.integers(0, 2**31 - 1),
    data=st.data(),
)
def test_every_image_is_held_out_once_with_its_group(members, seed, data):
    groups = [f"group{number}" for number in members]
    several = len(set(groups))
    pixels = st.lists(st.integers(0, 3), min_size=1, max_size=4)
    labels = data.draw(st.lists(pixels, min_size=len(groups), max_size=len(groups)))
    labelled = _labelled(labels, groups)
    if several < 2:
        return
    num_folds = data.draw(st.integers(2, several))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = folds(labelled, num_folds, seed)
    assert len(held) == num_folds and all(len(fold) for fold in held)
    assert sorted(np.concatenate(held).tolist()) == list(range(len(groups)))
    assert all((np.diff(fold) > 0).all() for fold in held)
    where = [{groups[index] for index in fold} for fold in held]
    assert sum(map(len, where)) == several


@pytest.mark.parametrize("num_folds", [1, 3])
def test_fewer_groups_than_folds(num_folds):
    data = _labelled([[0, 1]] * 6, groups=["a", "a", "a", "b", "b", "b"])
    with pytest.raises(ValueError, match=f"num_folds = {num_folds}; expected 2 to 2, the number"):
        folds(data, num_folds, seed=0)


def test_images_of_background_alone_can_be_split():
    assert [len(fold) for fold in folds(_labelled([[0]] * 6, classes=1), 3, seed=0)] == [2, 2, 2]


def test_spread():
    assert spread(5, None).tolist() == spread(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert spread(10, 3).tolist() == [0, 3, 6]
    with pytest.raises(ValueError, match="limit = 0; expected at least 1"):
        spread(5, 0)
