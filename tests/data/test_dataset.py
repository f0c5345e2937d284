import numpy as np
import pytest
import torch

from gutseg.data.augment import Augmenter
from gutseg.data.cache import Cache
from gutseg.data.dataset import Samples, loader, unpack
from gutseg.data.geometry import Geometry
from gutseg.data.inputs import Inputs
from gutseg.data.maps import Maps
from gutseg.data.sampler import Batch, BatchSampler
from gutseg.data.scaling import Scaling
from gutseg.data.stack import Stack

INPUTS = Inputs(Stack(slices=3), Scaling(kind="scan"), Geometry(kind="pad", size=(48, 64)))


@pytest.fixture
def samples(cache):
    opened = Cache(cache)
    return Samples(opened, opened.index, INPUTS, Augmenter("none"))


def test_a_batch_mixes_scans_of_all_sizes(samples):
    rows = samples.rows.reset_index()
    positions = np.array([rows.index[rows["scan"] == s][2] for s in ("case1_day0", "case5_day0")])
    batch = samples[Batch(positions, 0)]
    assert batch["images"].shape == (2, 3, 48, 64) and batch["images"].dtype == torch.float32
    assert batch["target"].shape == (2, 3, 48, 64)
    assert batch["ids"] == ["case1_day0_slice_0003", "case5_day0_slice_0003"]
    for number, scan in enumerate(map(samples.cache.scan, ("case1_day0", "case5_day0"))):
        top, left = (48 - scan.shape[1]) // 2, (64 - scan.shape[2]) // 2
        inside = (slice(top, top + scan.shape[1]), slice(left, left + scan.shape[2]))
        expected = scan.image[1:4] / scan.image.max()
        np.testing.assert_allclose(batch["images"][number][:, *inside], expected, rtol=1e-5)
        organ = batch["target"][number][:, *inside].numpy()
        np.testing.assert_array_equal(organ[1], scan.mask[2] >> 1 & 1)
        assert batch["target"][number].sum() == sum((scan.mask[2] >> c & 1).sum() for c in range(3))


def test_maps_are_drawn_from_the_labels_after_augmentation(samples):
    shifted = Augmenter("mild", shift=0.2)
    source = Samples(samples.cache, samples.rows, INPUTS, shifted, Maps(["signed", "border"]))
    batch = source[Batch(np.arange(3), 7)]
    inside = batch["target"] > 0
    assert (batch["maps"]["signed"][inside] <= 0).all()
    assert (batch["maps"]["signed"][~inside] >= 0).all()
    assert batch["maps"]["border"].shape == (3, 1, 48, 64)


def test_class_shares_are_pixels_of_the_rows_alone(samples):
    rows = samples.rows[samples.rows["scan"] == "case2_day0"].iloc[2:5]
    mask = samples.cache.scan("case2_day0").mask[rows["z"].to_numpy()]
    expected = [(mask >> bit & 1).mean() for bit in range(3)]
    assert samples.cache.class_shares(rows) == pytest.approx(expected)


def test_unpack_spreads_overlapping_classes():
    planes = unpack(np.array([[[0, 1, 6, 7]]], np.uint8))
    assert planes[0, :, 0].T.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]]


def test_workers_change_nothing(samples):
    source = Samples(samples.cache, samples.rows, INPUTS, Augmenter("mild"))
    sampler = BatchSampler(source.has_label, 5, seed=3)
    alone = list(loader(source, sampler, workers=0, pin=False))
    helped = list(loader(source, sampler, workers=2, pin=False))
    assert len(alone) == len(helped) == 10
    for one, two in zip(alone, helped, strict=True):
        assert one["ids"] == two["ids"]
        assert torch.equal(one["images"], two["images"])
        assert torch.equal(one["target"], two["target"])


def test_has_label(samples):
    assert (
        samples.has_label.sum()
        == (samples.rows[["large_bowel", "small_bowel", "stomach"]]).any(axis=1).sum()
    )
    assert 0 < samples.has_label.sum() < len(samples.rows) or samples.has_label.all()
