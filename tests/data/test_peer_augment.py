"""What the augmentations of other people's recipes do to one image."""

import albumentations as A
import numpy as np
import pytest

from gutseg.data import peer_augment
from gutseg.data.augment import Augmenter
from gutseg.data.peer_augment import EachChannel, MovedTriangle

SMOOTH = np.add.outer(np.linspace(0.2, 0.5, 48), np.linspace(0, 0.3, 64)).astype(np.float32)
STACK = np.repeat(SMOOTH[..., None], 3, axis=2)


class Fixed:
    """Random numbers that are known: uniform gives its upper end, random always 0.9."""

    def random(self):
        return 0.9

    def uniform(self, low, high):
        return high


def test_each_channel_has_random_numbers_of_its_own_and_a_share_of_them_is_left_alone():
    def brighter(plane, random):
        return plane + np.float32(random.random())

    change = EachChannel(brighter, 1.0)
    change.set_random_seed(0)
    added = change(image=STACK)["image"] - STACK
    assert np.ptp(added, axis=(0, 1)).max() < 1e-6
    assert len({float(value) for value in added[0, 0].round(5)}) == 3
    half = EachChannel(brighter, 1.0, share=0.5)
    half.set_random_seed(0)
    many = np.zeros((4, 4, 400), np.float32)
    untouched = (half(image=many)["image"][0, 0] == 0).mean()
    assert untouched == pytest.approx(0.5, abs=0.1)


def test_contrast_moves_away_from_the_mean_and_brightness_may_leave_the_range():
    plane = np.array([[0.2, 0.4, 0.6, 0.8]], np.float32)
    free = peer_augment._contrast(plane, Fixed(), clip=False)
    np.testing.assert_allclose(free, [[0.125, 0.375, 0.625, 0.875]], atol=1e-6)
    kept = peer_augment._contrast(plane, Fixed(), clip=True)
    np.testing.assert_allclose(kept, [[0.2, 0.375, 0.625, 0.8]], atol=1e-6)


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_bends_greys_and_keeps_mean_and_deviation(inverted):
    bent = peer_augment._gamma(SMOOTH, Fixed(), inverted=inverted)
    assert bent.mean() == pytest.approx(SMOOTH.mean(), abs=1e-5)
    assert bent.std() == pytest.approx(SMOOTH.std(), abs=1e-5)
    assert (np.diff(bent, axis=1) > 0).all()  # order is kept
    # a power of 1.5 is convex; of the inverted image, concave
    curvature = np.diff(bent[0], 2).mean()
    assert curvature < 0 if inverted else curvature > 0


def test_noise_is_measured_in_deviations_of_the_scan():
    random = np.random.default_rng(0)
    random_end = type("", (Fixed,), {"standard_normal": staticmethod(random.standard_normal)})()
    plane = np.zeros((200, 200), np.float32)
    noisy = peer_augment._noise(plane, random_end, deviation=0.1, unit=0.2)
    assert noisy.std() == pytest.approx(0.2 * 0.1, rel=0.02)


def test_low_resolution_keeps_a_ramp_and_loses_a_chequerboard():
    class Half(Fixed):
        def uniform(self, low, high):
            return low

    board = np.indices((32, 32)).sum(0).astype(np.float32) % 2
    assert np.ptp(peer_augment._coarse(board, Half())) == 0
    assert np.abs(peer_augment._coarse(SMOOTH, Half()) - SMOOTH).max() < 0.02


def test_the_triangle_maps_its_corners_to_where_they_moved_within_reach():
    move = MovedTriangle(0.1)
    move.set_random_seed(3)
    shape = {"shape": (60, 90, 3)}
    corners = np.array([[65, 50, 1], [65, 10, 1], [25, 10, 1]])
    ends = np.array(
        [corners @ move.get_params_dependent_on_data(shape, {})["matrix"].T for _ in range(200)]
    )
    distance = np.abs(ends - corners[:, :2])
    assert distance.max() <= 6.01 and distance.max() > 5.5
    # every corner by itself
    assert abs(np.corrcoef(ends[:, 0, 0], ends[:, 1, 0])[0, 1]) < 0.2


def test_holes_of_the_notebook_are_background_in_image_and_labels():
    holes = next(part for part in peer_augment.awsaf49() if isinstance(part, A.CoarseDropout))
    holes.p = 1.0
    holes.set_random_seed(1)
    found = holes(image=np.ones((320, 384, 3), np.float32), mask=np.ones((320, 384), np.uint8))
    gone = found["mask"] == 0
    np.testing.assert_array_equal(gone, (found["image"] == 0).all(axis=2))
    # five to eight of 16 x 19 pixels, which may overlap
    assert 3 * 16 * 19 < gone.sum() <= 8 * 16 * 19


@pytest.mark.parametrize(("name", "alike"), [("awsaf49", True), ("auto3dseg", False)])
def test_flips_are_left_right_in_the_notebook_and_both_ways_in_auto3dseg(name, alike):
    """Told by the bright half of an image, which small changes leave bright."""
    image = np.full((40, 1, 64, 64), 0.2, np.float32)
    image[:, :, 34:] = 0.9
    below = Augmenter(name)(image, np.zeros((40, 64, 64), np.uint8), seed=0)[0]
    lower = below[:, 0, 40:].mean((1, 2)) > below[:, 0, :24].mean((1, 2))
    assert lower.all() if alike else 8 <= lower.sum() <= 32
