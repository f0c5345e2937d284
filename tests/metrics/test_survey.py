"""Boxes of slices against NumPy."""

import numpy as np
import pytest

from gutseg.metrics.bitrows import BitRows
from gutseg.metrics.survey import survey


def _plain(mask: np.ndarray) -> list[int]:
    """First and last row, first and last column of a (..., H, W) mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (-1, -2))
    return [rows[0], rows[-1], columns[0], columns[-1]]


@pytest.mark.parametrize("seed", range(60))
def test_boxes_are_those_of_the_set_voxels(seed: int) -> None:
    """Up to 300 rows of 4 words: empty rows are passed over 128 words a step."""
    rng = np.random.default_rng(seed)
    depth, height, width = rng.integers((1, 1, 1), (5, 300, 250))
    mask = np.zeros((depth, height, width), bool)
    for _ in range(rng.integers(0, 6)):
        mask[tuple(rng.integers(0, (depth, height, width)))] = True
    packed = BitRows.from_arrays(mask[None]).words[0]
    boxes = np.empty((depth + 1, 4), np.int64)
    assert survey(packed.reshape(depth, -1), packed.shape[2], boxes) == mask.any()
    for plane, box in zip([*mask, mask.any(axis=0)], boxes, strict=True):
        if plane.any():
            assert box.tolist() == _plain(plane)
        else:
            assert box[[1, 3]].tolist() == [-1, -1] and min(box[[0, 2]]) > 10**6
