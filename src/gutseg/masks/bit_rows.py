"""Masks with one bit a voxel: the form in which scans are decoded, scored and encoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gutseg.masks import bit_kernels
from gutseg.masks.intrinsics import frozen


@dataclass(frozen=True, eq=False)
class BitRows:
    """The masks of one scan, 64 columns a word: column x of a row is bit x % 64 of word x // 64.

    words: (C, Z, H, W64) uint64 in C order; the bits after column width - 1 are zero, and all
    operations rely on it.
    """

    words: np.ndarray
    width: int

    def __post_init__(self) -> None:
        words = self.words
        if words.dtype != np.uint64 or words.ndim != 4 or not words.flags.c_contiguous:
            raise ValueError(
                f"bit rows need C-ordered uint64 words of (C, Z, H, W64), "
                f"found {words.dtype} {words.shape}"
            )
        if min(words.shape) < 1 or words.shape[3] != words_of(self.width):
            raise ValueError(
                f"{words.shape[3]} words a row cannot hold width {self.width}, "
                f"or one of the sizes of {words.shape} is zero"
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
        """Pack probability >= threshold.

        probabilities: (C, Z, H, W) uint8. thresholds: (C,) whole numbers in [0, 255].
        """
        data, limits = _bytes(probabilities, 4), np.asarray(thresholds)
        classes, depth, height, width = data.shape
        if limits.shape != (classes,) or not np.all((limits >= 0) & (limits <= 255)):
            raise ValueError(f"{classes} classes need as many thresholds in 0..255: {thresholds}")
        if np.any(limits != np.floor(limits)):
            raise ValueError(f"thresholds of uint8 probabilities are whole numbers: {thresholds}")
        words = np.empty((classes, depth * height, words_of(width)), np.uint64)
        for c in range(classes):
            bit_kernels.pack_at_least(data[c].reshape(-1), width, np.uint8(limits[c]), words[c])
        return cls(words.reshape(classes, depth, height, words_of(width)), width)

    @classmethod
    def from_class_bits(cls, masks: np.ndarray, classes: int) -> "BitRows":
        """Unpack (Z, H, W) uint8 masks whose bit c is class c; higher bits are ignored."""
        if not 1 <= classes <= 8:
            raise ValueError(f"a byte holds 1 to 8 classes, not {classes}")
        data = _bytes(masks, 3)
        depth, height, width = data.shape
        words = np.empty((classes, depth * height, words_of(width)), np.uint64)
        bit_kernels.pack_class_bits(data.reshape(-1), width, words)
        return cls(words.reshape(classes, depth, height, words_of(width)), width)

    def to_arrays(self) -> np.ndarray:
        """(C, Z, H, W) bool."""
        bits = np.unpackbits(
            self.words.view(np.uint8), axis=-1, count=self.width, bitorder="little"
        )
        return bits.view(bool)

    def to_class_bits(self) -> np.ndarray:
        """(Z, H, W) uint8 with bit c for class c; at most 8 classes."""
        if self.words.shape[0] > 8:
            raise ValueError(f"a byte holds 8 classes, not {self.words.shape[0]}")
        masks = np.zeros(self.shape[1:], np.uint8)
        for c, words in enumerate(self.words):
            bits = np.unpackbits(words.view(np.uint8), axis=-1, count=self.width, bitorder="little")
            masks |= bits << np.uint8(c)
        return masks

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(C, Z, H, W)."""
        classes, depth, height, _ = self.words.shape
        return classes, depth, height, self.width

    @property
    def slices(self) -> np.ndarray:
        """(C * Z, H * W64) uint64, read-only: class by class, one row a slice."""
        classes, depth = self.words.shape[:2]
        return frozen(self.words.reshape(classes * depth, -1))

    def slice_counts(self) -> np.ndarray:
        """Voxels inside, (C, Z) int64."""
        classes, depth = self.words.shape[:2]
        counts = np.empty(classes * depth, np.int64)
        bit_kernels.count(self.slices, counts)
        return counts.reshape(classes, depth)

    def intersection_counts(self, other: "BitRows") -> np.ndarray:
        """Voxels inside both, (C, Z) int64."""
        self._check_same_shape(other)
        classes, depth = self.words.shape[:2]
        counts = np.empty(classes * depth, np.int64)
        bit_kernels.count_common(self.slices, other.slices, counts)
        return counts.reshape(classes, depth)

    def count(self) -> np.ndarray:
        """Voxels inside, (C,) int64."""
        return self.slice_counts().sum(axis=1)

    def any(self) -> np.ndarray:
        """Whether a class has any voxel, (C,) bool."""
        return np.any(self.words.reshape(self.words.shape[0], -1), axis=1)

    def union(self) -> "BitRows":
        """One class that holds every voxel of any class."""
        return BitRows(np.bitwise_or.reduce(self.words, axis=0, keepdims=True), self.width)

    def __and__(self, other: "BitRows") -> "BitRows":
        self._check_same_shape(other)
        return BitRows(self.words & other.words, self.width)

    def __or__(self, other: "BitRows") -> "BitRows":
        self._check_same_shape(other)
        return BitRows(self.words | other.words, self.width)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BitRows):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.words, other.words)

    __hash__ = None  # type: ignore[assignment]  # Python's own way to say: not hashable

    def _check_same_shape(self, other: "BitRows") -> None:
        if self.shape != other.shape:
            raise ValueError(f"masks differ in (C, Z, H, W): {self.shape} and {other.shape}")


def words_of(width: int) -> int:
    """Words that hold a row of so many columns."""
    return -(-width // 64)


def slice_dice(first: BitRows, second: BitRows) -> np.ndarray:
    """Dice of every class and slice, (C, Z) float64 in [0, 1]; NaN where both are empty."""
    common = first.intersection_counts(second)
    total = first.slice_counts() + second.slice_counts()
    with np.errstate(invalid="ignore"):
        return 2 * common / total


def _bytes(masks: np.ndarray, dimensions: int) -> np.ndarray:
    if masks.dtype not in (np.bool_, np.uint8) or masks.ndim != dimensions:
        raise ValueError(
            f"expected a bool or uint8 array of {dimensions} axes, "
            f"found {masks.dtype} {masks.shape}"
        )
    return frozen(np.ascontiguousarray(masks).view(np.uint8))
