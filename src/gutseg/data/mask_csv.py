"""csvs of id, class and run-length text: train.csv, the sample, submissions and truths."""

import codecs
import csv
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from gutseg.constants import CLASSES
from gutseg.data.index import NOT_A_CLASS, NOT_AN_ID, SLICE_ID, Issues, Slices
from gutseg.data.tables import parse_csv, read_content
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.rle_column import Column, Issue
from gutseg.registry import NAMED, as_is, listed

REMEDY = "give a csv of id, class and run-length text"


def read_rows(path: Path, text_columns: Sequence[str], issues: Issues) -> pa.Table:
    """Read a csv (also .csv.gz or a stream) of id, class and one of the text columns, all as text.

    Two columns are added: `row`, the line of the file (the header is 1), and `broken`: rows of
    too many or too few fields are issues, and stay. A blank line is not a row. Raises ValueError
    when the file is empty or has another header.
    """
    content = read_content(path, REMEDY).removeprefix(codecs.BOM_UTF8)
    header = b"".join(content[:4096].splitlines()[:1]).decode("utf-8", "replace")
    if "\0" in header:
        raise ValueError(f"{path} is not a readable csv: it holds binary data; {REMEDY}")
    names = _fields(header)
    choices = [["id", "class", column] for column in text_columns]
    if names not in choices:
        expected = " or ".join(map(",".join, choices))
        raise ValueError(f"{path}: header is {as_is(header) or 'empty'}; expected {expected}")
    table = _read_at_once(content, names)
    return _read_line_by_line(content, names, path, issues) if table is None else table


def _read_at_once(content: bytes, names: list[str]) -> pa.Table | None:
    """Read a csv without quotes whose lines all have as many fields; None for any other."""
    if b'"' in content:
        return None
    try:
        table = parse_csv(content, names, blank_lines=True)
    except pa.ArrowInvalid:  # a line of too many or too few fields, bytes that are not text
        return None
    if pc.any(pc.equal(table[0], "")).as_py():  # pyarrow makes a blank line a row of empty fields
        return None
    row, broken = np.arange(len(table)) + 2, np.zeros(len(table), bool)
    return table.append_column("row", [row]).append_column("broken", [broken])


