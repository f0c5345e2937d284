"""Compiled parts of both searches on bit rows: listing words, and one voxel's nearest voxel.

numba does not see a change here when it looks a kernel up in its cache: remove `__pycache__`.
"""

import numpy as np

from gutseg.masks.intrinsics import inlined, kernel, leading_zeros, trailing_zeros

_ZERO = np.uint64(0)
_FAR = 1 << 40
# z, y and k of a word are packed into one int64 with 21 bits each: unpacking is two shifts,
# dividing a flat index took a tenth of the whole search
_SHIFT = 21
_LOW = (1 << _SHIFT) - 1


@kernel
def list_outside(source, target, height, row_words, boxes, found):
    """List where a word has a bit of source outside target, packed (z, y, k); return how many.

    source, target: flat. boxes: survey() of the source. found: int64, one place more than the
    source has words. Branch-free: every place is written, then kept or not.
    """
    count = np.uint64(0)
    for z in range(boxes.shape[0] - 1):
        for y in range(boxes[z, 0], boxes[z, 1] + 1):
            row = np.uint64((z * height + y) * row_words)
            place = (z << 2 * _SHIFT) | (y << _SHIFT)
            for k in range(row_words):
                i = row + np.uint64(k)
                found[count] = place | k
                count += np.uint64((source[i] & ~target[i]) != _ZERO)
    return np.int64(count)


@inlined
def unpacked(place):
    """z, y and k of a word that list_outside packed."""
    return place >> 2 * _SHIFT, (place >> _SHIFT) & _LOW, place & _LOW


@inlined
def square(distance, weight):
    """Squared distance along one axis, in units of spacing."""
    return float(distance) * float(distance) * weight


@inlined
def gap(value, low, high):
    """Distance of a number to the range [low, high]."""
    return max(low - value, value - high, 0)


@inlined
def columns_away(target, row, column, row_words):
    """Columns from one column to the nearest set bit of a row; _FAR without one."""
    k, b = column >> 6, column & 63
    here = target[np.uint64(row + k)]
    best = _FAR
    if here:
        best = min(leading_zeros(here << np.uint64(63 - b)), trailing_zeros(here >> np.uint64(b)))
    for j in range(k - 1, -1, -1):
        if 64 * (k - j) + b - 63 >= best:
            break
        word = target[np.uint64(row + j)]
        if word:
            best = min(best, 64 * (k - j) + b - 63 + leading_zeros(word))
            break
    for j in range(k + 1, row_words):
        if 64 * (j - k) - b >= best:
            break
        word = target[np.uint64(row + j)]
        if word:
            return min(best, 64 * (j - k) - b + trailing_zeros(word))
    return best


@inlined
def _nearest_in_slice2(target, voxel, shape, z, box, weights, best2, hit):
    """Squared distance of a voxel to slice z of the target, or best2 if that is less.

    Rows come by growing distance, from the occupied row closest to the voxel outwards.
    """
    off_z = square(voxel[0] - z, weights[0])
    least2 = off_z + square(gap(voxel[2], box[2], box[3]), weights[2])
    down = min(max(voxel[1], box[0]), box[1])
    up = down + 1
    while down >= box[0] or up <= box[1]:
        use_up = down < box[0] or (up <= box[1] and abs(up - voxel[1]) < abs(voxel[1] - down))
        y = up if use_up else down
        up, down = (up + 1, down) if use_up else (up, down - 1)
        off_y = square(voxel[1] - y, weights[1])
        if least2 + off_y >= best2:
            break
        away = columns_away(target, (z * shape[1] + y) * shape[2], voxel[2], shape[2])
        here2 = off_z + off_y + square(away, weights[2])
        if here2 < best2:
            best2 = here2
            hit[1], hit[2] = z, y
    return best2


@inlined
def nearest2(target, voxel, shape, boxes, weights, enough2, hit):
    """Squared distance of a voxel to the target; stops early once it is at most enough2.

    hit[1], hit[2]: row of the target tried first, then the nearest row found.
    """
    row = (hit[1] * shape[1] + hit[2]) * shape[2]
    best2 = square(columns_away(target, row, voxel[2], shape[2]), weights[2])
    best2 += square(voxel[0] - hit[1], weights[0]) + square(voxel[1] - hit[2], weights[1])
    for side in range(1, 2 * shape[0]):
        z = voxel[0] + side // 2 if side % 2 else voxel[0] - side // 2
        if best2 <= enough2 or square(voxel[0] - z, weights[0]) >= best2:
            break
        if 0 <= z < shape[0] and boxes[z, 1] >= 0:
            best2 = _nearest_in_slice2(target, voxel, shape, z, boxes[z], weights, best2, hit)
    return best2
