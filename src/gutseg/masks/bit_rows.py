"""Masks with one bit per voxel: the form in which scans are decoded, scored and encoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gutseg.masks.intrinsics import ALL, ONE, ZERO, at_least_64, frozen, inlined, kernel, popcount


@dataclass(frozen=True, eq=False)
class BitRows:
    """The masks of one scan, 64 columns per word: column x of a row is bit x % 64 of word x // 64.

    words: (C, Z, H, W64) uint64 in C order; all operations rely on the bits after column
    width - 1 being zero.
    """

    words: np.ndarray
    width: int

    def __post_init__(self) -> None:
        words, row_words = self.words, words_of(self.width)
        fits = words.ndim == 4 and min(words.shape) > 0 and words.shape[3] == row_words
        if words.dtype != np.uint64 or not fits or not words.flags.c_contiguous:
            raise ValueError(
                f"bit rows of width {self.width} need C-ordered uint64 words of (C, Z, H, "
                f"{row_words}), no size zero; found {words.dtype} {words.shape}"
            )

    @classmethod
    def zeros(cls, classes: int, depth: int, height: int, width: int) -> "BitRows":
        """Empty masks."""
        return cls(np.zeros((classes, depth, height, words_of(width)), np.uint64), width)

    @classmethod
    def from_arrays(cls, masks: np.ndarray) -> "BitRows":
        """Pack (C, Z, H, W) bool or uint8 masks, non-zero = inside."""
        data = _bytes(masks, 4)
        return cls.from_threshold(data, np.ones(data.shape[0], np.uint8))

    @classmethod
    def from_threshold(
        cls, probabilities: np.ndarray, thresholds: np.ndarray | Sequence[int]
    ) -> "BitRows":
        """Pack probabilities (C, Z, H, W) uint8 >= thresholds (C,), whole numbers in [0, 255]."""
        data, limits = _bytes(probabilities, 4), np.asarray(thresholds)
        classes, depth, height, width = data.shape
        if limits.shape != (classes,) or not np.isin(limits, np.arange(256)).all():
            raise ValueError(
                f"{classes} classes need as many thresholds, whole numbers in 0..255: {thresholds}"
            )
        words = np.empty((classes, depth * height, words_of(width)), np.uint64)
        for c in range(classes):
            pack_at_least(data[c].reshape(-1), width, np.uint8(limits[c]), words[c])
        return cls(words.reshape(classes, depth, height, words_of(width)), width)

    @classmethod
    def from_class_bits(cls, masks: np.ndarray, classes: int) -> "BitRows":
        """Unpack (Z, H, W) uint8 masks whose bit c is class c; higher bits are ignored."""
        if not 1 <= classes <= 8:
            raise ValueError(f"a byte holds 1 to 8 classes, not {classes}")
        bits = np.uint8(1) << np.arange(classes, dtype=np.uint8)
        return cls.from_arrays(_bytes(masks, 3) & bits[:, None, None, None])

    def to_arrays(self) -> np.ndarray:
        """(C, Z, H, W) bool."""
        data = self.words.view(np.uint8)
        return np.unpackbits(data, axis=-1, count=self.width, bitorder="little").view(bool)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(C, Z, H, W)."""
        classes, depth, height, _ = self.words.shape
        return classes, depth, height, self.width

    @property
    def slices(self) -> np.ndarray:
        """(C * Z, H * W64) uint64, read-only: class by class, one row per slice."""
        classes, depth = self.words.shape[:2]
        return frozen(self.words.reshape(classes * depth, -1))

    def slice_counts(self) -> np.ndarray:
        """Voxels inside, (C, Z) int64."""
        return self.intersection_counts(self)

    def intersection_counts(self, other: "BitRows") -> np.ndarray:
        """Voxels inside both, (C, Z) int64."""
        if self.shape != other.shape:
            raise ValueError(f"masks differ in (C, Z, H, W): {self.shape} and {other.shape}")
        classes, depth = self.words.shape[:2]
        counts = np.empty(classes * depth, np.int64)
        _count_common(self.slices, other.slices, counts)
        return counts.reshape(classes, depth)

    def union(self) -> "BitRows":
        """One class that holds every voxel of any class."""
        return BitRows(np.bitwise_or.reduce(self.words, axis=0, keepdims=True), self.width)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BitRows):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.words, other.words)


def words_of(width: int) -> int:
    """Return how many words hold a row of that many columns."""
    return -(-width // 64)


def _bytes(masks: np.ndarray, dimensions: int) -> np.ndarray:
    if masks.dtype not in (np.bool_, np.uint8) or masks.ndim != dimensions:
        found = f"found {masks.dtype} {masks.shape}"
        raise ValueError(f"expected a bool or uint8 array of {dimensions} axes, {found}")
    return frozen(np.ascontiguousarray(masks).view(np.uint8))


@kernel
def pack_at_least(data, width, threshold, words):
    """Write bit (row, column) = data[row, column] >= threshold, 64 columns per step.

    data: (rows * width,) uint8. words: (rows, W64) uint64, every word is written.
    """
    rows, row_words = words.shape
    # rows whose words can all be loaded as 64 bytes; the few after them end the array
    roomy = 0
    if data.size >= 64 * row_words:
        roomy = min(rows, (data.size - 64 * row_words) // width + 1)
    # bits beyond the width are zero, which all other operations rely on
    keep = ALL >> np.uint64(64 * row_words - width)
    for row in range(roomy):
        for k in range(row_words):
            words[row, k] = at_least_64(data, row * width + 64 * k, threshold)
        # the last load of a row has run on into the next row
        words[row, row_words - 1] &= keep
    for row in range(roomy, rows):
        words[row] = ZERO
        for column in range(width):
            bit = np.uint64(data[row * width + column] >= threshold)
            words[row, column >> 6] |= bit << np.uint64(column & 63)


@kernel
def _count_common(first, second, counts):
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
    # the neighbours along x of a word's first and last bit lie in the words next to it
    before = words[z, y, k - 1] >> np.uint64(63) if k > 0 else ZERO
    after = words[z, y, k + 1] << np.uint64(63) if k + 1 < words.shape[2] else ZERO
    inner = ((here << ONE) | before) & ((here >> ONE) | after)
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
        together = ZERO
        for i in range(slices.shape[1]):
            together |= slices[z, i]
            cleared[z, i] = ZERO
        if not together:
            continue
        for y in range(height):
            walled = (flat or 0 < z < depth - 1) and 0 < y < height - 1
            for k in range(row_words):
                here = words[z, y, k]
                if here:
                    found[z, y, k] = here & ~_hidden(words, z, y, k, flat) if walled else here
