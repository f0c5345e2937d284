"""Holes and bites, drawn so that every pixel can be counted."""

import numpy as np

from gutseg.masks.gaps import add_hulls, fill_holes

RING = """
.........
.#####...
.#...#...
.#...#.##
.#####.#.
.......##
"""
STEPS = """
......
.#..#.
.####.
.#....
......
"""


def plane(text):
    rows = text.strip().splitlines()
    return np.array([[pixel == "#" for pixel in row] for row in rows], np.uint8)[None]


def test_holes_are_filled_up_to_their_size_and_bays_stay_open():
    ring = plane(RING)
    assert fill_holes(ring, 5).tolist() == ring.tolist()
    full = fill_holes(ring, 6)
    assert full.sum() == ring.sum() + 6 and full[0, 2:4, 2:5].all()  # not the bay at the border
    ring[0, 2, 5] = 0  # the ring is open
    assert fill_holes(ring, 99).tolist() == ring.tolist()
    ring[0, 2, 6] = 1  # corners close it, sides would not: its hole and the gap are 7 pixels
    assert fill_holes(ring, 6).tolist() == ring.tolist()
    assert fill_holes(ring, 7).sum() == ring.sum() + 7


def test_what_lies_in_a_hole_stays_and_planes_are_apart():
    ring, island = plane(RING), plane(RING)
    island[0, 2, 3] = 1
    both = np.concatenate([ring, island])
    found = fill_holes(both, 5)
    assert found[0].tolist() == ring[0].tolist() and found[1].sum() == ring.sum() + 6
    assert both.sum() == 2 * ring.sum() + 1  # the argument is as it was


def test_a_hull_is_added_where_it_adds_little():
    """The corners of the seven pixels are (1, 1), (1, 4), (2, 4) and (3, 1): two more are inside.

    The edge from (2, 4) to (3, 1) passes over (3, 2) and (3, 3).
    """
    steps = plane(STEPS)
    assert add_hulls(steps, 2 / 7 - 0.001).tolist() == steps.tolist()
    added = np.argwhere(add_hulls(steps, 2 / 7 + 0.001) != steps)
    assert added.tolist() == [[0, 1, 2], [0, 1, 3]]


def test_components_have_hulls_of_their_own_and_a_hull_has_none():
    two = np.zeros((1, 20, 30), np.uint8)
    two[0, 2:9, 2:9] = two[0, 2:9, 20:27] = 1
    two[0, 4, 8] = two[0, 5, 2] = 0  # one pixel out of either side of the left one
    found = add_hulls(two, 1.0)
    assert found.sum() == 2 * 49 and not found[0, :, 9:20].any()
    assert add_hulls(found, 1.0).tolist() == found.tolist()
    assert add_hulls(np.zeros((2, 4, 4), np.uint8), 1.0).sum() == 0
