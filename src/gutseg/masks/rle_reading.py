"""Run-length text to pixels: row-major, 1-indexed `start length` pairs, as in train.csv.

The competition's page says column-major; its data are row-major (a test decodes and re-encodes
real rows). Reading is strict: pairs are whole, positive, sorted, do not overlap and end inside
the slice. Read but never written: runs that touch, leading zeros, more than one space.
"""

import numpy as np

from gutseg.masks.intrinsics import (
    ALL,
    ONE,
    ZERO,
    at_least_64,
    inlined,
    kernel,
    load_word,
    trailing_zeros,
)
from gutseg.registry import shown

_SPACE, _AFTER_SPACE = np.uint8(32), np.uint8(33)
_DIGIT_0, _AFTER_9 = np.uint8(48), np.uint8(58)
# the compiled loops look at 64 characters at a time
_PADDING = b" " * 64
# beyond any pixel count; longer numbers stop growing here and then run past the end
_HUGE = 10**17

# eight characters at once: xor with "00000000" turns digits into 0..9, then pairs, fours and
# eights of digits are joined by multiplying
_ZEROS = np.uint64(0x3030303030303030)
_EVEN_BYTES = np.uint64(0x00FF00FF00FF00FF)
_EVEN_PAIRS = np.uint64(0x0000FFFF0000FFFF)
_TENS = np.uint64(10 * 2**8 + 1)
_HUNDREDS = np.uint64(100 * 2**16 + 1)
_MYRIADS = np.uint64(10000 * 2**32 + 1)


def decode(text: str | float | None, height: int, width: int) -> np.ndarray:
    """Read text into a (H, W) bool mask, empty for None, NaN, ""; ValueError names the bad pair."""
    mask = np.zeros(height * width, np.uint8)
    if isinstance(text, str) and text:
        data = np.frombuffer(text.encode("ascii", "replace") + _PADDING, np.uint8)
        if not _decode_flat(data, len(text), mask):
            raise ValueError(issue(text, height, width))
    return mask.view(bool).reshape(height, width)


def issue(text: str, height: int, width: int) -> str | None:
    """Say what is wrong with the first invalid pair of a text; None when nothing is."""
    words = [word for word in text.split(" ") if word]
    for position, word in enumerate(words, start=2):
        if not (word.isascii() and word.isdigit()):
            return f"pair {position // 2}: expected a whole number, found {shown(word)}"
        if len(word.lstrip("0")) > 30:
            return f"pair {position // 2}: a number of {len(word)} digits is past any pixel"
    numbers = [int(word) for word in words]
    if len(numbers) % 2:
        return (
            f"pair {len(numbers) // 2 + 1}: start {numbers[-1]} has no length; "
            f"expected `start length` pairs, found {len(numbers)} numbers"
        )
    previous = 0
    for pair, (start, length) in enumerate(zip(numbers[::2], numbers[1::2], strict=True), 1):
        here = f"pair {pair}: start {start} length {length}"
        if start < 1 or length < 1:
            return f"{here} is not positive; starts and lengths count from 1"
        if start <= previous:
            return f"{here} begins before pair {pair - 1} ends at {previous}; runs must be sorted"
        previous = start + length - 1
        if previous > height * width:
            return f"{here} runs past the end of a {height}x{width} slice ({height * width} pixels)"
    return None


@inlined
def _kinds(data, block, count):
    """Which of the `count` <= 64 characters from `block` on are digits, and which are spaces."""
    if block + 64 <= data.size:
        keep = ALL >> np.uint64(64 - count)
        digits = at_least_64(data, block, _DIGIT_0) & ~at_least_64(data, block, _AFTER_9)
        spaces = at_least_64(data, block, _SPACE) & ~at_least_64(data, block, _AFTER_SPACE)
        return digits & keep, spaces & keep
    digits, spaces = ZERO, ZERO
    for b in range(count):
        character = data[np.uint64(block + b)]
        digits |= np.uint64(_DIGIT_0 <= character < _AFTER_9) << np.uint64(b)
        spaces |= np.uint64(character == _SPACE) << np.uint64(b)
    return digits, spaces


@inlined
def _find_numbers(data, start, stop, bounds):
    """List where digits begin and end; return how many bounds, -1 at any other character.

    All bounds first: reading number after number would wait for the length of each.
    """
    count, carry = 0, ZERO
    for block in range(start, stop, 64):
        size = min(64, stop - block)
        digits, spaces = _kinds(data, block, size)
        if (digits | spaces) != ALL >> np.uint64(64 - size):
            return -1
        edges = digits ^ ((digits << ONE) | carry)
        carry = digits >> np.uint64(63)
        while edges:
            bounds[np.uint64(count)] = block + trailing_zeros(edges)
            edges &= edges - ONE
            count += 1
    if carry:
        bounds[np.uint64(count)] = stop
        count += 1
    return count


