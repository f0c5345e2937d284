"""Compiled first look at a bit-row mask: the box of every slice."""

import numpy as np

from gutseg.masks.intrinsics import kernel, leading_zeros, trailing_zeros

_ZERO = np.uint64(0)
_NOWHERE = 1 << 40


@kernel
def survey(words, row_words, boxes):
    """Find the box that each slice occupies: first and last row, first and last column.

    words: (Z, H * W64) uint64. boxes: (Z + 1, 4) int64, its last row for the whole volume;
    last row and column -1 where nothing is set. Returns whether anything is.
    """
    depth = words.shape[0]
    columns = np.empty(8 * row_words, np.uint64)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = _NOWHERE, -1, _NOWHERE, -1
    for z in range(depth):
        part = words[z]
        if not _any_set(part):
            continue
        first, last = _ends(part)
        boxes[z, 0], boxes[z, 1] = first // row_words, last // row_words
        _gather_columns(part[boxes[z, 0] * row_words : (boxes[z, 1] + 1) * row_words], columns)
        for i in range(columns.size):
            if columns[i]:
                start = 64 * (i % row_words)
                boxes[z, 2] = min(boxes[z, 2], start + trailing_zeros(columns[i]))
                boxes[z, 3] = max(boxes[z, 3], start + 63 - leading_zeros(columns[i]))
        for side in range(0, 4, 2):
            boxes[depth, side] = min(boxes[depth, side], boxes[z, side])
            boxes[depth, side + 1] = max(boxes[depth, side + 1], boxes[z, side + 1])
    return boxes[depth, 1] >= 0


@kernel
def _any_set(part):
    together = _ZERO
    for i in range(part.size):
        together |= part[i]
    return together != _ZERO


@kernel
def _ends(part):
    """Index of the first and of the last non-zero word; there is one. 128 words a step."""
    first, stop = 0, part.size
    while first + 128 <= stop and not _any_set(part[first : first + 128]):
        first += 128
    while stop >= 128 and not _any_set(part[stop - 128 : stop]):
        stop -= 128
    while not part[first]:
        first += 1
    while not part[stop - 1]:
        stop -= 1
    return first, stop - 1


@kernel
def _gather_columns(rows, columns):
    """OR whole rows into as many words as eight rows have, so that the loop fills a vector."""
    columns[:] = _ZERO
    for start in range(0, rows.size, columns.size):
        part = rows[start : start + columns.size]
        for i in range(part.size):
            columns[i] |= part[i]
