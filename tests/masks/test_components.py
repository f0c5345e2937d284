"""Components from runs against scipy's labels of voxels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gutseg.masks.bit_rows import BitRows
from gutseg.masks.components import Components, drop_small

SIDES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.sampled_from([1, 5, 63, 64, 65, 130]))
DENSITIES = st.sampled_from([0.0, 0.02, 0.1, 0.25, 0.5, 0.9, 1.0])


def _mask(shape: tuple[int, int, int], density: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


def _words(mask: np.ndarray) -> np.ndarray:
    return BitRows.from_arrays(mask[None]).words[0]


@settings(max_examples=300, deadline=None)
@given(shape=SIDES, density=DENSITIES, seed=st.integers(0, 10_000))
def test_sizes_and_what_is_left_are_those_of_scipy(shape, density, seed):
    mask = _mask(shape, density, seed)
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    voxels = np.bincount(labels.ravel())
    sizes = np.sort(voxels[1:])
    found = Components.of(_words(mask))
    by_voxel = np.repeat(found.voxels, found.stop - found.start)
    np.testing.assert_array_equal(by_voxel, voxels[labels][mask])
    for smallest in {2, 3, *sizes.tolist(), *(sizes + 1).tolist()}:
        kept = found.without_small(_words(mask), smallest)
        expected = mask & (voxels[labels] >= smallest)
        np.testing.assert_array_equal(kept, _words(expected))
        np.testing.assert_array_equal(drop_small(mask, smallest - 0.5), expected)


@pytest.mark.parametrize("step", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1), (1, -1, 1)])
@pytest.mark.parametrize("column", [62, 63, 64])
def test_corners_touch_and_gaps_part(step, column):
    mask = np.zeros((3, 3, 130), bool)
    near = tuple(np.add((1, 1, column), step))
    mask[1, 1, column] = mask[near] = True
    assert Components.of(_words(mask)).voxels.max() == 2
    mask[near] = False
    mask[near[0], near[1], column + 2] = True
    assert Components.of(_words(mask)).voxels.max() == 1


def test_the_mask_itself_is_left_alone():
    words = _words(_mask((3, 8, 70), 0.2, 0))
    before = words.copy()
    Components.of(words).without_small(words, 4)
    np.testing.assert_array_equal(words, before)
