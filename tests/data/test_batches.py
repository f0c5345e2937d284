import numpy as np
import pytest
import torch

from gutseg.data.augment import Augmenter
from gutseg.data.batches import Whole, loader
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.maps import Maps
from gutseg.data.sampler import Batch, BatchSampler
from gutseg.data.sources.competition import Competition

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


def test_which_planes_show_an_object(samples):
    found = samples.source.shows_object(samples.rows)
    assert found.sum() == samples.rows[["large_bowel", "small_bowel", "stomach"]].any(axis=1).sum()
