"""Compiled search behind gutseg.metrics.surface: the distance of every voxel of a surface.

As in hausdorff_kernels, but all distances are wanted, and not which voxel has which. So a word
is compared with the target at growing offsets, 64 voxels a test: those that it meets there have
the offset's length. Predictions are a few voxels off, so few voxels remain; each is searched.
"""

import math

import numpy as np

from gutseg.masks.intrinsics import inlined, kernel, popcount, trailing_zeros
from gutseg.metrics.row_search import nearest2, unpacked

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel
def count_voxels(source, target):
    """Voxels of source outside target, and of both; two flat uint64 arrays."""
    outside = shared = np.int64(0)
    for i in range(source.size):
        outside += popcount(source[i] & ~target[i])
        shared += popcount(source[i] & target[i])
    return outside, shared


@inlined
def _met(bits, target, row, k, row_words, columns):
    """Bits of word k that have a set bit of a row exactly `columns` <= 63 to either side."""
    i = np.uint64(row + k)
    here = target[i]
    if columns == 0:
        return bits & here
    before = target[i - _ONE] if k > 0 else _ZERO
    after = target[i + _ONE] if k + 1 < row_words else _ZERO
    near, rest = np.uint64(columns), np.uint64(64 - columns)
    return bits & ((here << near) | (before >> rest) | (here >> near) | (after << rest))


@inlined
def _write(distances, count, number, distance):
    """Write one distance for a number of voxels; return the new count."""
    for n in range(count, count + number):
        distances[n] = distance
    return count + number


@kernel
def nearest_distances(source, target, found, shape, boxes, weights, offsets, lengths, distances):
    """Write the distance of every listed source voxel outside the target to its nearest voxel.

    found: list_outside(). shape: (Z, H, W64). boxes: survey() of the target, not empty. weights:
    squared spacing (z, y, x). offsets: (N, 3) (dz, dy, |dx| <= 63) by growing length, complete
    up to the last, without (0, 0, 0). lengths: (N,) in units of spacing. distances: (M,)
    float64, M = count_voxels() outside; filled word by word.
    """
    hit = np.zeros(3, np.int64)
    while boxes[hit[1], 1] < 0:
        hit[1] += 1
    hit[2] = boxes[hit[1], 0]
    count = 0
    for n in range(found.size):
        z, y, k = unpacked(found[n])
        i = np.uint64((z * shape[1] + y) * shape[2] + k)
        bits = source[i] & ~target[i]
        for t in range(lengths.size):
            there, line = z + offsets[t, 0], y + offsets[t, 1]
            if there < 0 or there >= shape[0] or line < boxes[there, 0] or line > boxes[there, 1]:
                continue
            row = (there * shape[1] + line) * shape[2]
            met = _met(bits, target, row, k, shape[2], offsets[t, 2])
            if met:
                count = _write(distances, count, popcount(met), lengths[t])
                bits ^= met
                if not bits:
                    break
        while bits:
            voxel = z, y, 64 * k + trailing_zeros(bits)
            bits &= bits - _ONE
            far2 = nearest2(target, voxel, shape, boxes, weights, 0.0, hit)
            count = _write(distances, count, 1, math.sqrt(far2))
