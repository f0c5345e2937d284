"""Tables that people hand in, as csv or parquet: read as text, or refused in one sentence."""

import gzip
import io
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from gutseg.files import need_file
from gutseg.registry import as_is, brief, listed, shown

# bytes after unpacking, and rows; the competition's train.csv has 20 MB and 115,488
LARGEST = 2**30
MOST_ROWS = 10**7


def is_stream(path: Path) -> bool:
    """Say whether a path stands for standard input or another open pipe of this process."""
    name = str(path)
    return name == "-" or name.startswith(("/dev/stdin", "/dev/fd/", "/proc/self/fd/"))


def is_csv(path: Path) -> bool:
    """Say whether a path is a csv by its name: .csv or .csv.gz in any case, or a stream."""
    return is_stream(path) or path.name.lower().endswith((".csv", ".csv.gz"))


def read_content(path: Path, remedy: str) -> bytes:
    """Read a file or stream, unpacked if gzip; ValueError when it is empty, cut or too large."""
    if not is_stream(path):
        need_file(path, remedy)
    with sys.stdin.buffer if str(path) == "-" else path.open("rb") as stream:
        content = stream.read(LARGEST + 1)
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a readable gzip file ({error}); {remedy}") from None
    if len(content) > LARGEST:
        raise ValueError(f"{path} has more than {LARGEST} bytes; {remedy}")
    if not content:
        raise ValueError(f"{path} is empty; {remedy}")
    return content


def read_csv(path: Path, remedy: str) -> pa.Table:
    """Read a csv (UTF-8, comma), all columns as text; any other raises ValueError naming it."""
    content = read_content(path, remedy)
    try:
        header = content[: content.find(b"\n") + 1 or None].decode("utf-8-sig")
        content.decode()
        if "\0" in header or b"\0" in content:
            raise ValueError("it holds binary data")
        return parse_csv(content, pa.csv.read_csv(io.BytesIO(header.encode())).column_names)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); {remedy}") from None
    except (ValueError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"{path} is not a readable csv: {brief(error)}; {remedy}") from None


def parse_csv(content: bytes, names: list[str], *, blank_lines: bool = False) -> pa.Table:
    """Parse a csv with this header, all as text; blank_lines: take them for rows."""
    text = dict.fromkeys(names, pa.string())
    convert = pa.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
    parse = pa.csv.ParseOptions(ignore_empty_lines=not blank_lines)
    return pa.csv.read_csv(io.BytesIO(content), parse_options=parse, convert_options=convert)


def _read_parquet(path: Path, remedy: str) -> pa.Table:
    content = read_content(path, remedy)
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > MOST_ROWS:
            raise ValueError(f"it claims {file.metadata.num_rows} rows")
        return file.read()
    # which of them depends on the byte that is damaged
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"{path} is not a readable parquet: {brief(error)}; {remedy}") from None


def read_table(
    path: Path, columns: list[str], remedy: str, optional: Sequence[str] = ()
) -> pd.DataFrame:
    """Read columns of a csv (also .csv.gz or a stream) or parquet as text, or raise ValueError.

    optional: columns that are read where they are there, once.
    """
    parquet = path.suffix.lower() == ".parquet"
    table = _read_parquet(path, remedy) if parquet else read_csv(path, remedy)
    names = table.column_names
    if missing := [column for column in columns if names.count(column) != 1]:
        problem = "is listed twice" if missing[0] in names else "is missing"
        header = as_is(",".join(names))
        raise ValueError(f"{path}: column {missing[0]} {problem}; its header is {header}")
    try:
        wanted = [*columns, *(name for name in optional if names.count(name) == 1)]
        texts = {name: table[name].cast(pa.string()).fill_null("") for name in wanted}
    except pa.ArrowException as error:
        raise ValueError(f"{path} holds something that is not text: {brief(error)}") from None
    return pa.table(texts).to_pandas()


def whole_numbers(
    table: pd.DataFrame, column: str, path: Path, low: int, high: int
) -> "pd.Series[int]":
    """Return a column of digits as numbers; ValueError naming the rows not within low and high."""
    texts = table[column]
    digits = texts.str.fullmatch("[0-9]{1,18}")
    numbers = pd.to_numeric(texts.where(digits, "-1")).astype(np.int64)
    problem = f"is not a whole number from {low} to {high}"
    refuse_rows(path, table, column, ~numbers.between(low, high), problem)
    return numbers


def refuse_rows(
    path: Path, table: pd.DataFrame, column: str, wrong: pd.Series, problem: str
) -> None:
    """Raise ValueError naming the rows that are wrong (N,), if any; the header is row 1."""
    if not wrong.any():
        return
    first, *others = np.flatnonzero(wrong).tolist()
    value = table[column].tolist()[first]
    text = f"{path} row {first + 2}: {column} {shown(value)} {problem}"
    if others:
        text += f"; the same in rows {listed((str(row + 2) for row in others), len(others))}"
    raise ValueError(text)


def refuse_repeated(path: Path, table: pd.DataFrame, column: str) -> None:
    """Raise ValueError when a value of the column is repeated."""
    repeated = table[column].duplicated()
    refuse_rows(path, table, column, repeated, "is listed twice; expected one row")
