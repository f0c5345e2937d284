"""A column of run-length texts, decoded scan by scan into bit rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gutseg.masks.bit_rows import BitRows
from gutseg.masks.intrinsics import frozen
from gutseg.masks.rle_reading import decode_rows, issue


@dataclass(frozen=True)
class Issue:
    """A row that could not be read."""

    # its index in the column
    row: int
    message: str
    # another row of the same class and slice came before
    repeated: bool


class Column:
    """A column of run-length texts as Arrow buffers, made once and decoded scan by scan."""

    def __init__(self, texts: pa.Array | pa.ChunkedArray | Sequence[str | float | None]) -> None:
        """texts: an Arrow string array, or str with None, NaN or "" for empty masks."""
        if not isinstance(texts, pa.Array | pa.ChunkedArray):
            texts = pa.array(texts, pa.large_string(), from_pandas=True)
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        self.texts = texts = pc.fill_null(texts.cast(pa.large_string()), "")
        _, offsets, data = texts.buffers()
        # an array without rows may come without buffers
        bounds = np.frombuffer(offsets, np.int64) if len(texts) else np.zeros(1, np.int64)
        self.offsets = frozen(bounds[texts.offset : texts.offset + len(texts) + 1])
        self.data = np.frombuffer(data or b"", np.uint8)

    def decode_scan(
        self,
        class_index: np.ndarray,
        z_index: np.ndarray,
        shape: tuple[int, int, int, int],
        *,
        rows: np.ndarray | None = None,
        label: Callable[[int], str] = "row {}".format,
        issues: list[Issue] | None = None,
    ) -> BitRows:
        """Decode the rows of one scan; slices without a row are empty.

        class_index, z_index: (M,), where rows[m] belongs. shape: (C, Z, H, W). rows: (M,) into
        the column, all by default. label: names a row in errors. issues: collects the invalid
        rows, whose slices stay empty; without it the first one raises ValueError.
        """
        classes, depth, height, width = shape
        rows = np.arange(len(self.texts)) if rows is None else np.asarray(rows, np.int64)
        slots = _slots(class_index, z_index, rows, shape)
        scan = BitRows.zeros(classes, depth, height, width)
        seen, invalid = np.full(classes * depth, -1, np.int64), np.zeros(len(rows), np.uint8)
        words = scan.words.reshape(classes * depth, -1)
        decode_rows(self.data, self.offsets, rows, slots, width, words, seen, invalid)
        for m in np.flatnonzero(invalid):
            row = int(rows[m])
            repeated = bool(invalid[m] == 2)
            why = issue(self.texts[row].as_py(), height, width)
            if repeated:
                why = f"a second row for the class and slice of {label(int(seen[slots[m]]))}"
            found = Issue(row, f"{label(row)}: {why}", repeated)
            if issues is None:
                raise ValueError(found.message)
            issues.append(found)
        return scan


def _slots(
    class_index: np.ndarray, z_index: np.ndarray, rows: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Slice number class * Z + z of every row, (M,) int64, checked."""
    checked = []
    for name, index, size in (("class", class_index, shape[0]), ("z", z_index, shape[1])):
        index = np.asarray(index, np.int64)
        if index.shape != rows.shape:
            raise ValueError(f"{len(rows)} rows need as many {name} indices, found {index.shape}")
        if (outside := index[(index < 0) | (index >= size)]).size:
            raise ValueError(f"{name} index {outside[0]} is outside 0..{size - 1}")
        checked.append(index)
    return checked[0] * shape[1] + checked[1]
