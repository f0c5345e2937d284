"""The compiled codec against a ten-line plain one, real rows, and every kind of invalid text."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_rle import decode_column, draw, near_texts, plain_decode, plain_encode

from gutseg.constants import CLASSES, COMPETITION
from gutseg.masks import rle_column, rle_reading, rle_writing
from gutseg.masks.bit_rows import BitRows

quick = settings(max_examples=150, deadline=None)
seeds = st.integers(0, 2**32 - 1)
slices = st.tuples(st.integers(1, 12), st.integers(1, 200))


@quick
@given(slices, seeds)
def test_one_mask_equals_the_plain_codec(shape: tuple[int, int], seed: int) -> None:
    mask = draw(shape, seed)
    text = rle_writing.encode(mask)
    assert text == plain_encode(mask)
    found = rle_reading.decode(text, *shape)
    assert found.dtype == bool
    assert np.array_equal(found, mask)


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        ([[0, 0], [0, 0]], ""),
        ([[1, 1], [1, 1]], "1 4"),
        ([[1, 0], [0, 1]], "1 1 4 1"),
        ([[0, 1], [1, 0]], "2 2"),
        ([[0, 0, 0], [0, 0, 1]], "6 1"),
    ],
)
def test_by_hand(mask: list[list[int]], text: str) -> None:
    mask = np.array(mask)
    assert rle_writing.encode(mask) == text
    assert np.array_equal(rle_reading.decode(text, *mask.shape), mask)


def test_any_dtype_and_stride_encodes() -> None:
    mask = draw((40, 150), 3)[::-2, 3::2]
    for form in (mask, mask.astype(np.float32), mask * 255, mask.astype(np.int64)):
        assert rle_writing.encode(form) == plain_encode(mask)


def test_more_text_than_the_first_buffer_holds() -> None:
    mask = np.indices((300, 301)).sum(axis=0) % 2 == 0
    text = rle_writing.encode(mask)
    assert text == plain_encode(mask)
    assert np.array_equal(rle_reading.decode(text, *mask.shape), mask)
    scan = BitRows.from_arrays(np.stack([mask, ~mask])[None])
    assert rle_writing.encode_scan(scan) == [text, plain_encode(~mask)]


def test_nine_digits() -> None:
    mask = np.zeros((10_001, 10_001), np.uint8)
    mask[-1, -3:-1] = mask[0, 0] = 1
    assert rle_writing.encode(mask) == "1 1 100019999 2"
    assert np.array_equal(rle_reading.decode("1 1 100019999 2", 10_001, 10_001), mask)


@pytest.mark.parametrize("width", [1, 64, 65, 130])
@pytest.mark.parametrize("row", [0, 1, 5, 31, 32, 63, 64, 65, 100, 127, 128, 199])
def test_blank_rows_before_the_first_run(width: int, row: int) -> None:
    """Slices of 200 to 600 words, which are passed over 64 at a time."""
    mask = np.zeros((200, width), bool)
    mask[row, width // 2 :] = mask[-1, -1] = True
    assert rle_writing.encode_scan(BitRows.from_arrays(mask[None, None])) == [plain_encode(mask)]


def test_numbers_of_any_length() -> None:
    starts = [7, 86, 123, 9_876, 12_345, 987_654, 2_345_678, 23_456_789]
    lengths = [1, 2, 3, 12, 345, 6_789, 12_345_678, 1_234_567]
    text = " ".join(f"{start} {length}" for start, length in zip(starts, lengths, strict=True))
    mask = np.zeros((1, 1, 1, 25_000_000), bool)
    for start, length in zip(starts, lengths, strict=True):
        mask[..., start - 1 : start - 1 + length] = True
    packed = BitRows.from_arrays(mask)
    assert rle_column.Column([text]).decode_scan([0], [0], mask.shape) == packed
    assert rle_writing.encode_scan(packed) == [text]


@pytest.mark.parametrize("text", [None, float("nan"), "", " "])
def test_nothing_is_an_empty_mask(text: str | float | None) -> None:
    assert not rle_reading.decode(text, 3, 4).any()


@pytest.mark.parametrize("text", ["1 2 3 4", " 1  2 3 4 ", "01 2 0000000000003 4", "1 6"])
def test_read_but_never_written(text: str) -> None:
    mask = rle_reading.decode(text, 2, 4)
    assert mask.ravel().tolist() == [True] * 6 + [False] * 2
    assert rle_writing.encode(mask) == "1 6"


FAULTS = [
    ("1 2 3", "pair 2: start 3 has no length; expected `start length` pairs, found 3 numbers"),
    ("1 x", "pair 1: expected a whole number, found 'x'"),
    ("1 2 3 -4", "pair 2: expected a whole number, found '-4'"),
    ("1.0 2", "pair 1: expected a whole number, found '1.0'"),
    ("1\t2", r"pair 1: expected a whole number, found '1\\t2'"),
    ("1 ２", "pair 1: expected a whole number, found '２'"),
    ("0 2", "pair 1: start 0 length 2 is not positive"),
    ("1 0", "pair 1: start 1 length 0 is not positive"),
    ("5 1 2 1", "pair 2: start 2 length 1 begins before pair 1 ends at 5"),
    ("1 5 5 1", "pair 2: start 5 length 1 begins before pair 1 ends at 5"),
    # a sound pair behind the invalid one
    ("0 2 5 1", "pair 1: start 0 length 2 is not positive"),
    ("1 0 5 1", "pair 1: start 1 length 0 is not positive"),
    ("5 1 2 1 8 1", "pair 2: start 2 length 1 begins before pair 1 ends at 5"),
    ("1 18446744073709551617 4 1", "length 18446744073709551617 runs past the end"),
    ("20 2", r"pair 1: start 20 length 2 runs past the end of a 4x5 slice \(20 pixels\)"),
    ("21 1", "runs past the end"),
    ("99999999999999999999 1", "start 99999999999999999999 length 1 runs past the end"),
    ("9" * 5000 + " 1", "pair 1: a number of 5000 digits is past any pixel"),
    ("1 18446744073709551617", "length 18446744073709551617 runs past the end"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_every_fault_names_row_pair_and_value(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^pair.*{message}|^{message}"):
        rle_reading.decode(text, 4, 5)
    with pytest.raises(ValueError, match=f"^train.csv row 12: .*{message}"):
        list(
            decode_column([text], [0], [0], [0], [(1, 1, 4, 5)], label=lambda _: "train.csv row 12")
        )


@settings(max_examples=600, deadline=None)
@given(st.one_of(near_texts(), st.text("0123456789 x", max_size=40)))
def test_any_text_is_read_or_refused_as_by_the_plain_codec(text: str) -> None:
    expected = plain_decode(text, 6, 11)
    assert (rle_reading.issue(text, 6, 11) is None) == (expected is not None)
    for decode in (
        lambda: rle_reading.decode(text, 6, 11),
        # with a neighbour behind it, whose digits must not be read
        lambda: next(decode_column([text, "7 7"], [0, 1], [0, 0], [0, 0], [(1, 1, 6, 11)] * 2)),
    ):
        if expected is None:
            with pytest.raises(ValueError, match="pair"):
                decode()
        else:
            found = decode()
            found = found.to_arrays()[0, 0] if isinstance(found, BitRows) else found
            assert np.array_equal(found, expected)


def test_real_rows_come_back_letter_by_letter(real_data: Path) -> None:
    table = pd.read_csv(real_data / "uwmgi" / COMPETITION / "train.csv", keep_default_na=False)
    scan, number = table["id"].str.split("_slice_", expand=True).T.to_numpy()
    names, scan_index = np.unique(scan, return_inverse=True)
    class_index = table["class"].map(CLASSES.index).to_numpy()
    z_index = number.astype(int) - 1
    shapes = [(3, 144, 266, 266)] * len(names)
    scans = decode_column(table["segmentation"], scan_index, class_index, z_index, shapes)
    texts = np.array([rle_writing.encode_scan(masks) for masks in scans], dtype=object)
    again = texts.reshape(len(names), 144, 3)[scan_index, z_index, class_index]
    assert len(table) == 6048
    assert again.tolist() == table["segmentation"].tolist()
    masks = [rle_reading.decode(text, 266, 266) for text in again[::7]]
    assert [rle_writing.encode(mask) for mask in masks] == again[::7].tolist()
