"""Boxes of slices against NumPy."""

import numpy as np
import pytest

from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.slice_boxes import survey


def _plain(mask: np.ndarray) -> list[int]:
    """First and last row, first and last column of a (..., H, W) mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (-1, -2))
    return [rows[0], rows[-1], columns[0], columns[-1]]


def _check(mask: np.ndarray) -> None:
    packed = BitRows.from_arrays(mask[None]).words[0]
    boxes = np.empty((len(mask) + 1, 4), np.int64)
    assert survey(packed.reshape(len(mask), -1), packed.shape[2], boxes) == mask.any()
    for plane, box in zip([*mask, mask.any(axis=0)], boxes, strict=True):
        if plane.any():
            assert box.tolist() == _plain(plane)
        else:
            assert box[[1, 3]].tolist() == [-1, -1] and min(box[[0, 2]]) > 10**6


@pytest.mark.parametrize("seed", range(60))
def test_boxes_are_those_of_the_set_voxels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers((1, 1, 1), (5, 300, 250))
    mask = np.zeros(shape, bool)
    for _ in range(rng.integers(0, 6)):
        mask[tuple(rng.integers(0, shape))] = True
    _check(mask)


@pytest.mark.parametrize("height", [127, 128, 129, 256, 300])
@pytest.mark.parametrize("width", [1, 64, 65])
def test_empty_rows_are_passed_over_128_words_a_step(height: int, width: int) -> None:
    for row in {0, 1, 63, 64, 126, 127, 128, 129, height - 1} & set(range(height)):
        mask = np.zeros((2, height, width), bool)
        mask[1, row, -1] = True
        _check(mask)
