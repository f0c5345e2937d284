"""The witness of the Hausdorff distance, against every pair of voxels."""

import numpy as np
import pytest

from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.hausdorff_distance import symmetric
from gutseg.metrics.witness import Witness, farthest_plane, witness

MM = (3.0, 1.5, 1.5)


def _every_pair(first, second, spacing):
    """Transcribed from the definition: all distances, then the first of the largest."""
    found = []
    for source, target, in_first in ((first, second, True), (second, first, False)):
        for voxel in np.argwhere(source):
            others = np.argwhere(target)
            away = np.sqrt((((others - voxel) * spacing) ** 2).sum(axis=1)).round(9)
            nearest = tuple(others[np.flatnonzero(away == away.min())[0]].tolist())
            found.append((-away.min(), tuple(voxel.tolist()), nearest, in_first))
    away, voxel, nearest, in_first = min(found)
    return Witness(-away, voxel, nearest, in_first)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_first_of_the_farthest(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, 4, 6, 70)) < rng.choice([0.004, 0.05, 0.5])
    spacing = MM if seed % 2 else (1.0, 1.0, 1.0)
    found, expected = witness(first, second, spacing=spacing), _every_pair(first, second, spacing)
    assert found[1:] == expected[1:]
    assert found.distance == pytest.approx(expected.distance)
    assert found.distance == pytest.approx(symmetric(first, second, spacing=spacing))


@pytest.mark.parametrize("seed", range(24))
def test_the_first_plane_of_the_farthest_voxels(seed):
    rng, axis = np.random.default_rng(seed), seed % 3
    first, second = rng.random((2, 4, 6, 9)) < rng.choice([0.01, 0.05, 0.5])
    first[0, 0, 0] = second[3, 5, 8] = True
    spacing = MM if seed % 2 else (1.0, 1.0, 1.0)
    distance, plane = farthest_plane(first, second, axis, spacing=spacing)
    assert distance == pytest.approx(symmetric(first, second, spacing=spacing))
    places = []
    for source, target in ((first, second), (second, first)):
        others = np.argwhere(target)
        for voxel in np.argwhere(source):
            away = np.sqrt((((others - voxel) * spacing) ** 2).sum(axis=1).min())
            places += [voxel[axis]] if away > distance - 1e-9 else []
    assert plane == min(places)


def test_the_plane_of_a_mask_that_is_missed_shows_most_of_it():
    mask = np.zeros((3, 4, 5), bool)
    mask[1, :3, 2] = mask[2, 1, 1:5] = True
    assert farthest_plane(mask, mask, 0) is None
    assert farthest_plane(mask & False, mask & False, 0) is None
    for axis, plane in ((0, 2), (1, 1), (2, 2)):
        assert farthest_plane(mask, mask & False, axis) == (np.inf, plane)
        assert farthest_plane(mask & False, mask, axis) == (np.inf, plane)


def test_by_hand():
    first, second = np.zeros((2, 3, 5, 8), bool)
    first[1, 2, 2:5] = second[1, 2, 2:5] = True
    second[1, 2, 7] = True
    # 7 - 4 columns of 1.5 mm; only the second mask has a voxel outside the other
    assert witness(first, second, spacing=MM) == Witness(4.5, (1, 2, 7), (1, 2, 4), False)
    first[2, 4, 4] = first[0, 0, 4] = True
    second[1, 2, 5:] = False
    # one slice and two rows away, twice: the first in the order of slices
    found = witness(first, second, spacing=MM)
    assert found[1:] == ((0, 0, 4), (1, 2, 4), True)
    assert found.distance == pytest.approx(np.hypot(3, 3))


def test_packed_masks_and_holes():
    """A voxel of a ring's hole is not on the edge of the body that fills it, and still farthest."""
    body = np.zeros((7, 9, 70), bool)
    body[1:6, 1:8, 10:69] = True
    ring = body.copy()
    ring[2:5, 2:7, 12:67] = False
    packed = [BitRows.from_arrays(mask[None]).words[0] for mask in (body, ring)]
    found = witness(*packed)
    assert found == witness(body, ring) and found.in_first
    assert (found.distance, found.voxel, found.nearest) == (2.0, (3, 3, 13), (1, 3, 13))


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_nothing_to_name(first, second):
    masks = [np.full((2, 3, 4), value, bool) for value in (first, second)]
    assert witness(*masks) is None
