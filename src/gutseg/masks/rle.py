"""Run-length codec: row-major, 1-indexed `start length` pairs, as in train.csv.

The competition's page says column-major; its data are row-major (COMPETITION.md 3.3 in the
design notes; a test decodes and re-encodes the real rows). Reading is strict: pairs are whole,
positive, sorted, do not overlap and end inside the slice. Read but never written: runs that
touch, leading zeros, more than one space. Issues are worded by issue(), which is plain Python
and only sees a text that the compiled reader refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from gutseg.masks import rle_reading, rle_writing
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.intrinsics import frozen
from gutseg.registry import shown

Label = Callable[[int], str] | Sequence[str] | None
Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | float | None]

# the compiled reader looks at 64 characters at a time, slowly where there are fewer
_PADDING = b" " * 64


def encode(mask: np.ndarray) -> str:
    """Write a mask as run-length text; an empty mask gives "".

    mask: (H, W), non-zero = inside. Runs are sorted, as long as they can be, and may go on into
    the next row.
    """
    data = np.ascontiguousarray(mask if mask.dtype in (np.bool_, np.uint8) else mask != 0)
    data = frozen(data.reshape(-1).view(np.uint8))
    text = np.empty(16384, np.uint8)
    end = rle_writing.encode_flat(data, text)
    if end < 0:
        text = np.empty((data.size // 2 + 64) * 2 * _digits(data.size) + 64 * 21, np.uint8)
        end = rle_writing.encode_flat(data, text)
    return text[: max(0, end - 1)].tobytes().decode("ascii")


def decode(text: str | float | None, height: int, width: int, *, row: str = "") -> np.ndarray:
    """Read run-length text into a (H, W) bool mask; None, NaN and "" are empty.

    row: how errors name the row. Raises ValueError naming the row, the pair (from 1) and the
    value.
    """
    mask = np.zeros(height * width, np.uint8)
    if isinstance(text, str) and text:
        data = np.frombuffer(text.encode("ascii", "replace") + _PADDING, np.uint8)
        if not rle_reading.decode_flat(data, len(text), mask):
            raise ValueError(f"{row}: {issue(text, height, width)}".removeprefix(": "))
    return mask.view(bool).reshape(height, width)


def issue(text: str, height: int, width: int) -> str | None:
    """Say what is wrong with the first invalid pair of a text; None when nothing is."""
    words = [word for word in text.split(" ") if word]
    for position, word in enumerate(words):
        if not (word.isascii() and word.isdigit()):
            return f"pair {position // 2 + 1}: expected a whole number, found {shown(word)}"
        if len(word.lstrip("0")) > 30:
            return f"pair {position // 2 + 1}: a number of {len(word)} digits is past any pixel"
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


@dataclass(frozen=True)
class Issue:
    """A row that could not be read: its index in the column, and why."""

    row: int
    message: str


class Column:
    """A column of run-length texts as Arrow buffers, made once and decoded scan by scan."""

    def __init__(self, texts: Texts) -> None:
        """texts: an Arrow string array, or str with None, NaN or "" for empty masks."""
        if not isinstance(texts, pa.Array | pa.ChunkedArray):
            texts = pa.array(texts, pa.large_string(), from_pandas=True)
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
            texts = texts.cast(pa.large_string())
        self.texts = texts
        width = np.int32 if pa.types.is_string(texts.type) else np.int64
        _, offsets, data = texts.buffers()
        # an array without rows may come without buffers
        bounds = np.frombuffer(offsets, width) if len(texts) else np.zeros(1, width)
        bounds = bounds[texts.offset : texts.offset + len(texts) + 1]
        self.offsets = frozen(bounds.astype(np.int64, copy=False))
        self.data = np.frombuffer(data or b"", np.uint8)
        valid = np.zeros(0, bool)
        if texts.null_count:
            valid = texts.is_valid().to_numpy(zero_copy_only=False)
        self.valid = frozen(valid.view(np.uint8))

    def __len__(self) -> int:
        return len(self.texts)

    def decode_scan(
        self,
        class_index: np.ndarray,
        z_index: np.ndarray,
        shape: tuple[int, int, int, int],
        *,
        rows: np.ndarray | None = None,
        label: Label = None,
        issues: list[Issue] | None = None,
    ) -> BitRows:
        """Decode the rows of one scan; slices without a row are empty.

        class_index, z_index: (M,), where rows[m] belongs. shape: (C, Z, H, W). rows: (M,) into
        the column, all by default. label: names a row in errors, looked up only then.
        issues: a list that collects the invalid rows, whose slices stay empty; without it the
        first one raises ValueError.
        """
        classes, depth, height, width = shape
        rows = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        slots = _slots(class_index, z_index, rows, shape)
        scan = BitRows.zeros(classes, depth, height, width)
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        longest = int(lengths.max(initial=0))
        scratch = np.empty(longest + 2, np.int64), np.empty((longest // 4 + 1, 2), np.int64)
        seen, invalid = np.full(classes * depth, -1, np.int64), np.zeros(len(rows), np.uint8)
        words = scan.words.reshape(classes * depth, -1)
        rle_reading.decode_rows(
            self.data, self.offsets, self.valid, rows, slots, width, words, *scratch, seen, invalid
        )
        for m in np.flatnonzero(invalid):
            row = int(rows[m])
            if invalid[m] == 1:
                why = issue(self.texts[row].as_py(), height, width)
            else:
                why = f"a second row for the class and slice of {_name(label, int(seen[slots[m]]))}"
            found = Issue(row, f"{_name(label, row)}: {why}")
            if issues is None:
                raise ValueError(found.message)
            issues.append(found)
        return scan


def decode_column(
    texts: Column | Texts,
    scan_index: np.ndarray,
    class_index: np.ndarray,
    z_index: np.ndarray,
    shapes: Sequence[tuple[int, int, int, int]],
    *,
    label: Label = None,
    issues: list[Issue] | None = None,
) -> Iterator[BitRows]:
    """Decode a whole csv column, rows in any order: the masks of one scan after the other.

    Lazy, so that a scan's memory can serve the next. scan_index, class_index, z_index: (N,),
    where each row belongs. shapes: (C, Z, H, W) of each scan. label, issues: as in
    Column.decode_scan.
    """
    column = texts if isinstance(texts, Column) else Column(texts)
    scans, classes, slices = (np.asarray(index) for index in (scan_index, class_index, z_index))
    if not len(column) == len(scans) == len(classes) == len(slices):
        raise ValueError(
            f"{len(column)} texts need as many scan, class and z indices, "
            f"found {len(scans)}, {len(classes)}, {len(slices)}"
        )
    if len(scans) and not 0 <= scans.min() <= scans.max() < len(shapes):
        raise ValueError(f"scan indices {scans.min()}..{scans.max()} of {len(shapes)} shapes")
    order = np.argsort(scans, kind="stable")
    bounds = np.searchsorted(scans[order], np.arange(len(shapes) + 1))

    def one(n: int) -> BitRows:
        rows = order[bounds[n] : bounds[n + 1]]
        places = classes[rows], slices[rows]
        return column.decode_scan(*places, shapes[n], rows=rows, label=label, issues=issues)

    return map(one, range(len(shapes)))


def encode_scan(masks: BitRows, *, by_class: bool = False) -> list[str]:
    """Write every slice of a scan: C * Z texts, slice by slice as in the csv, or class by class."""
    classes, depth, height, width = masks.shape
    words = masks.slices
    # what a row of runs one pixel long and the end of an open run take at most
    room = (width // 2 + 2) * 2 * (_digits(height * width) + 1) + 8
    text = np.empty(max(65536, 2 * room), np.uint8)
    ends = np.zeros(classes * depth + 1, np.int64)
    done = 0
    while True:
        done = rle_writing.encode_slices(words, width, done, room, text, ends)
        if done == len(words):
            break
        text = np.concatenate([text, np.empty_like(text)])
    joined = text[: ends[-1]].tobytes().decode("ascii")
    starts, stops = ends[:-1], np.maximum(ends[:-1], ends[1:] - 1)
    if not by_class:
        starts, stops = (index.reshape(classes, depth).T.reshape(-1) for index in (starts, stops))
    return [joined[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]


def _slots(
    class_index: np.ndarray, z_index: np.ndarray, rows: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Slice number class * Z + z of every row, (M,) int64, checked."""
    checked = []
    for name, index, size in (("class", class_index, shape[0]), ("z", z_index, shape[1])):
        index = np.asarray(index, np.int64)
        if index.shape != rows.shape:
            raise ValueError(f"{len(rows)} rows need as many {name} indices, found {index.shape}")
        if index.size and not 0 <= index.min() <= index.max() < size:
            outside = index[(index < 0) | (index >= size)][0]
            raise ValueError(f"{name} index {outside} is outside 0..{size - 1}")
        checked.append(index)
    return checked[0] * shape[1] + checked[1]


def _name(label: Label, row: int) -> str:
    if label is None:
        return f"row {row}"
    return label(row) if callable(label) else label[row]


def _digits(number: int) -> int:
    return len(str(number))
