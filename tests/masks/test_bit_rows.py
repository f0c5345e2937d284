"""BitRows against plain numpy, for widths around every multiple of 64."""

import numpy as np
import pytest
from guarded import guarded
from hypothesis import given, settings
from hypothesis import strategies as st

from gutseg.masks.bit_rows import BitRows
from gutseg.masks.intrinsics import kernel

shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 200))
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=60, deadline=None)


def masks(shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(shape) < rng.choice([0.02, 0.5, 0.98])


@quick
@given(shapes, seeds)
def test_arrays_come_back(shape: tuple[int, ...], seed: int) -> None:
    mask = masks(shape, seed)
    packed = BitRows.from_arrays(mask)
    assert packed.shape == shape
    assert np.array_equal(packed.to_arrays(), mask)
    assert packed.to_arrays().dtype == bool
    assert BitRows.from_arrays(mask.astype(np.uint8) * 7) == packed


@quick
@given(shapes, seeds)
def test_padding_stays_zero(shape: tuple[int, ...], seed: int) -> None:
    words = BitRows.from_arrays(np.ones(shape, bool)).words
    bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    assert bits[..., : shape[3]].all()
    assert not bits[..., shape[3] :].any()


@pytest.mark.parametrize("width", range(1, 201))
def test_every_width(width: int) -> None:
    mask = masks((2, 1, 3, width), width)
    labels = (mask[0] * 1 + mask[1] * 2).astype(np.uint8)
    assert np.array_equal(BitRows.from_arrays(mask).to_arrays(), mask)
    assert BitRows.from_class_bits(labels, 2) == BitRows.from_arrays(mask)


@quick
@given(shapes, seeds)
def test_class_bits_come_back(shape: tuple[int, ...], seed: int) -> None:
    mask = masks(shape, seed)
    labels = sum(m.astype(np.uint8) << c for c, m in enumerate(mask))
    packed = BitRows.from_class_bits(labels, shape[0])
    assert packed == BitRows.from_arrays(mask)
    assert BitRows.from_class_bits(labels | 0xF0, shape[0]) == packed


@quick
@given(shapes, seeds)
def test_threshold_is_at_least(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 256, shape, np.uint8)
    thresholds = rng.choice([0, 1, 100, 254, 255], shape[0])
    expected = probabilities >= thresholds[:, None, None, None]
    packed = BitRows.from_threshold(probabilities, thresholds)
    assert np.array_equal(packed.to_arrays(), expected)


@quick
@given(shapes, seeds)
def test_counts_and_the_union(shape: tuple[int, ...], seed: int) -> None:
    a, b = masks(shape, seed), masks(shape, seed + 1)
    x, y = BitRows.from_arrays(a), BitRows.from_arrays(b)
    assert np.array_equal(x.slice_counts(), a.sum(axis=(2, 3)))
    assert np.array_equal(x.intersection_counts(y), (a & b).sum(axis=(2, 3)))
    assert np.array_equal(x.union().to_arrays(), a.any(axis=0, keepdims=True))
    assert (x == y) == np.array_equal(a, b)


def test_strided_and_read_only_input() -> None:
    mask = masks((6, 8, 150, 140), 5)
    view = mask[::2, ::-1, ::3, 1:-1:2]
    view.flags.writeable = False
    assert np.array_equal(BitRows.from_arrays(view).to_arrays(), view)


def _bits(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([labels >> c & 1 for c in range(classes)]).astype(bool)


@pytest.mark.parametrize("width", [1, 13, 63, 64, 65, 128, 130])
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("end", [True, False])
def test_nothing_outside_the_mask_is_read(width: int, rows: int, end: bool) -> None:
    rng = np.random.default_rng(width)
    mask = guarded(rng.random((1, 1, rows, width)) < 0.5, end=end)
    assert np.array_equal(BitRows.from_arrays(mask).to_arrays(), mask)
    labels = guarded(rng.integers(0, 8, (1, rows, width), np.uint8), end=end)
    assert np.array_equal(BitRows.from_class_bits(labels, 3).to_arrays(), _bits(labels, 3))


def test_a_byte_holds_eight_classes() -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(1, 4, 64)
    assert np.array_equal(BitRows.from_class_bits(labels, 8).to_arrays(), _bits(labels, 8))


TINY = BitRows.zeros(1, 2, 3, 4)


def test_zeros_are_empty_and_equality_needs_the_width() -> None:
    empty = BitRows.zeros(2, 3, 4, 65)
    assert empty.shape == (2, 3, 4, 65)
    assert not empty.to_arrays().any()
    assert empty != BitRows.zeros(2, 3, 4, 66)
    assert empty != "empty"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BitRows.from_arrays(np.zeros((2, 3, 4), bool)), "4 axes"),
        (lambda: BitRows.from_arrays(np.zeros((1, 2, 3, 4))), "float64"),
        (lambda: BitRows.from_arrays(np.zeros((1, 0, 3, 4), bool)), "zero"),
        (lambda: BitRows.from_class_bits(np.zeros((2, 3, 4), np.uint8), 9), "1 to 8"),
        (lambda: BitRows(np.zeros((1, 2, 3, 2), np.uint64), 64), "width 64"),
        (lambda: BitRows(np.zeros((1, 2, 3, 1), np.int64), 64), "int64"),
        (
            lambda: TINY.intersection_counts(BitRows.zeros(1, 2, 3, 5)),
            "differ",
        ),
        (
            lambda: BitRows.from_threshold(np.zeros((2, 1, 1, 1), np.uint8), np.array([1])),
            "2 classes",
        ),
        (
            lambda: BitRows.from_threshold(np.zeros((1, 1, 1, 1), np.uint8), np.array([256])),
            "0..255",
        ),
        (
            lambda: BitRows.from_threshold(np.zeros((1, 1, 1, 1), np.uint8), np.array([0.5])),
            "whole numbers",
        ),
    ],
)
def test_what_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_kernel_works_where_nothing_can_be_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    compiler = numba.njit

    def no_folder(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'twice': no locator available for file")
        return compiler(**options)

    monkeypatch.setattr(numba, "njit", no_folder)

    @kernel
    def twice(number):
        return 2 * number

    assert twice(21) == 42
    assert twice.signatures
