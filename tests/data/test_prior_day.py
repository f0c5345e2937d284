"""The earlier day of a patient as channels: which day, where it lies, what training does to it."""

from dataclasses import replace

import numpy as np
import pytest

from gutseg.data.augment import Augmenter
from gutseg.data.batches import Crops, Whole, augmented
from gutseg.data.index import Issues, list_slices, visits_of
from gutseg.data.inputs import Crop, Geometry, Inputs, Scaling, Stack
from gutseg.data.prior_day import PriorDay, TrainingDays, emptied, laid_over
from gutseg.data.registration import Move
from gutseg.data.sampler import Batch
from gutseg.data.sources.competition import Competition
from gutseg.data.volume import describe, read_file, read_scan

SEEN = Inputs(
    Stack(slices=3), Scaling(kind="scan"), Geometry(kind="pad", size=(48, 64)), prior="given"
)
LATER = "case1_day5"


@pytest.fixture(scope="module")
def data(cache):
    return Competition(cache, SEEN)


def _scan(shape, pixel_mm=1.5):
    """A scan whose every voxel says where it is, and whose labels are its last bits."""
    image = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    scan = describe("case1_day0", image, (3.0, pixel_mm, pixel_mm))
    return replace(scan, mask=(image & 7).astype(np.uint8))


def test_the_latest_earlier_day_is_shown_and_never_a_later_or_a_blacklisted_one(data, cache):
    earlier = {name: data.earlier(name) for name in data.index["scan"].unique()}
    shown = {name: found.split()[0] for name, found in earlier.items() if found}
    assert shown == {LATER: "case1_day0"}
    assert earlier[LATER].split()[1] == data.fingerprint("case1_day0")
    assert data.scan(LATER).prior.scan.name == "case1_day0"
    assert data.scan("case1_day0").prior is None
    fewer = Competition(cache, SEEN, blacklist=("case1_day0",))
    assert fewer.earlier(LATER) is None and fewer.scan(LATER).prior is None
    assert Competition(cache, replace(SEEN, prior=None)).scan(LATER).prior is None


def test_a_move_by_whole_pixels_copies_them_and_leaves_black_around():
    scan = _scan((4, 6, 8))
    laid = laid_over(scan, scan, Move(1, 3.0, -1.5))
    image, labels = laid.planes(np.array([0, 3]))
    expected = np.zeros((6, 8), np.uint16)
    expected[:4, 1:] = scan.image[1, 2:, :7]  # two rows lower and a column further left there
    np.testing.assert_array_equal(image[0], expected)
    np.testing.assert_array_equal(labels[0], expected & 7)
    assert not image[1].any() and not labels[1].any()  # plane 4 of four


def test_pixels_of_another_size_meet_at_the_middle_of_the_slice():
    """9 pixels of 3 mm over 19 of 1.5 mm: every second one, from the second on."""
    coarse, fine = _scan((2, 9, 9), 3.0), _scan((2, 19, 19))
    laid = laid_over(coarse, fine, Move(0, 0.0, 1.5))
    image, labels = laid.planes(np.array([1]))
    np.testing.assert_array_equal(image[0], fine.image[1, 1:18:2, 2:19:2])
    np.testing.assert_array_equal(labels[0], fine.labels[1, 1:18:2, 2:19:2])


def test_channels_follow_the_stack_and_are_zero_without_an_earlier_day(data, cache):
    plain = Competition(cache, replace(SEEN, prior=None))
    assert (SEEN.channels, SEEN.prior_channels, SEEN.mask_channels) == (7, 4, 3)
    assert (plain.inputs.channels, plain.inputs.mask_channels) == (3, 0)
    scan, z = data.scan(LATER), np.array([3, 4])
    images = SEEN.images(scan, z)
    assert images.shape == (2, 7, 48, 64) and images.dtype == np.float32
    np.testing.assert_array_equal(images[:, :3], plain.inputs.images(scan, z))
    grey, labels = scan.prior.planes(z)
    inside = (slice(None), slice(4, 44), slice(8, 56))  # 40 x 48 in the middle of 48 x 64
    first = data.scan("case1_day0")
    np.testing.assert_allclose(images[:, 3][inside], grey / first.image.max(), rtol=1e-6)
    for bit in range(3):
        np.testing.assert_array_equal(images[:, 4 + bit][inside], labels >> bit & 1)
    assert images[:, 4:].any(axis=(2, 3)).all()
    for inputs, name in ((SEEN, "case1_day0"), (replace(SEEN, prior="withheld"), LATER)):
        without = inputs.images(data.scan(name), z)
        assert without.shape == images.shape and not without[:, 3:].any()
        np.testing.assert_array_equal(without[:, :3], plain.inputs.images(data.scan(name), z))


