"""Folds and class shares of a source, worked by hand and as properties."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import NATIVE

from gutseg.data.sources.conic import _spread
from gutseg.data.sources.pictures import Pictures, picture


def _labelled(labels, groups=None, classes=4, mode="multiclass"):
    names = [f"image{number}" for number in range(len(labels))]
    arrays = [np.atleast_2d(np.array(label, np.uint8)) for label in labels]
    pictures = [
        picture(name, np.zeros((*array.shape, 1), np.float32), array, group=group)
        for name, array, group in zip(names, arrays, groups or names, strict=True)
    ]
    known = tuple(f"class {number}" for number in range(classes))
    background = 0 if mode == "multiclass" else None
    return Pictures(pictures, NATIVE, known, mode, background=background)


def class_shares(data, positions):
    return data.class_shares(data.index.iloc[positions])


def folds(data, number, seed):
    """The positions that each fold holds out."""
    fold = data.draw_folds(number, seed).to_numpy()
    return [np.flatnonzero(fold == value) for value in range(number)]


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
    with pytest.raises(ValueError, match=f"folds = {num_folds}; expected 2 to 2, the number"):
        folds(data, num_folds, seed=0)


def test_images_of_background_alone_can_be_split():
    assert [len(fold) for fold in folds(_labelled([[0]] * 6, classes=1), 3, seed=0)] == [2, 2, 2]


def test_spread():
    assert _spread(5, None).tolist() == _spread(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert _spread(10, 3).tolist() == [0, 3, 6]


def test_pixels_that_count_nowhere_are_no_shares():
    unknown = np.array([[True, False, False, False]])
    one = picture("a", np.zeros((1, 4, 1)), np.array([[2, 1, 0, 0]]), ignore=unknown)
    data = Pictures([one], NATIVE, ("none", "a", "b"), "multiclass", background=0)
    assert data.class_shares(data.index) == pytest.approx([2 / 3, 1 / 3, 0])
    assert data.index[["none", "a", "b"]].to_numpy().tolist() == [[True, True, False]]


def test_two_images_of_one_name_and_a_channel_that_is_not_there():
    one = picture("a", np.zeros((1, 4, 3)), np.zeros((1, 4)))
    with pytest.raises(ValueError, match="two images are called 'a'; rename one"):
        Pictures([one, one], NATIVE, ("x",), "multilabel")
    with pytest.raises(ValueError, match="channels: 3; the images have 0 to 2"):
        Pictures([one], replace(NATIVE, selected=(0, 3)), ("x",), "multilabel")
    assert (
        Pictures([one], replace(NATIVE, selected=(2,)), ("x",), "multilabel").inputs.channels == 1
    )


def test_a_fingerprint_is_of_pixels_labels_and_what_is_ignored():
    image, labels = np.zeros((2, 4, 1), np.float32), np.zeros((2, 4), np.uint8)
    unknown = np.eye(2, 4) > 0
    made = [
        picture("a", *parts, ignore=ignore)
        for parts, ignore in (
            ((image, labels), None),
            ((image + 1, labels), None),
            ((image, labels + 1), None),
            ((image, labels), unknown),
        )
    ]
    found = [Pictures([p], NATIVE, ("x",), "multilabel").fingerprint("a") for p in [*made, made[0]]]
    assert len(set(found)) == 4 and found[0] == found[-1]
