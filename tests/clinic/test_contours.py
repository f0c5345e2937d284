"""Outlines of masks, filled again by a definition that `fill` shares no code with."""

import numpy as np
import pytest

from gutseg.clinic.contours import fill, outlines


def _windings(polygon, size):
    """How often a polygon goes round each pixel's centre: the sum of the angles it is seen at."""
    centres = np.stack(np.mgrid[: size[0], : size[1]], axis=-1).reshape(-1, 1, 2)
    row, column = np.moveaxis(polygon - centres, -1, 0)  # (pixels, corners)
    to_row, to_column = np.roll(row, -1, axis=1), np.roll(column, -1, axis=1)
    angle = np.arctan2(column * to_row - row * to_column, row * to_row + column * to_column)
    turns = angle.sum(axis=1) / (2 * np.pi)
    assert np.abs(turns - turns.round()).max() < 1e-6
    return turns.round().astype(int).reshape(size)


def _check(mask):
    """Each way to fill gives the mask; a contour lies at halves, and turns at each corner."""
    contours = outlines(mask)
    alone = [_windings(contour, mask.shape) for contour in contours]
    # by winding: one turn around each pixel inside, none around others, so one by one as well
    assert all(set(np.unique(one)) <= {0, 1} for one in alone)
    assert np.array_equal(sum(alone, np.zeros(mask.shape, int)), mask.astype(int))
    # by parity
    assert np.array_equal(fill(contours, mask.shape), mask)
    for contour, one in zip(contours, alone, strict=True):
        assert np.array_equal(fill([contour], mask.shape), one == 1)
        assert (contour % 1 == 0.5).all() and len(contour) >= 4
        moves = np.sign(np.roll(contour, -1, axis=0) - contour)
        assert ((moves == 0).sum(axis=1) == 1).all()  # along a row or a column
        assert not (moves == np.roll(moves, 1, axis=0)).all(axis=1).any()


def test_corners_by_hand():
    """Two pixels in a row: four corners, clockwise from the upper left, though six are passed."""
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True
    (contour,) = outlines(mask)
    assert contour.tolist() == [[0.5, 0.5], [0.5, 2.5], [1.5, 2.5], [1.5, 0.5]]


def test_a_hole_is_reached_by_a_channel_of_no_width():
    """A ring is one contour: down the channel, round the hole the other way, up the channel."""
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    (contour,) = outlines(ring)
    # around the ring from its upper left corner, with the way down, round and up after one pixel
    assert contour.tolist() == [
        *([-0.5, -0.5], [-0.5, 0.5]),
        *([1.5, 0.5], [1.5, 1.5], [0.5, 1.5], [0.5, 0.5]),
        *([-0.5, 0.5], [-0.5, 2.5], [2.5, 2.5], [2.5, -0.5]),
    ]


def test_pixels_that_share_a_corner_are_two_contours():
    assert len(outlines(np.eye(3, dtype=bool))) == 3


RING = np.pad([[False]], 1, constant_values=True)
MASKS = {
    "nothing": np.zeros((4, 5), bool),
    "everything": np.ones((4, 5), bool),
    "one pixel": np.ones((1, 1), bool),
    "chessboard": np.indices((9, 8)).sum(axis=0) % 2 == 0,
    "holes in a column": np.tile(RING, (4, 1)),
    "holes in a field": np.tile(RING, (3, 3)),
    "holes that touch at corners": ~np.pad(np.eye(4, dtype=bool), 2),
}
DEPTHS = np.minimum(np.arange(15), np.arange(15)[::-1])
MASKS["rings in rings"] = np.minimum.outer(DEPTHS, DEPTHS) % 2 == 0


@pytest.mark.parametrize("name", MASKS)
def test_shapes_that_are_hard_to_follow(name):
    _check(MASKS[name])


def test_random_masks():
    random = np.random.default_rng(0)
    for _ in range(150):
        _check(random.random(random.integers(1, 13, 2)) < random.random())


def test_fill_takes_polygons_of_others():
    """A triangle with a slanted edge through centres, which count on the upper left side alone."""
    triangle = np.array([[0.0, 0.0], [0.0, 3.5], [3.5, 0.0]])
    inside = [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0] * 5]
    assert fill([triangle], (5, 5)).astype(int).tolist() == inside
    assert fill([triangle * 100 - 50], (5, 5)).all()  # what lies beyond the picture is cut off