def test_masks_move_like_labels_and_have_no_brightness_and_no_noise():
    """Masks that are the labels themselves still are after the augmentation."""
    random = np.random.default_rng(3)
    labels = np.repeat(np.repeat(random.integers(0, 8, (12, 6, 8)), 8, 1), 8, 2).astype(np.uint8)
    masks = np.stack([labels >> bit & 1 for bit in range(3)], axis=1).astype(np.float32)
    images = np.concatenate([np.full((12, 2, 48, 64), 0.5, np.float32), masks], axis=1)
    for ignored in (None, labels == 7):
        planes = images, labels, ignored
        found, moved, unknown = augmented(Augmenter("mild"), planes, seed=5, masks=3)
        assert not np.array_equal(moved, labels)
        for bit in range(3):
            np.testing.assert_array_equal(found[:, 2 + bit], moved >> bit & 1)
        assert len(np.unique(found[:, :2])) > 100  # the grey channels have noise
        assert ignored is None or (unknown <= (moved == 7)).all()
    assert found.dtype == np.float32 and moved.dtype == np.uint8


def test_a_share_loses_its_earlier_day_and_black_stays_black():
    images = np.ones((1000, 6, 2, 2), np.float32)
    before = images.copy()
    before[:100, 2:] = 0  # no earlier day: what is there now is noise
    planes = images, np.zeros((1000, 2, 2), np.uint8), None
    found, *_ = emptied(PriorDay(share_dropped=0.3), planes, before, 3, np.random.default_rng(0))
    assert (found[:, :2] == 1).all() and images.all()
    kept = found[:, 2:].reshape(1000, -1)
    assert (kept.all(axis=1) == kept.any(axis=1)).all()
    assert not kept[:100].any()
    assert kept[100:].any(axis=1).mean() == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_batches_show_the_earlier_day_or_drop_it(data, share):
    rows = data.index[data.index["scan"].str.startswith("case1_")]
    positions = np.flatnonzero(rows["z"] == 4)  # of day 0, of day 5
    prior = PriorDay(share_dropped=share)
    whole = Whole(data, rows, Augmenter("mild"), prior=prior)[Batch(positions, 1)]["images"]
    assert not whole[0, 3:].any()
    assert bool(whole[1, 3:].any()) == (share == 0)
    later = data.index[data.index["scan"] == LATER]
    for name in ("none", "mild"):
        crops = Crops(data, later, Crop(size=(32, 32)), 4, 0, 0, Augmenter(name), prior=prior)
        images = crops[2]["images"].numpy()
        assert images.shape == (4, 7, 32, 32)
        assert bool(images[:, 3:].any()) == (share == 0)
        assert set(np.unique(images[:, 4:])) <= {0.0, 1.0}


def _read(root, name):
    slices = list_slices(root / "train", Issues())
    rows = slices[slices["scan"] == name]
    return read_scan(rows, lambda file: read_file(root / file), Issues())[0]


def test_a_competition_folder_gives_the_earlier_day_that_the_cache_gives(data, cache):
    root, scan = cache.parent / "raw", data.scan(LATER)
    days = TrainingDays(root, [LATER, "case2_day0"], Issues())
    for name in (LATER, "case2_day0"):
        raw = _read(root, name)
        found = days.with_prior(raw)
        if name == LATER:
            z = np.arange(scan.shape[0])
            np.testing.assert_array_equal(SEEN.images(found, z), SEEN.images(scan, z))
        else:
            assert found is raw


def test_a_day_that_the_training_left_out_is_no_earlier_day(cache):
    root = cache.parent / "raw"
    raw = _read(root, LATER)
    days = TrainingDays(root, [LATER], Issues(), left_out={"case1_day0"})
    assert days.with_prior(raw) is raw


def test_an_earlier_day_that_cannot_be_read_is_an_issue(cache, tmp_path):
    root = cache.parent / "raw"
    scan = _read(root, LATER)
    broken = TrainingDays(root, [LATER], Issues())
    broken.root = tmp_path
    with pytest.raises(ValueError, match="case1_day0/scans/.*png: is gone"):
        broken.with_prior(scan)
    broken.issues = Issues(collect=True)
    broken._read = _fails
    assert broken.with_prior(scan) is scan
    assert broken.issues.rows == [(LATER, "is predicted without its earlier day: no memory")]


def _fails(_):
    raise ValueError("no memory")


def test_visits_are_counted_within_a_patient():
    found = visits_of(["case2_day10", "case2_day9", "case10_day3", "case2_day30"])
    assert found == {
        "case2_day10": "later days",
        "case2_day9": "first days",
        "case10_day3": "first days",
        "case2_day30": "later days",
    }
