"""Random crops: a function of seed, fold and step, cut out of images and labels alike."""

import numpy as np
import pytest
import torch
from bench_cases import blob_source

from gutseg.data.augment import Augmenter
from gutseg.data.batches import Crops
from gutseg.data.inputs import Crop, Geometry, Inputs, Scaling, Stack
from gutseg.data.sources.pictures import Pictures, picture


class _Still(Augmenter):
    """An augmentation that takes a margin and changes nothing."""

    changes = True


def _crops(source, size, count, seed=0, fold=0, **settings):
    keys = ("flips", "quarter_turns", "foreground")
    ways = {key: settings.pop(key) for key in keys if key in settings}
    return Crops(source, source.index[:3], Crop(size=size, **ways), count, seed, fold, **settings)


def _arrays(batch):
    return batch["images"].numpy(), batch["target"].numpy()


def _labels(source, number=0):
    return source.scan(f"image{number}").labels[0]


def test_a_step_is_a_function_of_seed_fold_and_step():
    source = blob_source()
    one, same, other = (_crops(source, (16, 16), 4, seed) for seed in (0, 0, 1))
    for step in (3, 0):
        assert np.array_equal(one[step]["images"], same[step]["images"])
        assert one[step]["ids"] == same[step]["ids"]
    assert not np.array_equal(one[0]["images"], one[1]["images"])
    assert not np.array_equal(one[0]["images"], other[0]["images"])
    assert not np.array_equal(one[0]["images"], _crops(source, (16, 16), 4, fold=1)[0]["images"])


@pytest.mark.parametrize("size", [(16, 16), (8, 20), (40, 64)])
def test_images_and_labels_stay_together(size):
    images, labels = _arrays(_crops(blob_source(), size, 8)[0])
    assert images.shape == (8, 1, *size) and images.dtype == np.float32
    assert labels.shape == (8, *size) and labels.dtype == np.int64
    for value in range(3):
        assert abs(images[:, 0][labels == value].mean() - (0.1 + 0.4 * value)) < 0.05


def test_turns_and_flips_can_be_left_out():
    source = blob_source(1, 16)
    _, plain = _arrays(_crops(source, (16, 16), 8, flips=False, quarter_turns=False)[0])
    assert (plain == _labels(source)).all()
    _, turned = _arrays(_crops(source, (16, 16), 64)[0])
    assert len({crop.tobytes() for crop in turned}) == 8


@pytest.mark.parametrize("size", [16, 17, 60])
def test_the_margin_of_an_augmentation_is_cut_off_again(size):
    """An image no larger than the crop comes back whole, wherever its margin was mirrored."""
    source = blob_source(1, size)
    ways = {"flips": False, "quarter_turns": False}
    _, labels = _arrays(_crops(source, (16, 16), 4, augment=_Still(), **ways)[0])
    windows = np.lib.stride_tricks.sliding_window_view(_labels(source), (16, 16))
    for crop in labels:
        assert (windows == crop).all(axis=(2, 3)).any()


def test_a_deformation_moves_images_and_labels_alike_and_brings_in_what_is_beside():
    source = blob_source(3, 64)
    for one in source.pictures.values():  # black would be what no image has
        one.image[:] += 0.2
    ways = {"flips": False, "quarter_turns": False}
    elastic = Augmenter("elastic_blur_noise", displacement=0.05, noise=0.001)
    crops = _crops(source, (24, 32), 8, augment=elastic, **ways)
    images, labels = _arrays(crops[3])
    assert images.shape == (8, 1, 24, 32) and labels.shape == (8, 24, 32)
    assert images.dtype == np.float32 and images.min() > 0.1
    for value in range(2):  # the third is clipped at 1
        assert abs(images[:, 0][labels == value].mean() - (0.3 + 0.4 * value)) < 0.1
    still = _arrays(_crops(source, (24, 32), 8, **ways)[3])
    assert not np.array_equal(images, still[0]) and not np.array_equal(labels, still[1])
    assert np.array_equal(images, crops[3]["images"])


@pytest.mark.parametrize("augment", [Augmenter(), _Still()])
def test_crops_around_objects_hold_one_anywhere_in_them(augment):
    """A speck in a large image: of 100 x 100 places a crop of 8 x 8 would rarely hold it."""
    labels = np.zeros((107, 107), np.uint8)
    labels[60, 30], labels[:, 50:] = 2, 1
    image = np.linspace(0, 1, 107 * 107).reshape(107, 107, 1)
    pictures = [picture("speck", image, labels), picture("none", image, 0 * labels)]
    native = Inputs(Stack(), Scaling(), Geometry(kind="native"))
    source = Pictures(pictures, native, ("ground", "large", "small"), "multiclass", background=0)
    held, places = [], []
    for share in (0.0, 0.5, 1.0):
        crop = Crop(size=(8, 8), foreground=share, flips=False, quarter_turns=False)
        made = Crops(source, source.index, crop, 400, 0, 0, augment=augment)[0]
        labels_of = made["target"].numpy()
        held.append((labels_of > 0).any(axis=(1, 2)).mean())
        places = [np.argwhere(one == 2)[0] for one in labels_of if (one == 2).any()]
        if share == 1:
            assert set(made["ids"]) == {"speck"}
    # by chance half of the images show something, and of their crops about 64 of 100 do
    assert held == pytest.approx([0.32, 0.66, 1.0], abs=0.07)
    # each object as likely, the speck anywhere in the crop
    assert len(places) / 400 == pytest.approx(0.5, abs=0.08)
    rows, columns = np.transpose(places)
    assert set(rows) == set(columns) == set(range(8))


def test_crops_around_objects_are_drawn_by_their_step_too():
    one, same = (_crops(blob_source(), (8, 8), 6, foreground=0.5) for _ in range(2))
    assert torch.equal(one[2]["images"], same[2]["images"])
    before = _crops(blob_source(), (8, 8), 6)
    assert torch.equal(
        before[2]["images"], _crops(blob_source(), (8, 8), 6, foreground=0.0)[2]["images"]
    )


def test_an_object_that_is_ignored_or_absent_leaves_crops_anywhere():
    source = blob_source(2, 24)
    empty = Pictures(
        [picture("none", np.ones((24, 24, 1)), np.zeros((24, 24)))],
        source.inputs,
        source.classes,
        "multiclass",
        background=0,
    )
    crop = Crop(size=(8, 8), foreground=1.0)
    assert not Crops(empty, empty.index, crop, 4, 0, 0)[0]["target"].any()
