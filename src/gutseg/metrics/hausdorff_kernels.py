"""Compiled search behind gutseg.metrics.hausdorff_distance: exact, on bit rows, 64 voxels a test.

Masks are flat uint64 arrays of Z * H rows of W64 words. Only voxels of the source outside the
target can be at a distance, so the search runs over those words. m2, the squared distance
found so far, decides almost all of them: a word is done when rows of the target, each widened
by the columns that m leaves at the row's distance, cover it. Only what stays uncovered is
searched exactly, and m grows. The word farthest from the target's box comes first, then coarse
strides, so that m is close to its end before the full pass (or a mask whose voxels stand
sorted by distance would grow m at every word).
"""

import math

import numpy as np

from gutseg.masks.intrinsics import inlined, kernel, leading_zeros, trailing_zeros
from gutseg.metrics.row_search import gap, nearest2, square, unpacked

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO = np.uint64(0)


@inlined
def _uncovered(bits, target, row, k, row_words, reach):
    """Clear the bits of word k within `reach` <= 63 columns of a set bit of a row.

    Three doublings reach 7 columns and are always taken: one mispredicted branch costs more.
    """
    i = np.uint64(row + k)
    here = target[i]
    before = target[i - _ONE] if k > 0 else _ZERO
    after = target[i + _ONE] if k + 1 < row_words else _ZERO
    up, down, done = here, here, 0
    for _ in range(3):
        step = min(done + 1, reach - done)
        up |= up << np.uint64(step)
        down |= down >> np.uint64(step)
        done += step
    while done < reach:
        step = min(done + 1, reach - done)
        up |= up << np.uint64(step)
        down |= down >> np.uint64(step)
        done += step
    bits &= ~(up | down)
    # of the words before and after only the nearest set bit can matter
    bits &= _ALL << np.uint64(max(0, reach - leading_zeros(before)))
    return bits & (_ALL >> np.uint64(max(0, reach - trailing_zeros(after))))


@inlined
def _uncovered_far(bits, target, row, k, row_words, reach):
    """Clear the bits of word k within any `reach` of a set bit of a row."""
    if reach <= 63:
        return _uncovered(bits, target, row, k, row_words, reach)
    if target[np.uint64(row + k)]:
        return _ZERO
    for j in range(k - 1, -1, -1):
        word = target[np.uint64(row + j)]
        if word:
            covered = reach - 64 * (k - j) + 64 - leading_zeros(word)
            if covered >= 64:
                return _ZERO
            bits &= _ALL << np.uint64(max(0, covered))
            break
    for j in range(k + 1, row_words):
        word = target[np.uint64(row + j)]
        if word:
            covered = reach - 64 * (j - k) + 64 - trailing_zeros(word)
            if covered >= 64:
                return _ZERO
            return bits & (_ALL >> np.uint64(max(0, covered)))
    return bits


@inlined
def _reach(off2, weights, m2):
    """Columns that a squared distance m2 leaves at a squared row distance off2 <= m2."""
    return int(math.sqrt((m2 - off2) / weights[2]))


@inlined
def _uncovered_near(bits, target, word, shape, boxes, order, reaches, near, hit):
    """Clear the bits covered by the first `near` rows of the table of row offsets.

    order: (N, 2) (dz, dy) by growing distance. hit[0]: the offset that finished a word last.
    """
    for t in range(near):
        n = hit[0] if t == 0 else t
        z, y = word[0] + order[n, 0], word[1] + order[n, 1]
        if z < 0 or z >= shape[0] or y < boxes[z, 0] or y > boxes[z, 1]:
            continue
        row = (z * shape[1] + y) * shape[2]
        bits = _uncovered(bits, target, row, word[2], shape[2], reaches[n])
        if not bits:
            hit[0] = n
            break
    return bits


@inlined
def _searched2(bits, target, word, shape, boxes, weights, m2, hit):
    """Search the bits that the near rows left uncovered; return the m2 that they make."""
    while bits:
        off2 = square(word[0] - hit[1], weights[0]) + square(word[1] - hit[2], weights[1])
        if off2 <= m2:
            row = (hit[1] * shape[1] + hit[2]) * shape[2]
            reach = _reach(off2, weights, m2)
            bits = _uncovered_far(bits, target, row, word[2], shape[2], reach)
            if not bits:
                break
        # the two ends first: what lies between two voxels is rarely farther than both
        for b in (trailing_zeros(bits), 63 - leading_zeros(bits)):
            bits &= ~(_ONE << np.uint64(b))
            voxel = word[0], word[1], 64 * word[2] + b
            m2 = max(m2, nearest2(target, voxel, shape, boxes, weights, m2, hit))
    return m2


@inlined
def _widen(order2, reaches, weights, m2):
    """Set the reach of the offsets of the table for a new m2; return how many are within it."""
    near = 0
    while near < order2.size and order2[near] <= m2:
        reaches[near] = min(63, _reach(order2[near], weights, m2))
        near += 1
    return near


@inlined
def _farthest_from_box(found, boxes, weights):
    """Index of the listed word farthest from the box of the target."""
    depth = boxes.shape[0] - 1
    box = boxes[depth]
    first, last = 0, depth - 1
    while boxes[first, 1] < 0:
        first += 1
    while boxes[last, 1] < 0:
        last -= 1
    best, where = -1.0, 0
    for n in range(found.size):
        z, y, k = unpacked(found[n])
        off2 = square(gap(z, first, last), weights[0])
        off2 += square(gap(y, box[0], box[1]), weights[1])
        off2 += square(max(box[2] - 64 * k, 64 * k + 63 - box[3], 0), weights[2])
        if off2 > best:
            best, where = off2, n
    return where


@kernel
def farthest2(source, target, found, shape, boxes, weights, order, order2, m2):
    """Largest squared distance of the listed source voxels to the target, or m2 if that is more.

    found: list_outside(), not empty. shape: (Z, H, W64). boxes: survey() of the target, not
    empty. weights: squared spacing (z, y, x). order, order2: row offsets (dz, dy) by growing
    squared distance, the first (0, 0).
    """
    hit = np.zeros(3, np.int64)
    while boxes[hit[1], 1] < 0:
        hit[1] += 1
    hit[2] = boxes[hit[1], 0]
    reaches = np.empty(order2.size, np.int64)
    near = _widen(order2, reaches, weights, m2)
    seed = _farthest_from_box(found, boxes, weights)
    found[0], found[seed] = found[seed], found[0]
    for stride in (4096, 64, 1):
        for n in range(0, found.size, stride):
            word = unpacked(found[n])
            row = (word[0] * shape[1] + word[1]) * shape[2]
            i = np.uint64(row + word[2])
            bits = source[i] & ~target[i]
            if boxes[word[0], 0] <= word[1] <= boxes[word[0], 1]:
                bits = _uncovered(bits, target, row, word[2], shape[2], reaches[0])
            # when m reaches beyond the table, one search is cheaper than all of its rows
            if bits and near < order2.size:
                bits = _uncovered_near(bits, target, word, shape, boxes, order, reaches, near, hit)
            if bits:
                more2 = _searched2(bits, target, word, shape, boxes, weights, m2, hit)
                if more2 > m2:
                    m2 = more2
                    near = _widen(order2, reaches, weights, m2)
    return m2
