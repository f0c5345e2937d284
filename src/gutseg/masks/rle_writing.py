"""Pixels to run-length text: row-major, 1-indexed `start length` pairs, as in train.csv.

Runs are sorted, as long as they can be, and may continue in the next row.
"""

import numpy as np

from gutseg.masks.bit_rows import BitRows
from gutseg.masks.intrinsics import (
    ALL,
    ONE,
    ZERO,
    at_least_64,
    frozen,
    inlined,
    kernel,
    store_word,
    trailing_zeros,
)

_SPACE = np.uint8(32)
# the characters of eight zeros
_ZEROS = np.uint64(0x3030303030303030)

# x * 5243 >> 19 is x // 100 below 10**4, x * 103 >> 10 is x // 10 below 100
_EIGHT_DIGITS = 10**8
_LOW_BYTES = np.uint64(0x0000007F0000007F)
_LOW_DIGITS = np.uint64(0x000F000F000F000F)


def encode(mask: np.ndarray) -> str:
    """Write a mask (H, W), non-zero = inside; an empty mask gives ""."""
    data = np.ascontiguousarray(mask if mask.dtype in (np.bool_, np.uint8) else mask != 0)
    data = frozen(data.reshape(-1).view(np.uint8))
    # at most half as many runs as pixels: two numbers and two spaces each, and one open run
    text = np.empty((data.size // 2 + 2) * 2 * (len(str(data.size)) + 1) + 8, np.uint8)
    end = _encode_flat(data, text)
    return text[: max(0, end - 1)].tobytes().decode("ascii")


def encode_scan(masks: BitRows) -> list[str]:
    """Write every slice of a scan: Z * C texts, slice by slice as in the csv."""
    classes, depth, height, width = masks.shape
    words = masks.slices
    # bytes of a row in which every other pixel is set, and of the end of an open run
    room = (width // 2 + 2) * 2 * (len(str(height * width)) + 1) + 8
    text = np.empty(max(65536, 2 * room), np.uint8)
    ends = np.zeros(classes * depth + 1, np.int64)
    done = _encode_slices(words, width, 0, room, text, ends)
    while done < len(words):
        text = np.concatenate([text, np.empty_like(text)])
        done = _encode_slices(words, width, done, room, text, ends)
    joined = text[: ends[-1]].tobytes().decode("ascii")
    starts, stops = ends[:-1], np.maximum(ends[:-1], ends[1:] - 1)
    # the words lie class by class
    starts, stops = (index.reshape(classes, depth).T.reshape(-1) for index in (starts, stops))
    return [joined[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]


@inlined
def _write_number(value, text, at):
    """Write a positive number and a space at text[at]; return the index after it.

    Below 10**8 without a branch: halves, pairs, digits are split side by side in one word.
    """
    if value < _EIGHT_DIGITS:
        parts = np.uint64(value // 10000) | np.uint64(value % 10000) << np.uint64(32)
        hundreds = ((parts * np.uint64(5243)) >> np.uint64(19)) & _LOW_BYTES
        parts = hundreds | (parts - hundreds * np.uint64(100)) << np.uint64(16)
        tens = ((parts * np.uint64(103)) >> np.uint64(10)) & _LOW_DIGITS
        parts = tens | (parts - tens * np.uint64(10)) << np.uint64(8)
        # the first digit is the lowest byte, so the zeros before a number are its lowest bytes
        blank = trailing_zeros(parts) >> 3
        store_word(text, at, (parts | _ZEROS) >> np.uint64(8 * blank))
        at += 8 - blank
    else:
        digits, bound = 8, _EIGHT_DIGITS
        while value >= bound:
            digits += 1
            bound *= 10
        for i in range(digits - 1, -1, -1):
            text[np.uint64(at + i)] = 48 + value % 10
            value //= 10
        at += digits
    text[np.uint64(at)] = _SPACE
    return at + 1


@inlined
def _write_edges(edges, position, begun, text, at):
    """Write what the edge bits of one word begin and end; begun: open run's first pixel or -1."""
    while edges:
        pixel = position + trailing_zeros(edges)
        edges &= edges - ONE
        if begun < 0:
            begun = pixel
            at = _write_number(pixel + 1, text, at)
        else:
            at = _write_number(pixel - begun, text, at)
            begun = -1
    return begun, at


@inlined
def _blank_rows(words, row_words):
    """Return how many rows of zeros a slice begins with, found 64 words at a time."""
    blank = 0
    while blank + 64 <= words.size:
        together = ZERO
        for k in range(64):
            together |= words[np.uint64(blank + k)]
        if together:
            break
        blank += 64
    return blank // row_words


@inlined
def _write_slice(words, width, row_words, text, at, room):
    """Write the runs of one slice; return the index after the last space, -1 if text is short.

    room: the most bytes that a row and the end of the slice can take.
    """
    begun, carry = -1, ZERO
    last = np.uint64((width - 1) & 63)
    keep = ALL >> (np.uint64(63) - last)
    height = words.size // row_words
    for y in range(_blank_rows(words, row_words), height):
        if at + room > text.size:
            return -1
        together = carry
        for k in range(row_words):
            together |= words[np.uint64(y * row_words + k)]
        if not together:
            continue
        for k in range(row_words):
            word = words[np.uint64(y * row_words + k)]
            edges = word ^ ((word << ONE) | carry)
            carry = word >> np.uint64(63)
            if k == row_words - 1:
                # a run that reaches the last column is closed by the next row, if at all
                edges &= keep
                carry = (word >> last) & ONE
            begun, at = _write_edges(edges, y * width + 64 * k, begun, text, at)
    if begun >= 0:
        at = _write_number(height * width - begun, text, at)
    return at


@kernel
def _encode_slices(words, width, first, room, text, ends):
    """Write slices first, first + 1, ... into text; return the first that found no room.

    words: (slices, H * W64) uint64. ends: (slices + 1,) int64; slice n ends at ends[n + 1].
    """
    row_words = (width + 63) // 64
    for n in range(first, words.shape[0]):
        at = _write_slice(words[n], width, row_words, text, ends[n], room)
        if at < 0:
            return n
        ends[n + 1] = at
    return words.shape[0]


@kernel
def _encode_flat(mask, text):
    """Write a (pixels,) uint8 mask, non-zero = inside, into enough text; return its end."""
    begun, carry, at = -1, ZERO, 0
    whole = mask.size >> 6
    for n in range(whole + 1):
        if n < whole:
            word = at_least_64(mask, 64 * n, np.uint8(1))
        else:
            # the rest of the mask and a zero after it, which closes an open run
            word = ZERO
            for i in range(64 * whole, mask.size):
                word |= np.uint64(mask[i] != 0) << np.uint64(i & 63)
        edges = word ^ ((word << ONE) | carry)
        carry = word >> np.uint64(63)
        begun, at = _write_edges(edges, 64 * n, begun, text, at)
    return at
