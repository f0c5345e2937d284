"""The compiled codec against a ten-line plain one, real rows, and every kind of faulty text."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from guarded import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_rle import near_texts, plain_decode, plain_encode

from gutseg.constants import CLASSES, COMPETITION
from gutseg.data import rle
from gutseg.metrics.bitrows import BitRows

quick = settings(max_examples=150, deadline=None)
seeds = st.integers(0, 2**32 - 1)
slices = st.tuples(st.integers(1, 12), st.integers(1, 200))


def draw(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Masks from empty over blocks and noise to full."""
    rng = np.random.default_rng(seed)
    noise = rng.random(shape) < rng.choice([0.0, 0.01, 0.5, 0.99, 1.0])
    block = np.zeros(shape, bool)
    block[..., rng.integers(shape[-2]) :, rng.integers(shape[-1]) :] = True
    return [noise, block, noise & block, noise ^ block][rng.integers(4)]


@quick
@given(slices, seeds)
def test_one_mask_equals_the_plain_codec(shape: tuple[int, int], seed: int) -> None:
    mask = draw(shape, seed)
    text = rle.encode(mask)
    assert text == plain_encode(mask)
    found = rle.decode(text, *shape)
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
    assert rle.encode(mask) == text
    assert np.array_equal(rle.decode(text, *mask.shape), mask)


def test_any_dtype_and_stride_encodes() -> None:
    mask = draw((40, 150), 3)[::-2, 3::2]
    for form in (mask, mask.astype(np.float32), mask * 255, mask.astype(np.int64)):
        assert rle.encode(form) == plain_encode(mask)


def test_more_text_than_the_first_buffer_holds() -> None:
    mask = np.indices((300, 301)).sum(axis=0) % 2 == 0
    text = rle.encode(mask)
    assert text == plain_encode(mask)
    assert np.array_equal(rle.decode(text, *mask.shape), mask)
    scan = BitRows.from_arrays(np.stack([mask, ~mask])[None])
    assert rle.encode_scan(scan) == [text, plain_encode(~mask)]


def test_nine_digits() -> None:
    mask = np.zeros((10_001, 10_001), np.uint8)
    mask[-1, -3:-1] = mask[0, 0] = 1
    assert rle.encode(mask) == "1 1 100019999 2"
    assert np.array_equal(rle.decode("1 1 100019999 2", 10_001, 10_001), mask)


@pytest.mark.parametrize("text", [None, float("nan"), "", " "])
def test_nothing_is_an_empty_mask(text: str | float | None) -> None:
    assert not rle.decode(text, 3, 4).any()


@pytest.mark.parametrize("text", ["1 2 3 4", " 1  2 3 4 ", "01 2 0000000000003 4", "1 6"])
def test_read_but_never_written(text: str) -> None:
    mask = rle.decode(text, 2, 4)
    assert mask.ravel().tolist() == [True] * 6 + [False] * 2
    assert rle.encode(mask) == "1 6"


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
    # a sound pair behind the faulty one
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
    with pytest.raises(ValueError, match=f"^train.csv row 12: .*{message}"):
        rle.decode(text, 4, 5, row="train.csv row 12")
    with pytest.raises(ValueError, match="^pair"):
        rle.decode(text, 4, 5)
    with pytest.raises(ValueError, match=message):
        list(rle.decode_column([text], [0], [0], [0], [(1, 1, 4, 5)]))


@settings(max_examples=600, deadline=None)
@given(st.one_of(near_texts(), st.text("0123456789 x", max_size=40)))
def test_any_text_is_read_or_refused_as_by_the_plain_codec(text: str) -> None:
    expected = plain_decode(text, 6, 11)
    assert (rle.fault(text, 6, 11) is None) == (expected is not None)
    for decode in (
        lambda: rle.decode(text, 6, 11),
        # with a neighbour behind it, whose digits must not be read
        lambda: next(rle.decode_column([text, "7 7"], [0, 1], [0, 0], [0, 0], [(1, 1, 6, 11)] * 2)),
    ):
        if expected is None:
            with pytest.raises(ValueError, match="pair"):
                decode()
        else:
            found = decode()
            found = found.to_arrays()[0, 0] if isinstance(found, BitRows) else found
            assert np.array_equal(found, expected)


def column_of_scans(seed: int) -> tuple[pd.DataFrame, list[tuple[int, ...]], list[np.ndarray]]:
    """Shuffled rows of three scans of different sizes."""
    rng = np.random.default_rng(seed)
    shapes = [(3, *(int(n) for n in rng.integers((1, 1, 1), (5, 9, 200)))) for _ in range(3)]
    masks = [np.stack([draw(shape[1:], seed + c) for c in range(3)]) for shape in shapes]
    rows = [
        (scan, c, z, plain_encode(masks[scan][c, z]))
        for scan, shape in enumerate(shapes)
        for c in range(3)
        for z in range(shape[1])
    ]
    table = pd.DataFrame(rows, columns=["scan", "c", "z", "text"])
    return table.sample(frac=1, random_state=seed), shapes, masks


