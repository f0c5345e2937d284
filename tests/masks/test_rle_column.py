"""Columns of run-length texts: every form and order, issues, labels and indices."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from guarded import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_rle import decode_column, draw, plain_decode, plain_encode

from gutseg.masks import rle_column, rle_writing
from gutseg.masks.bit_rows import BitRows

quick = settings(max_examples=150, deadline=None)
seeds = st.integers(0, 2**32 - 1)
slices = st.tuples(st.integers(1, 12), st.integers(1, 200))


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
    found = decode_column(texts, table["scan"], table["c"], table["z"], shapes)
    for scan, mask in zip(found, masks, strict=True):
        assert np.array_equal(scan.to_arrays(), mask)


@quick
@given(st.integers(1, 3), st.integers(1, 4), slices, seeds)
def test_a_scan_encodes_as_its_slices_do(
    classes: int, depth: int, shape: tuple[int, int], seed: int
) -> None:
    masks = np.stack([draw((depth, *shape), seed + c) for c in range(classes)])
    scan = BitRows.from_arrays(masks)
    assert rle_writing.encode_scan(scan) == [
        plain_encode(masks[c, z]) for z in range(depth) for c in range(classes)
    ]


def test_all_faults_are_collected_and_only_they_are_named() -> None:
    texts = ["1 2", "1 x", None, "5 9", "3 1", "0 1"]
    named, issues = [], []

    def label(row: int) -> str:
        named.append(row)
        return f"train.csv row {row + 2}"

    column = decode_column(
        texts,
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 0, 0, 1],
        [0, 1, 0, 0, 0, 1],
        [(2, 2, 2, 4)] * 2,
        label=label,
        issues=issues,
    )
    assert not issues
    scans = list(column)
    assert [issue.row for issue in issues] == [1, 3, 4, 5]
    assert sorted(set(named)) == [1, 3, 4, 5]
    assert issues[0].message.startswith("train.csv row 3: pair 1: expected a whole number")
    assert issues[1].message.startswith("train.csv row 5: pair 1: start 5 length 9 runs past")
    assert issues[2].message.startswith("train.csv row 6: a second row")
    assert "train.csv row 5" in issues[2].message
    assert scans[0].slice_counts().tolist() == [[2, 0], [0, 0]]
    assert scans[1].slice_counts().tolist() == [[0, 0], [0, 0]]


def test_labels_and_a_subset_of_rows() -> None:
    column = rle_column.Column(["1 x", "1 1", "2 2"])
    options = {"rows": np.array([2, 1]), "label": "abc".__getitem__}
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
    scan = rle_column.Column(masked).decode_scan([0, 0], [0, 1], (1, 2, 1, 4))
    assert scan.slice_counts().tolist() == [[0, 2]]


@pytest.mark.parametrize("runs", [1, 2, 3, 5, 8, 13, 40])
@pytest.mark.parametrize("end", [True, False])
def test_nothing_outside_the_column_is_read(runs: int, end: bool) -> None:
    text = " ".join(f"{3 * run + 1} 2" for run in range(runs))
    data = guarded(np.frombuffer(text.encode(), np.uint8), end=end)
    offsets = np.array([0, len(text)], np.int32)
    column = pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(data))
    scan = rle_column.Column(column).decode_scan([0], [0], (1, 1, 4, 31))
    assert np.array_equal(scan.to_arrays()[0, 0], plain_decode(text, 4, 31))


def test_an_empty_column() -> None:
    assert list(decode_column([], [], [], [], [(1, 2, 3, 4)])) == [BitRows.zeros(1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (([0, 0], [0]), "1 rows need as many class indices"),
        (([0], [0, 0]), "1 rows need as many z indices"),
        (([3], [0]), "class index 3"),
        (([0], [-1]), "z index -1"),
    ],
)
def test_indices_are_checked(indices: tuple[list[int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rle_column.Column(["1 1"]).decode_scan(*indices, (3, 2, 2, 2))
