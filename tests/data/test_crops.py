"""Random crops: a function of seed, fold and step, cut out of images and labels alike."""

import numpy as np
import pytest
from bench_cases import blob_source

from gutseg.data.augment import Augmenter
from gutseg.data.batches import Crops
from gutseg.data.inputs import Crop


class _Still(Augmenter):
    """An augmentation that takes a margin and changes nothing."""

    changes = True


def _crops(source, size, count, seed=0, fold=0, **settings):
    ways = {key: settings.pop(key) for key in ("flips", "quarter_turns") if key in settings}
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