@inlined
def _number(data, start, stop):
    """Value of the digits data[start:stop], at most _HUGE * 10 + 9."""
    digits = stop - start
    if digits <= 8 and start + 8 <= data.size:
        value = (load_word(data, start) ^ _ZEROS) << np.uint64(64 - 8 * digits)
        value = ((value * _TENS) >> np.uint64(8)) & _EVEN_BYTES
        value = ((value * _HUNDREDS) >> np.uint64(16)) & _EVEN_PAIRS
        return np.int64((value * _MYRIADS) >> np.uint64(32))
    value = 0
    for i in range(start, stop):
        value = min(value, _HUGE) * 10 + np.int64(data[np.uint64(i)]) - 48
    return value


@inlined
def _parse(data, start, stop, pixels, bounds, runs):
    """Read the pairs of one text into runs (first, end) from 0; return how many, -1 = invalid."""
    count = _find_numbers(data, start, stop, bounds)
    # four bounds per pair: where its two numbers begin and end
    if count < 0 or count & 3:
        return -1
    previous, sound = 0, True
    for n in range(count >> 2):
        at = np.uint64(4 * n)
        first = _number(data, bounds[at], bounds[at + ONE])
        length = _number(data, bounds[at + np.uint64(2)], bounds[at + np.uint64(3)])
        end = first - 1 + length
        sound &= (first > previous) & (length > 0) & (end <= pixels)
        runs[n, 0], runs[n, 1] = first - 1, end
        previous = end
    return count >> 2 if sound else -1


@inlined
def _set_bits(words, base, first, end):
    """Set the bits first..end - 1 of the row whose words start at base."""
    low, high = first >> 6, (end - 1) >> 6
    # the masks name the last bit and not the one after it: a shift by 64 is undefined
    from_first = ALL << np.uint64(first & 63)
    to_end = ALL >> np.uint64(63 - ((end - 1) & 63))
    if low == high:
        words[np.uint64(base + low)] |= from_first & to_end
        return
    words[np.uint64(base + low)] |= from_first
    for k in range(low + 1, high):
        words[np.uint64(base + k)] = ALL
    words[np.uint64(base + high)] |= to_end


@inlined
def _draw(runs, words, base, width, row_words):
    """Set sorted runs of pixel numbers in a slice of bit rows that starts at word base."""
    row_start = 0
    for n in range(runs.shape[0]):
        first, end = runs[n, 0], runs[n, 1]
        if first >= row_start + width:
            # mostly the next row; no loop here: LLVM makes it a division of 128 bits
            rows = 1
            if first >= row_start + 2 * width:
                rows = (first - row_start) // width
            row_start += rows * width
            base += rows * row_words
        while end > row_start + width:
            _set_bits(words, base, first - row_start, width)
            row_start += width
            base += row_words
            first = row_start
        _set_bits(words, base, first - row_start, end - row_start)


@kernel
def decode_rows(data, offsets, rows, slots, width, words, seen, issues):
    """Decode rows of an Arrow string column into the bit rows of one scan.

    data: (bytes,) uint8. offsets: (N + 1,) int64. rows, slots: (M,) int64, which row goes to
    which slice. words: (slots, H * W64) uint64, zero. seen: (slots,) int64, -1, becomes the row.
    issues: (M,) uint8, becomes 1 where the text is invalid and 2 where the slice has a row.
    """
    row_words = (width + 63) // 64
    pixels = words.shape[1] // row_words * width
    longest = 0
    for row in rows:
        longest = max(longest, offsets[row + 1] - offsets[row])
    bounds, runs = np.empty(longest + 2, np.int64), np.empty((longest // 4 + 1, 2), np.int64)
    for m in range(rows.size):
        row, slot = rows[m], slots[m]
        if seen[slot] >= 0:
            issues[m] = 2
            continue
        seen[slot] = row
        count = _parse(data, offsets[row], offsets[row + 1], pixels, bounds, runs)
        if count < 0:
            issues[m] = 1
        elif count:
            _draw(runs[:count], words[slot], 0, width, row_words)


@kernel
def _decode_flat(data, stop, mask):
    """Decode data[:stop] into a (pixels,) uint8 mask of zeros; return whether it was sound."""
    bounds, runs = np.empty(stop + 2, np.int64), np.empty((stop // 4 + 1, 2), np.int64)
    count = _parse(data, 0, stop, mask.size, bounds, runs)
    for n in range(count):
        for i in range(runs[n, 0], runs[n, 1]):
            mask[np.uint64(i)] = 1
    return count >= 0
