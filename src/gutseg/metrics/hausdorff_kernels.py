"""Compiled search behind gutseg.metrics.hausdorff: exact, on bit rows, 64 voxels a test.

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

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
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
def _columns_away(target, row, column, row_words):
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
def _reach(off2, weights, m2):
    """Columns that a squared distance m2 leaves at a squared row distance off2 <= m2."""
    return int(math.sqrt((m2 - off2) / weights[2]))


@inlined
def _square(distance, weight):
    return float(distance) * float(distance) * weight


@inlined
def _gap(value, low, high):
    """Distance of a number to the range [low, high]."""
    return max(low - value, value - high, 0)


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
def _nearest_in_slice2(target, voxel, shape, z, box, weights, best2, hit):
    """Squared distance of a voxel to slice z of the target, or best2 if that is less.

    Rows come by growing distance, from the occupied row closest to the voxel outwards.
    """
    off_z = _square(voxel[0] - z, weights[0])
    least2 = off_z + _square(_gap(voxel[2], box[2], box[3]), weights[2])
    down = min(max(voxel[1], box[0]), box[1])
    up = down + 1
    while down >= box[0] or up <= box[1]:
        use_up = down < box[0] or (up <= box[1] and abs(up - voxel[1]) < abs(voxel[1] - down))
        y = up if use_up else down
        up, down = (up + 1, down) if use_up else (up, down - 1)
        off_y = _square(voxel[1] - y, weights[1])
        if least2 + off_y >= best2:
            break
        away = _columns_away(target, (z * shape[1] + y) * shape[2], voxel[2], shape[2])
        here2 = off_z + off_y + _square(away, weights[2])
        if here2 < best2:
            best2 = here2
            hit[1], hit[2] = z, y
    return best2


@inlined
def _nearest2(target, voxel, shape, boxes, weights, enough2, hit):
    """Squared distance of a voxel to the target; stops early once it is at most enough2.

    hit[1], hit[2]: row of the target tried first, then the nearest row found.
    """
    row = (hit[1] * shape[1] + hit[2]) * shape[2]
    best2 = _square(_columns_away(target, row, voxel[2], shape[2]), weights[2])
    best2 += _square(voxel[0] - hit[1], weights[0]) + _square(voxel[1] - hit[2], weights[1])
    for side in range(1, 2 * shape[0]):
        z = voxel[0] + side // 2 if side % 2 else voxel[0] - side // 2
        if best2 <= enough2 or _square(voxel[0] - z, weights[0]) >= best2:
            break
        if 0 <= z < shape[0] and boxes[z, 1] >= 0:
            best2 = _nearest_in_slice2(target, voxel, shape, z, boxes[z], weights, best2, hit)
    return best2


@inlined
def _searched2(bits, target, word, shape, boxes, weights, m2, hit):
    """Search the bits that the near rows left uncovered; return the m2 that they make."""
    while bits:
        off2 = _square(word[0] - hit[1], weights[0]) + _square(word[1] - hit[2], weights[1])
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
            m2 = max(m2, _nearest2(target, voxel, shape, boxes, weights, m2, hit))
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
def _unpacked(place):
    return place >> 2 * _SHIFT, (place >> _SHIFT) & _LOW, place & _LOW


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
        z, y, k = _unpacked(found[n])
        off2 = _square(_gap(z, first, last), weights[0])
        off2 += _square(_gap(y, box[0], box[1]), weights[1])
        off2 += _square(max(box[2] - 64 * k, 64 * k + 63 - box[3], 0), weights[2])
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
            word = _unpacked(found[n])
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