FORMS: dict[str, Callable[[list[str]], object]] = {
    "list": lambda texts: texts,
    "None for empty": lambda texts: [text or None for text in texts],
    "NaN for empty": lambda texts: [text or float("nan") for text in texts],
    "series": lambda texts: pd.Series([text or None for text in texts]),
    "arrow": lambda texts: pa.array(texts),
    "large arrow": lambda texts: pa.array([text or None for text in texts], pa.large_string()),
    "chunks": lambda texts: pa.chunked_array([texts[:2], [], texts[2:]], pa.string()),
    "slice": lambda texts: pa.array(["9 9", None, *texts, "1"])[2:-1],
    "dictionary": lambda texts: pa.array(texts).dictionary_encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_a_column_in_any_form_and_order(form: str, seed: int) -> None:
    table, shapes, masks = column_of_scans(seed)
    texts = FORMS[form](table["text"].tolist())
    found = rle.decode_column(texts, table["scan"], table["c"], table["z"], shapes)
    for scan, mask in zip(found, masks, strict=True):
        assert np.array_equal(scan.to_arrays(), mask)


@quick
@given(st.integers(1, 3), st.integers(1, 4), slices, seeds)
def test_a_scan_encodes_as_its_slices_do(
    classes: int, depth: int, shape: tuple[int, int], seed: int
) -> None:
    masks = np.stack([draw((depth, *shape), seed + c) for c in range(classes)])
    scan = BitRows.from_arrays(masks)
    assert rle.encode_scan(scan) == [
        plain_encode(masks[c, z]) for z in range(depth) for c in range(classes)
    ]
    assert rle.encode_scan(scan, by_class=True) == [
        plain_encode(masks[c, z]) for c in range(classes) for z in range(depth)
    ]


def test_all_faults_are_collected_and_only_they_are_named() -> None:
    texts = ["1 2", "1 x", None, "5 9", "3 1", "0 1"]
    named, faults = [], []

    def label(row: int) -> str:
        named.append(row)
        return f"train.csv row {row + 2}"

    column = rle.decode_column(
        texts,
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 0, 0, 1],
        [0, 1, 0, 0, 0, 1],
        [(2, 2, 2, 4)] * 2,
        label=label,
        faults=faults,
    )
    assert not faults
    scans = list(column)
    assert [fault.row for fault in faults] == [1, 3, 4, 5]
    assert sorted(set(named)) == [1, 3, 4, 5]
    assert faults[0].message.startswith("train.csv row 3: pair 1: expected a whole number")
    assert faults[1].message.startswith("train.csv row 5: pair 1: start 5 length 9 runs past")
    assert faults[2].message.startswith("train.csv row 6: a second row")
    assert "train.csv row 5" in faults[2].message
    assert scans[0].count().tolist() == [2, 0]
    assert scans[1].count().tolist() == [0, 0]


def test_labels_from_a_list_and_a_subset_of_rows() -> None:
    column = rle.Column(["1 x", "1 1", "2 2"])
    options = {"rows": np.array([2, 1]), "label": ["a", "b", "c"]}
    scan = column.decode_scan([0, 0], [1, 0], (1, 2, 1, 4), **options)
    assert scan.to_arrays()[0, :, 0].tolist() == [[1, 0, 0, 0], [0, 1, 1, 0]]
    with pytest.raises(ValueError, match="^c: a second row for the class and slice of c|^b: "):
        column.decode_scan([0, 0], [1, 1], (1, 2, 1, 4), **options)
    with pytest.raises(ValueError, match="^row 0: pair 1"):
        column.decode_scan([0] * 3, [0, 1, 2], (1, 3, 1, 4))


def test_a_null_with_text_behind_it_is_empty() -> None:
    text = pa.array(["1 1", "2 2"])
    bitmap = pa.py_buffer(bytes([0b10]))
    masked = pa.StringArray.from_buffers(2, *text.buffers()[1:], bitmap)
    scan = rle.Column(masked).decode_scan([0, 0], [0, 1], (1, 2, 1, 4))
    assert scan.slice_counts().tolist() == [[0, 2]]


@pytest.mark.parametrize("runs", [1, 2, 3, 5, 8, 13, 40])
@pytest.mark.parametrize("end", [True, False])
def test_nothing_outside_the_column_is_read(runs: int, end: bool) -> None:
    text = " ".join(f"{3 * run + 1} 2" for run in range(runs))
    data = guarded(np.frombuffer(text.encode(), np.uint8), end=end)
    offsets = np.array([0, len(text)], np.int32)
    column = pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(data))
    scan = rle.Column(column).decode_scan([0], [0], (1, 1, 4, 31))
    assert np.array_equal(scan.to_arrays()[0, 0], plain_decode(text, 4, 31))


def test_an_empty_column() -> None:
    assert list(rle.decode_column([], [], [], [], [(1, 2, 3, 4)])) == [BitRows.zeros(1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (([0, 0], [0], [0]), "1 texts"),
        (([1], [0], [0]), "scan indices"),
        (([0], [3], [0]), "class index 3"),
        (([0], [0], [-1]), "z index -1"),
    ],
)
def test_indices_are_checked(indices: tuple[list[int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(rle.decode_column(["1 1"], *indices, [(3, 2, 2, 2)]))


def test_real_rows_come_back_letter_by_letter(real_data: Path) -> None:
    table = pd.read_csv(real_data / "uwmgi" / COMPETITION / "train.csv", keep_default_na=False)
    scan, number = table["id"].str.split("_slice_", expand=True).T.to_numpy()
    names, scan_index = np.unique(scan, return_inverse=True)
    class_index = table["class"].map(CLASSES.index).to_numpy()
    z_index = number.astype(int) - 1
    shapes = [(3, 144, 266, 266)] * len(names)
    scans = rle.decode_column(table["segmentation"], scan_index, class_index, z_index, shapes)
    texts = np.array([rle.encode_scan(masks, by_class=True) for masks in scans], dtype=object)
    again = texts.reshape(len(names), 3, 144)[scan_index, class_index, z_index]
    assert len(table) == 6048
    assert again.tolist() == table["segmentation"].tolist()
    assert [rle.encode(rle.decode(text, 266, 266)) for text in again[::7]] == again[::7].tolist()
