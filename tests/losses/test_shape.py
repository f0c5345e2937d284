"""Losses of outlines, pieces and skeletons on shapes that are known, and the maps they take."""

import numpy as np
import pytest
import reference_shape
import torch
from loss_cases import loss_of
from reference_maps import thin
from reference_pixel import Case
from scipy import ndimage

from gutseg.data.maps import pieces, skeleton
from gutseg.data.thinning import thinned


def _discs(*radii: int, size: int = 48) -> np.ndarray:
    """(1, C, H, W) a disc a class, at the middle."""
    y, x = np.mgrid[:size, :size] - size // 2
    return np.stack([np.hypot(y, x) <= radius for radius in radii])[None].astype(float)


@pytest.mark.parametrize("largest", [0.8, 0.5, 0.0])
def test_a_large_class_has_more_of_its_edge_in_the_difference_over_union(largest):
    """α of these discs: 0, .44 and .72."""
    target = _discs(2, 8, 20)
    logits = torch.from_numpy(np.random.default_rng(3).standard_normal(target.shape))
    seen = np.ones((1, 3), bool), np.ones((1, 48, 48), bool)
    case = Case(logits.numpy(), target, seen[1], seen[0])
    expected = reference_shape.boundary_dou(case, largest=largest)
    found = loss_of("boundary_dou", logits, torch.from_numpy(target), largest=largest)
    assert found.item() == pytest.approx(expected)
    plain = loss_of("boundary_dou", logits, torch.from_numpy(target), largest=0.0).item()
    assert (found.item() > plain + 0.01) == (largest > 0)


def test_a_missed_small_piece_costs_as_much_as_a_missed_large_one():
    """Of two pieces of 4 and 64 pixels one is missed: the Dice of the image tells them apart."""
    target = torch.zeros(1, 1, 20, 20)
    target[..., 2:4, 2:4] = target[..., 10:18, 10:18] = 1
    losses = {}
    for missed in (np.s_[..., 2:4, 2:4], np.s_[..., 10:18, 10:18]):
        logits = 20 * (2 * target - 1)
        logits[missed] = -20
        for name in ("cc_dice_ce", "blob_dice"):
            params = {"cc_dice_ce": {"ce_weight": 0.0}, "blob_dice": {"whole": 0.0}}[name]
            losses.setdefault(name, []).append(loss_of(name, logits, target, **params).item())
        losses.setdefault("dice", []).append(loss_of("dice", logits, target).item())
    assert losses["cc_dice_ce"] == pytest.approx([0.5, 0.5], abs=1e-5)
    assert losses["blob_dice"] == pytest.approx([0.5, 0.5], abs=1e-5)
    assert losses["dice"] == pytest.approx([1 - 128 / 132, 1 - 8 / 72], abs=1e-5)


def test_a_gap_in_a_line_costs_more_than_a_pixel_at_its_side():
    """A line three pixels wide: without one of its centre, or with one at the edge of the image."""
    target = torch.zeros(1, 1, 15, 31)
    target[..., 6:9, :] = 1
    gap, side = (20 * (2 * target - 1) for _ in range(2))
    gap[..., 7, 15], side[..., 0, 15] = -20, 20
    dice = [loss_of("dice", logits, target).item() for logits in (gap, side)]
    assert dice[0] == pytest.approx(dice[1], rel=0.02)
    recall = [loss_of("skeleton_recall", logits, target).item() for logits in (gap, side)]
    assert recall[0] > 0.01 and recall[1] == pytest.approx(0, abs=1e-6)
    centre = [loss_of("cl_dice", logits, target, share=1.0).item() for logits in (gap, side)]
    assert centre[0] > 0.001 and centre[1] > 0.001


def test_a_speck_costs_as_much_as_its_neighbourhood():
    """One wrong pixel far outside: nine have its logit, 8 of 9 · 2 fewer than without."""
    target = torch.zeros(1, 1, 9, 9)
    target[..., :2, :] = 1
    logits = 20 * (2 * target - 1)
    logits[..., 6, 4] = 20
    terms = {"loss": "bce"}
    plain = loss_of("bce", logits, target).item()
    assert plain == pytest.approx(20 / 81, rel=1e-6)
    assert loss_of("worst_neighbours", logits, target, **terms).item() == pytest.approx(9 * plain)
    wide = loss_of("worst_neighbours", logits, target, reach=2, **terms)
    assert wide.item() == pytest.approx(25 * plain)


def test_no_gradient_reaches_the_pixels_that_others_outdo():
    target = torch.zeros(1, 1, 5, 5)
    logits = torch.arange(25.0).reshape(1, 1, 5, 5).requires_grad_()
    loss_of("worst_neighbours", logits, target, loss="bce").backward()
    # the largest of a window is its lower right corner
    assert (logits.grad[0, 0, 1:, 1:] > 0).all()
    assert (logits.grad[0, 0, 0] == 0).all() and (logits.grad[0, 0, :, 0] == 0).all()


def test_every_pixel_belongs_to_the_piece_it_is_nearest_to():
    mask = np.zeros((1, 5, 9))
    mask[0, 1:4, 0:2] = mask[0, 2, 7] = 1
    found = pieces(mask)[0]
    # distances from column 4: 3 to both; ties may go either way
    assert (found[:, :4] == 1).all() and (found[2, 5:] == 2).all()
    assert not pieces(np.zeros((2, 4, 4))).any() and (pieces(np.ones((1, 4, 4))) == 1).all()


SHAPES = {
    "bar": np.pad(np.ones((5, 21), bool), 3),
    "cross": np.pad(np.kron([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.ones((5, 5))) > 0, 2),
    "ring": (lambda r: (r > 5) & (r < 10))(np.hypot(*(np.mgrid[:25, :25] - 12))),
    "at the edge": np.ones((4, 9), bool),
    "square": np.pad(np.ones((2, 2), bool), 2),
    "blobs": ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((40, 50)), 2) > 0,
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_skeleton_is_thin_and_hangs_together_as_its_mask_does(name):
    mask = SHAPES[name]
    found = thinned(mask)
    assert (found == thin(mask)).all()
    assert not (found & ~mask).any()
    eight = np.ones((3, 3))
    assert ndimage.label(found, eight)[1] == ndimage.label(mask, eight)[1]
    holes = [ndimage.label(~np.pad(plane, 1))[1] for plane in (found, mask)]
    assert holes[0] == holes[1]


def test_the_skeleton_of_a_bar_is_its_middle_and_the_tube_is_around_it():
    mask = SHAPES["bar"]
    middle = thinned(mask)
    rows = np.unique(np.argwhere(middle)[:, 0])
    assert rows.tolist() == [5] and 15 <= middle.sum() <= 21
    tubes = [skeleton(mask[None], width=width)[0] for width in (0, 1, 2)]
    assert (tubes[0] == middle).all()
    assert [np.unique(np.argwhere(tube)[:, 0]).tolist() for tube in tubes[1:]] == [
        [4, 5, 6],
        [3, 4, 5, 6, 7],
    ]
    assert not (tubes[2] & ~mask).any()
