"""Random patches of volumes: a function of seed, fold and step, images and labels together."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from gutseg.data.augment import Augmenter
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.maps import Maps
from gutseg.data.patches import Patches, Patching
from gutseg.data.sources.competition import Competition
from gutseg.losses import Criterion

INPUTS = Inputs(Stack(slices=1), Scaling(kind="scan"), Geometry(kind="pad", size=(48, 64)))


@pytest.fixture
def opened(cache):
    return Competition(cache, INPUTS)


def _patches(source, patch, count=4, seed=0, fold=0, rows=None, foreground=0.33, **settings):
    patching = Patching(patch=patch, foreground=foreground)
    chosen = source.index if rows is None else rows
    return Patches(source, chosen, patching, count, seed, fold, **settings)


def _place(text):
    pattern = r"(\w+) from slice (-?\d+), row (-?\d+), column (-?\d+)"
    name, *start = re.fullmatch(pattern, text).groups()
    return name, tuple(map(int, start))


def test_a_step_is_a_function_of_seed_fold_and_step(opened):
    one, same, other = (_patches(opened, (4, 16, 24), seed=seed) for seed in (0, 0, 1))
    for step in (3, 0):
        assert torch.equal(one[step]["images"], same[step]["images"])
        assert torch.equal(one[step]["target"], same[step]["target"])
        assert one[step]["ids"] == same[step]["ids"]
    assert one[0]["ids"] != one[1]["ids"]
    assert one[0]["ids"] != other[0]["ids"]
    assert one[0]["ids"] != _patches(opened, (4, 16, 24), fold=1)[0]["ids"]


def test_a_patch_holds_what_the_scan_has_there(opened):
    batch = _patches(opened, (4, 16, 24), 12, foreground=0.5)[1]
    assert batch["images"].shape == (12, 1, 4, 16, 24) and batch["images"].dtype == torch.float32
    assert batch["target"].shape == (12, 3, 4, 16, 24) and batch["target"].dtype == torch.float32
    assert batch["maps"] == {} and "ignore" not in batch
    assert len({_place(text) for text in batch["ids"]}) == 12
    for image, target, text in zip(batch["images"], batch["target"], batch["ids"], strict=True):
        name, (z, y, x) = _place(text)
        scan, planes = opened.scan(name), np.arange(z, z + 4)
        part = (..., slice(y, y + 16), slice(x, x + 24))
        whole = INPUTS.images(scan, planes)[:, 0]
        np.testing.assert_array_equal(image[0], whole[part])
        labels = INPUTS.labels(scan, planes)[part]
        for bit in range(3):
            np.testing.assert_array_equal(target[bit], labels >> bit & 1)


def test_a_share_of_the_patches_has_an_organ_in_its_middle_every_organ_alike(opened):
    around = _patches(opened, (1, 8, 8), 60, foreground=1.0)[0]
    middle = around["target"][:, :, 0, 4, 4]  # (B, C)
    assert middle.any(dim=1).all()
    # the organs of draw() hardly overlap; of 60 patches 20 each, 4 a standard deviation
    assert (middle.sum(dim=0) > 9).all() and middle.sum() < 80
    batches = _patches(opened, (1, 8, 8), 3, foreground=0.5)
    found = [
        int(b["target"][:, :, 0, 4, 4].any(dim=1).sum())
        for b in map(batches.__getitem__, range(40))
    ]
    # 1.5 of 3 on average, and some of the others by chance
    assert 1.3 < np.mean(found) < 2.2
    none = _patches(opened, (1, 8, 8), 60, foreground=0.0)[0]["target"][:, :, 0, 4, 4]
    assert none.any(dim=1).float().mean() < 0.4


def test_a_scan_without_an_organ_and_one_that_is_lost_in_the_window_are_drawn_anywhere(opened):
    name = "case1_day0"
    rows = opened.index[opened.index["scan"] == name]
    bare = rows.assign(large_bowel=False, small_bowel=False, stomach=False)
    starts = {
        _place(t)[1] for t in _patches(opened, (1, 8, 8), 30, rows=bare, foreground=1.0)[0]["ids"]
    }
    assert len(starts) > 25
    # the window shows a corner without any organ
    opened.inputs = replace(INPUTS, geometry=Geometry(kind="body", size=(16, 16), margin=0))
    object.__setattr__(opened.scan(name), "body", (0, 6, 0, 6))
    batch = _patches(opened, (1, 8, 8), 4, rows=rows, foreground=1.0)[0]
    assert not batch["target"].any()


@pytest.mark.parametrize("edge", ["clamp", "blank"])
def test_what_lies_beyond_a_scan_has_no_loss(opened, edge):
    """8 slices in patches of 12 and 6 of 36 x 36; rows and columns beyond are black."""
    opened.inputs = replace(INPUTS, stack=Stack(slices=1, edge=edge))
    batch = _patches(opened, (12, 64, 64), 8)[0]
    deep = [_place(text)[0] == "case5_day0" for text in batch["ids"]]
    assert any(deep) and not all(deep)
    for number, thin in enumerate(deep):
        first, depth = (3, 6) if thin else (2, 8)
        assert _place(batch["ids"][number])[1] == (-first, -8, 0)
        inside = torch.zeros(12, dtype=torch.bool)
        inside[first : first + depth] = True
        assert torch.equal(batch["ignore"][number], ~inside[:, None, None].expand(12, 64, 64))
        image = batch["images"][number, 0]
        assert not image[:, :8].any() and not image[:, -8:].any() and image[inside].any()
        assert image[first - 1].equal(image[first] if edge == "clamp" else torch.zeros(64, 64))
    logits = torch.randn(8, 3, 12, 64, 64, requires_grad=True)
    loss, _ = Criterion("bce_dice")(logits, batch["target"], ignore=batch["ignore"])
    loss.backward()
    gradient = logits.grad.movedim(1, -1)
    assert not gradient[batch["ignore"]].any() and (gradient[~batch["ignore"]] != 0).all()


def test_slices_that_are_not_listed_have_no_loss(opened):
    rows = opened.index[(opened.index["scan"] == "case2_day0") & ~opened.index["z"].isin([0, 5])]
    batch = _patches(opened, (8, 16, 16), 2, rows=rows)[0]
    ignored = batch["ignore"].flatten(2).all(dim=2)
    assert ignored.tolist() == [[z in (0, 5) for z in range(8)]] * 2


@pytest.mark.parametrize("depth", [3, 8])
def test_all_slices_of_a_patch_are_moved_alike_and_labels_with_them(opened, depth):
    patch = (depth, 16, 24)
    still = _patches(opened, patch, 8)[2]
    moved = _patches(opened, patch, 8, augment=Augmenter("flips"))[2]
    flips = 0
    for number in range(8):
        # the margin that was cut off again is what a flip turns around
        same = torch.equal(moved["images"][number], still["images"][number])
        if not same:
            flips += 1
            continue
        assert torch.equal(moved["target"][number], still["target"][number])
    assert 0 < flips < 8
    for preset in ("mild", "winner1", "elastic_blur_noise"):
        # as if every scan were its labels, drawn on grey
        batch = _patches(opened, patch, 8, foreground=1.0, augment=Augmenter(preset))[2]
        assert batch["images"].shape == (8, 1, *patch) and batch["target"].shape == (8, 3, *patch)
        bright, dark = (
            batch["images"][:, 0][batch["target"].any(1) == is_organ].mean() for is_organ in (1, 0)
        )
        assert bright > dark + 0.2, preset


def test_one_field_deforms_every_slice(opened):
    """A scan whose slices are all the same: they still are, images and labels."""
    scan = opened.scan("case1_day0")
    same = [np.repeat(part[4:5], 8, axis=0) for part in (scan.image, scan.labels)]
    opened.scan = lambda _: replace(scan, image=same[0], mask=same[1])
    rows = opened.index[opened.index["scan"] == "case1_day0"]
    elastic = Augmenter("elastic_blur_noise", displacement=0.1, noise=1e-4)
    batch = _patches(opened, (6, 32, 32), 4, rows=rows, augment=elastic)[1]
    still = _patches(opened, (6, 32, 32), 4, rows=rows)[1]
    assert batch["ids"] == still["ids"] and not torch.equal(batch["target"], still["target"])
    assert torch.equal(batch["target"], batch["target"][:, :, :1].expand_as(batch["target"]))
    images = batch["images"]
    assert (images - images[:, :, :1]).abs().max() < 0.01


def test_maps_are_drawn_slice_by_slice(opened):
    batch = _patches(opened, (4, 32, 32), 3, maps=Maps(["distance", "border"]))[0]
    assert batch["maps"]["distance"].shape == (3, 3, 4, 32, 32)
    assert batch["maps"]["border"].shape == (3, 1, 4, 32, 32)
    for key in ("distance", "border"):
        expected = Maps([key])(batch["target"][:, :, 2].numpy())[key]
        np.testing.assert_array_equal(batch["maps"][key][:, :, 2], expected)
    assert batch["maps"]["distance"][:, :, 2].any()


def test_an_epoch_covers_the_scans_once(opened):
    """Five scans of 8 slices and one of 6, all 48 x 64 in the window."""
    assert _patches(opened, (4, 48, 64)).count == 5 * 2 + 2
    assert _patches(opened, (8, 20, 32)).count == 6 * (3 * 2)
