import numpy as np
import pytest
from bench_cases import blobs

from gutseg.data.augment import Augmenter
from gutseg.study.crops import Crops, as_masks, as_target


def test_a_step_is_a_function_of_seed_fold_and_step():
    data = blobs()
    one, same, other = (Crops(data, [0, 1, 2], (16, 16), 4, seed, 0) for seed in (0, 0, 1))
    for step in (3, 0):
        assert np.array_equal(one.batch(step)[0], same.batch(step)[0])
    assert not np.array_equal(one.batch(0)[0], one.batch(1)[0])
    assert not np.array_equal(one.batch(0)[0], other.batch(0)[0])


@pytest.mark.parametrize("patch", [(16, 16), (8, 20), (40, 64)])
def test_images_and_labels_stay_together(patch):
    images, labels = Crops(blobs(), [0, 1, 2], patch, 8, 0, 0).batch(0)
    assert images.shape == (8, 1, *patch) and images.dtype == np.float32
    assert labels.shape == (8, *patch) and labels.dtype == np.uint8
    for value in range(3):
        assert abs(images[:, 0][labels == value].mean() - (0.1 + 0.4 * value)) < 0.05


def test_turns_and_flips_can_be_left_out():
    data = blobs(1, 16)
    plain = Crops(data, [0], (16, 16), 8, 0, 0, flips=False, quarter_turns=False).batch(0)[1]
    assert (plain == data.labels[0]).all()
    turned = Crops(data, [0], (16, 16), 64, 0, 0).batch(0)[1]
    assert len({crop.tobytes() for crop in turned}) == 8


@pytest.mark.parametrize("size", [16, 17, 60])
def test_the_margin_of_an_augmentation_is_cut_off_again(size):
    """An image no larger than the patch comes back whole, wherever its margin was mirrored."""
    data = blobs(1, size)
    still = {"flips": False, "quarter_turns": False, "augmenter": Augmenter("none")}
    labels = Crops(data, [0], (16, 16), 4, 0, 0, **still).batch(0)[1]
    windows = np.lib.stride_tricks.sliding_window_view(data.labels[0], (16, 16))
    for crop in labels:
        assert (windows == crop).all(axis=(2, 3)).any()


def test_a_deformation_moves_images_and_labels_alike_and_brings_in_what_is_beside():
    data = blobs(3, 64)
    for image in data.images:  # black would be what no image has
        image += 0.2
    settings = {"flips": False, "quarter_turns": False}
    elastic = Augmenter("elastic_blur_noise", displacement=0.05, noise=0.001)
    crops = Crops(data, [0, 1, 2], (24, 32), 8, 0, 0, **settings, augmenter=elastic)
    images, labels = crops.batch(3)
    assert images.shape == (8, 1, 24, 32) and labels.shape == (8, 24, 32)
    assert images.dtype == np.float32 and images.min() > 0.1
    for value in range(2):  # the third is clipped at 1
        assert abs(images[:, 0][labels == value].mean() - (0.3 + 0.4 * value)) < 0.1
    nothing = Crops(data, [0, 1, 2], (24, 32), 8, 0, 0, **settings, augmenter=Augmenter("none"))
    still = nothing.batch(3)
    assert not np.array_equal(images, still[0]) and not np.array_equal(labels, still[1])
    assert np.array_equal(images, crops.batch(3)[0])


def test_masks_of_both_modes():
    many, single = blobs(1, mode="multilabel"), blobs(1)
    labels = np.array([[[0, 1], [2, 3]]], np.uint8)
    assert as_masks(labels, many).tolist() == [[[[0, 1], [0, 1]], [[0, 0], [1, 1]]]]
    assert as_masks(labels[:, :, :1], single)[0, :, :, 0].tolist() == [[1, 0], [0, 0], [0, 1]]
    assert as_target(labels, single) is labels
