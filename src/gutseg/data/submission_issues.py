"""Everything that Kaggle would hold against a submission, each with its row."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gutseg.constants import NATIVE_SIZES
from gutseg.data.index import Issues
from gutseg.data.mask_csv import check_rows, read_rows
from gutseg.data.submission import COLUMNS
from gutseg.masks.rle_reading import issue
from gutseg.registry import as_is

# Of a slice whose size is not known: a run that ends beyond it fits into no slice.
LARGEST_WIDTH, LARGEST_HEIGHT = max(NATIVE_SIZES, key=np.prod)


def read_submission(path: Path, issues: Issues) -> pd.DataFrame:
    """Read id, class, predicted, row, broken; rows that are not whole are issues."""
    return read_rows(path, COLUMNS[2:], issues).to_pandas()


def read_sample(path: Path) -> pd.DataFrame:
    """Read the rows that Kaggle asks for; ValueError names a row that no sample has."""
    issues = Issues(hint="; --sample is Kaggle's own sample_submission.csv, download it again")
    sample = read_submission(path, issues)
    check_rows(sample, path, issues)
    return sample


def submission_issues(
    path: Path, rows: pd.DataFrame, sample: pd.DataFrame, slices: pd.DataFrame, issues: Issues
) -> list[tuple[str, str]]:
    """Return every problem as (where, what), by row, and last the rows that are not there.

    rows: of `read_submission`, which filled issues. sample: without rows nothing is asked for,
    as in Kaggle's public view. slices: id, height, width, as far as the images are at hand;
    a run elsewhere is held against the largest slice of the competition.
    """
    good = check_rows(rows, path, issues)
    _check_runs(path, rows, slices, issues)
    absent: list[tuple[str, str]] = []
    if len(sample):
        absent = _compare(path, rows[good], sample, issues)
    elif len(slices):
        unknown = good & ~rows["id"].isin(slices["id"])
        for row, slice_id in rows.loc[unknown, ["row", "id"]].itertuples(index=False):
            issues.add(f"{path.name} row {row}", f"id {slice_id!r} has no PNG among the images")
    return sorted(issues.rows, key=_line) + absent


def _line(found: tuple[str, str]) -> int:
    number = re.search(r" row ([0-9]+)$", found[0])
    return int(number[1]) if number else 0


def _check_runs(path: Path, rows: pd.DataFrame, slices: pd.DataFrame, issues: Issues) -> None:
    sizes = dict(
        zip(slices["id"], zip(slices["height"], slices["width"], strict=True), strict=True)
    )
    filled = rows[(rows["predicted"] != "") & ~rows["broken"]]
    for slice_id, text, row in filled[["id", "predicted", "row"]].itertuples(index=False):
        height, width = sizes.get(slice_id, (LARGEST_HEIGHT, LARGEST_WIDTH))
        if problem := issue(text, height, width):
            issues.add(f"{path.name} row {row}", f"predicted, {problem}")


def _compare(
    path: Path, rows: pd.DataFrame, sample: pd.DataFrame, issues: Issues
) -> list[tuple[str, str]]:
    """Record rows that nobody asked for or that are out of order; return those that are missing."""
    asked, ours = (pd.MultiIndex.from_frame(table[COLUMNS[:2]]) for table in (sample, rows))
    position = asked.get_indexer(ours)  # (N,) place in the sample, -1 where it has none
    for row, pair in zip(rows["row"][position < 0], ours[position < 0], strict=True):
        issues.add(f"{path.name} row {row}", f"{as_is(', '.join(pair))} is not in the sample")
    common, lines = position[position >= 0], rows["row"].to_numpy()[position >= 0]
    theirs = sample["row"].to_numpy()
    for n in sorted(set(range(len(common))) - set(in_order(common.tolist()))):
        problem = f"is out of order: it is row {theirs[common[n]]} of the sample"
        issues.add(f"{path.name} row {lines[n]}", f"{', '.join(asked[common[n]])} {problem}")
    return [
        (path.name, f"row {theirs[n]} of the sample is missing: {', '.join(asked[n])}")
        for n in np.setdiff1d(np.arange(len(asked)), common)
    ]


def in_order(numbers: Sequence[int]) -> list[int]:
    """Return the indices of a longest increasing part of numbers: what need not move."""
    ends: list[int] = []  # the smallest last number of an increasing part, by its length
    at: list[int] = []  # where that number is
    before: list[int] = []  # of every number, where the one before it is
    for n, number in enumerate(numbers):
        length = bisect_right(ends, number)
        before.append(at[length - 1] if length else -1)
        ends[length : length + 1], at[length : length + 1] = [number], [n]
    found, n = [], at[-1] if at else -1
    while n >= 0:
        found.append(n)
        n = before[n]
    return found[::-1]
