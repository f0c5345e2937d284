"""Compiled loops of BitRows: bytes to bits, counting bits, and the edge of a mask."""

import numpy as np

from gutseg.masks.intrinsics import at_least_64, has_bits_64, inlined, kernel, popcount, prefetch

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_TOP = np.uint64(63)
# the processor's own prefetching stops at every page: asking saves a sixth of a cold pass
_AHEAD = 2048


@inlined
def _rows_with_room(size, width, rows, row_words):
    """Rows whose words can all be loaded as 64 bytes; the few after them end the array."""
    if size < 64 * row_words:
        return 0
    return min(rows, (size - 64 * row_words) // width + 1)


@kernel
def pack_at_least(data, width, threshold, words):
    """Write bit (row, column) = data[row, column] >= threshold, 64 columns a step.

    data: (rows * width,) uint8. words: (rows, W64) uint64, every word is written.
    """
    rows, row_words = words.shape
    roomy = _rows_with_room(data.size, width, rows, row_words)
    keep = _ALL >> np.uint64(64 * row_words - width)
    for row in range(roomy):
        for k in range(row_words):
            start = row * width + 64 * k
            prefetch(data, start + _AHEAD)
            words[row, k] = at_least_64(data, start, threshold)
        # the last word of a row has read on into the next row
        words[row, row_words - 1] &= keep
    for row in range(roomy, rows):
        words[row] = _ZERO
        for column in range(width):
            bit = np.uint64(data[row * width + column] >= threshold)
            words[row, column >> 6] |= bit << np.uint64(column & 63)


@kernel
def pack_class_bits(data, width, words):
    """Split bytes with one bit a class: bit (c, row, column) = bit c of data[row, column].

    data: (rows * width,) uint8. words: (C, rows, W64) uint64, C <= 8, every word is written.
    """
    classes, rows, row_words = words.shape
    roomy = _rows_with_room(data.size, width, rows, row_words)
    keep = _ALL >> np.uint64(64 * row_words - width)
    for row in range(roomy):
        for c in range(classes):
            mark = np.uint8(1 << c)
            for k in range(row_words):
                words[c, row, k] = has_bits_64(data, row * width + 64 * k, mark)
            words[c, row, row_words - 1] &= keep
    for row in range(roomy, rows):
        for c in range(classes):
            words[c, row] = _ZERO
            for column in range(width):
                bit = np.uint64((data[row * width + column] >> c) & 1)
                words[c, row, column >> 6] |= bit << np.uint64(column & 63)


@kernel
def count(words, counts):
    """Count the set bits of each row of words: (N, M) uint64 into (N,) int64."""
    for row in range(words.shape[0]):
        total = np.int64(0)
        for k in range(words.shape[1]):
            total += popcount(words[row, k])
        counts[row] = total


@kernel
def count_common(first, second, counts):
    """Count the bits set in both, row by row: two (N, M) uint64 into (N,) int64."""
    for row in range(first.shape[0]):
        total = np.int64(0)
        for k in range(first.shape[1]):
            total += popcount(first[row, k] & second[row, k])
        counts[row] = total


@inlined
def _hidden(words, z, y, k, flat):
    """Bits of a word whose six neighbours are all set, four if flat; not at a border of y or z."""
    here = words[z, y, k]
    before = words[z, y, k - 1] >> _TOP if k > 0 else _ZERO
    after = words[z, y, k + 1] << _TOP if k + 1 < words.shape[2] else _ZERO
    inner = ((here << _ONE) | before) & ((here >> _ONE) | after)
    inner &= words[z, y - 1, k] & words[z, y + 1, k]
    return inner if flat else inner & words[z - 1, y, k] & words[z + 1, y, k]


@kernel
def edge(words, found, flat):
    """Keep the voxels with one of their six neighbours outside the mask or the volume.

    words, found: (Z, H, W64) uint64; padding bits of words are zero, so the last column is edge.
    flat: each slice by itself, with four neighbours.
    """
    depth, height, row_words = words.shape
    slices, cleared = words.reshape(depth, height * row_words), found.reshape(depth, -1)
    for z in range(depth):
        together = _ZERO
        for i in range(slices.shape[1]):
            together |= slices[z, i]
            cleared[z, i] = _ZERO
        if not together:
            continue
        for y in range(height):
            walled = (flat or 0 < z < depth - 1) and 0 < y < height - 1
            for k in range(row_words):
                here = words[z, y, k]
                if here:
                    found[z, y, k] = here & ~_hidden(words, z, y, k, flat) if walled else here
