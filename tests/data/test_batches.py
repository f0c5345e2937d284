import numpy as np
import pytest
import torch

from gutseg.data.augment import Augmenter
from gutseg.data.batches import Crops, Whole, loader
from gutseg.data.inputs import Crop, Geometry, Inputs, Scaling, Stack
from gutseg.data.maps import Maps
from gutseg.data.sampler import Batch, BatchSampler
from gutseg.data.sources.competition import Competition
from gutseg.data.sources.pictures import Picture, Pictures
from gutseg.losses import Criterion

INPUTS = Inputs(Stack(slices=3), Scaling(kind="scan"), Geometry(kind="pad", size=(48, 64)))


@pytest.fixture
def samples(cache):
    opened = Competition(cache, INPUTS)
    return Whole(opened, opened.index, Augmenter("none"))


def test_a_batch_mixes_scans_of_all_sizes(samples):
    rows = samples.rows.reset_index()
    positions = np.array([rows.index[rows["scan"] == s][2] for s in ("case1_day0", "case5_day0")])
    batch = samples[Batch(positions, 0)]
    assert batch["images"].shape == (2, 3, 48, 64) and batch["images"].dtype == torch.float32
    assert batch["target"].shape == (2, 3, 48, 64)
    assert batch["ids"] == ["case1_day0_slice_0003", "case5_day0_slice_0003"]
    for number, scan in enumerate(map(samples.source.scan, ("case1_day0", "case5_day0"))):
        top, left = (48 - scan.shape[1]) // 2, (64 - scan.shape[2]) // 2
        inside = (slice(top, top + scan.shape[1]), slice(left, left + scan.shape[2]))
        expected = scan.image[1:4] / scan.image.max()
        np.testing.assert_allclose(batch["images"][number][:, *inside], expected, rtol=1e-5)
        organ = batch["target"][number][:, *inside].numpy()
        np.testing.assert_array_equal(organ[1], scan.mask[2] >> 1 & 1)
        assert batch["target"][number].sum() == sum((scan.mask[2] >> c & 1).sum() for c in range(3))


def test_maps_are_drawn_from_the_labels_after_augmentation(samples):
    shifted = Augmenter("mild", shift=0.2)
    source = Whole(samples.source, samples.rows, shifted, Maps(["signed", "border"]))
    batch = source[Batch(np.arange(3), 7)]
    inside = batch["target"] > 0
    assert (batch["maps"]["signed"][inside] <= 0).all()
    assert (batch["maps"]["signed"][~inside] >= 0).all()
    assert batch["maps"]["border"].shape == (3, 1, 48, 64)


def test_class_shares_are_pixels_of_the_rows_alone(samples):
    rows = samples.rows[samples.rows["scan"] == "case2_day0"].iloc[2:5]
    mask = samples.source.scan("case2_day0").mask[rows["z"].to_numpy()]
    expected = [(mask >> bit & 1).mean() for bit in range(3)]
    assert samples.source.class_shares(rows) == pytest.approx(expected)


def test_masks_spread_overlapping_classes_and_class_numbers(samples):
    source = samples.source
    planes = source.masks(np.array([[[0, 1, 6, 7]]], np.uint8))
    assert planes[0, :, 0].T.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]]
    soft = np.full((1, 3, 2, 2), 0.25, np.float32)
    assert source.masks(soft) is soft and source.target(soft) is soft


def test_workers_change_nothing(samples):
    source = Whole(samples.source, samples.rows, Augmenter("mild"))
    sampler = BatchSampler(source.source.shows_object(source.rows), 5, seed=3)
    alone = list(loader(source, sampler, workers=0, pin=False))
    helped = list(loader(source, sampler, workers=2, pin=False))
    assert len(alone) == len(helped) == 10
    for one, two in zip(alone, helped, strict=True):
        assert one["ids"] == two["ids"]
        assert torch.equal(one["images"], two["images"])
        assert torch.equal(one["target"], two["target"])


def test_batches_draw_no_random_numbers_of_the_training(samples):
    """Whether workers start anew, as after a resume, must not change what dropout draws."""
    sampler = BatchSampler(samples.source.shows_object(samples.rows), 5, seed=3)
    before = torch.get_rng_state()
    next(iter(loader(samples, sampler, workers=0, pin=False)))
    assert torch.equal(torch.get_rng_state(), before)


def test_which_planes_show_an_object(samples):
    found = samples.source.shows_object(samples.rows)
    assert found.sum() == samples.rows[["large_bowel", "small_bowel", "stomach"]].any(axis=1).sum()


def _picture(labels, ignore=None):
    image = np.random.default_rng(0).random((3, 40, 40)).astype(np.float32)
    return Picture("a", "a", image, labels, ignore)


NATIVE = Inputs(Stack(), Scaling(), Geometry(kind="native"))
CROP = Crop(size=(24, 24))


@pytest.mark.parametrize("name", ["none", "mild"])
def test_ignored_pixels_move_with_the_labels(name):
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[:, 5:25, 10:30] = 1
    data = Pictures([_picture(labels, labels == 1)], NATIVE, ("a", "b"), "multiclass")
    whole = Whole(data, data.index, Augmenter(name))[Batch(np.array([0, 0]), 5)]
    crops = Crops(data, data.index, CROP, 3, seed=0, fold=0, augment=Augmenter(name))[7]
    for batch in (whole, crops):
        assert batch["target"].dtype == torch.int64 and batch["target"].any()
        assert torch.equal(batch["ignore"], batch["target"] == 1)


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
@pytest.mark.parametrize("name", ["none", "flips"])
def test_soft_labels_reach_the_target(mode, name):
    """Channel 0 is 0.25 left and 0.5 right; flips keep both."""
    soft = np.full((1, 2, 40, 40), 0.25, np.float32)
    soft[..., 20:] = 0.5
    soft[:, 1] = 1 - soft[:, 0]
    data = Pictures([_picture(soft)], NATIVE, ("a", "b"), mode)
    whole = Whole(data, data.index, Augmenter(name))[Batch(np.array([0, 0]), 5)]
    crops = Crops(data, data.index, CROP, 8, seed=0, fold=0, augment=Augmenter(name))[7]
    for batch in (whole, crops):
        target = batch["target"]
        assert target.shape[1] == 2 and set(target[:, 0].unique().tolist()) == {0.25, 0.5}
        assert torch.equal(target[:, 1], 1 - target[:, 0])
        total, _ = Criterion("dice", mode=mode)(torch.zeros_like(target), target)
        assert 0 < total < 1
    assert data.class_shares(data.index) == [0.5, 1.0]


def test_crops_are_cut_where_the_image_is(samples):
    """Every crop of the first channel lies somewhere in its image, turned or mirrored."""
    image = np.arange(3 * 40 * 40, dtype=np.float32).reshape(3, 40, 40)
    data = Pictures(
        [Picture("a", "a", image, np.zeros((1, 40, 40), np.uint8))], NATIVE, ("x",), "multilabel"
    )
    plain = Crop(size=(24, 24), flips=False, quarter_turns=False)
    for crop in Crops(data, data.index, plain, 6, seed=1, fold=0)[2]["images"]:
        top, left = divmod(int(crop[0, 0, 0]), 40)
        inside = torch.from_numpy(image)[:, top : top + 24, left : left + 24]
        assert torch.equal(crop, inside)
    turned = Crops(data, data.index, CROP, 40, seed=1, fold=0)[2]["images"]
    steps = {
        (float(plane[0, 1] - plane[0, 0]), float(plane[1, 0] - plane[0, 0]))
        for plane in turned[:, 0]
    }
    assert len(steps) == 8