def _read_line_by_line(content: bytes, names: list[str], path: Path, issues: Issues) -> pa.Table:
    rows = []
    for number, line in enumerate(_lines(content, path, issues)[1:], start=2):
        if not line.strip():
            continue
        fields = _fields(line)
        broken = len(fields) != len(names)
        if broken:
            problem = f"has {len(fields)} fields; expected {','.join(names)}"
            issues.add(f"{path.name} row {number}", problem)
        texts = dict(zip_longest(names, fields[: len(names)], fillvalue=""))
        rows.append({**texts, "row": number, "broken": broken})
    kinds = dict.fromkeys(names, pa.string()) | {"row": pa.int64(), "broken": pa.bool_()}
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def _lines(content: bytes, path: Path, issues: Issues) -> list[str]:
    """Split into lines, whatever they end with; bytes that are not text become question marks."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        issues.add(f"{path.name} row {line}", f"is not UTF-8 text: {error.reason}")
        text = content.decode(errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _fields(line: str) -> list[str]:
    # line by line, so that an open quote does not take the rest of the file with it
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return [field.strip('"') for field in line.split(",")] + ["an open quote"]


def check_rows(rows: pd.DataFrame, path: Path, issues: Issues) -> "pd.Series[bool]":
    """Record malformed ids, unknown classes and repeated pairs; return which rows are good."""
    good = ~rows["broken"]
    checks = (
        (~rows["id"].str.fullmatch(SLICE_ID.pattern), "id", NOT_AN_ID),
        (~rows["class"].isin(CLASSES), "class", NOT_A_CLASS),
        (rows.duplicated(["id", "class"]), "id", "is listed twice with this class"),
    )
    for wrong, column, problem in checks:
        for position in rows.index[wrong & good]:
            where = f"{path.name} row {rows.at[position, 'row']}"
            issues.add(where, f"{column} {rows.at[position, column][:60]!r} {problem}")
        good &= ~wrong
    return good


def read_labels(path: Path, issues: Issues) -> pd.DataFrame:
    """Read good rows of train.csv: id, class, segmentation, row (the file's line), scan."""
    rows = read_rows(path, ("segmentation",), issues).to_pandas()
    labels = rows[check_rows(rows, path, issues)].drop(columns="broken").reset_index(drop=True)
    return labels.assign(scan=labels["id"].str.rsplit("_", n=2).str[0])


class MaskCsv:
    """A csv of id, class and segmentation or predicted, its rows found among the slices."""

    def __init__(self, path: Path, slices: Slices) -> None:
        """Raises ValueError when the csv cannot be read, naming the first row that is broken."""
        self.path, self.slices = path, slices
        table = read_rows(path, ("segmentation", "predicted"), Issues(hint=f"; {REMEDY}"))
        self.ids, self.organs = table["id"].cast(pa.large_string()), table["class"]
        self.lines, self.texts = table["row"].to_numpy(), Column(table[2])
        # (N,) indices, -1 where the id or class of a row is unknown
        self.slice = _position(self.ids, slices.ids)
        self.organ = _position(self.organs, pa.array(CLASSES))
        known = (self.slice >= 0) & (self.organ >= 0)
        self.key = np.where(known, self.slice * len(CLASSES) + self.organ, -1)

    def unlisted_scans(self) -> set[str]:
        """Name the scans of which the slices list nothing; a malformed id raises ValueError."""
        rows = np.flatnonzero(self.slice < 0).tolist()
        for row in rows:
            if not SLICE_ID.fullmatch(str(self.ids[row])):
                raise ValueError(f"{self.label(row)}: the id {NOT_AN_ID}")
        return {_scan_name(self.ids[row]) for row in rows} - set(self.slices.names)

    def of_scans(self, names: set[str]) -> np.ndarray:
        """(N,) bool: rows of scans that the slices do not list but `names` does."""
        found = np.zeros(len(self.slice), bool)
        for row in np.flatnonzero(self.slice < 0) if names else ():
            found[row] = _scan_name(self.ids[row]) in names
        return found

    def label(self, row: int) -> str:
        """Name a row for an error; the header of the file is row 1."""
        names = as_is(f"{self.ids[row]}, {self.organs[row]}")
        return f"{self.path.name} row {self.lines[row]} ({names})"

    def rows_by_scan(self, keep: np.ndarray) -> list[np.ndarray]:
        """Return the kept rows of every scan; keep: (N,) bool."""
        rows = np.flatnonzero(keep)
        scans = self.slices.scan[self.slice[rows]]
        order = rows[np.argsort(scans, kind="stable")]
        bounds = np.searchsorted(np.sort(scans), np.arange(len(self.slices.shapes) + 1))
        return [order[a:b] for a, b in pairwise(bounds)]

    def masks(self, scan: int, rows: np.ndarray, issues: list[Issue] | None = None) -> BitRows:
        """Decode the rows of one scan; issues collects bad texts instead of raising."""
        return self.texts.decode_scan(
            self.organ[rows],
            self.slices.z[self.slice[rows]],
            self.slices.shapes[scan],
            rows=rows,
            label=self.label,
            issues=issues,
        )


def _position(values: pa.ChunkedArray, choices: pa.Array) -> np.ndarray:
    found = pc.index_in(values, value_set=choices.cast(values.type))
    return pc.fill_null(found, -1).to_numpy().astype(np.int64)


def _scan_name(slice_id: pa.Scalar) -> str:
    return str(slice_id).rpartition("_slice_")[0]


def compare_rows(submission: MaskCsv, truth: MaskCsv, left_out: set[str]) -> tuple[list[str], int]:
    """Say how the rows of a submission differ from those of the truth, in few lines; count them.

    Rows with an unknown id or class are extra, but for scans left out.
    """
    ours, theirs = submission.key, truth.key
    extra = ~np.isin(ours, theirs[theirs >= 0]) & ~submission.of_scans(left_out)
    _, first = np.unique(ours, return_index=True)
    twice = ours >= 0
    twice[first] = False
    missing = (theirs >= 0) & ~np.isin(theirs, ours)
    kinds = (
        ("missing", truth, np.flatnonzero(missing)),
        ("not in the truth", submission, np.flatnonzero(extra)),
        ("a second time", submission, np.flatnonzero(twice & ~extra)),
    )
    lines = []
    for problem, table, rows in kinds:
        lines += [f"{problem}: {table.label(row)}" for row in rows[:NAMED]]
        others = list(dict.fromkeys(_scan_name(table.ids[row]) for row in rows[NAMED:]))
        if others:
            scans = listed(others, len(others))
            lines.append(f"{problem}: {len(rows) - NAMED} more rows of {scans}")
    return lines, sum(len(rows) for _, _, rows in kinds)
