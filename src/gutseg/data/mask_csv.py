"""A csv of id, class and run-length text, decoded scan by scan; the form scores are made from."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gutseg.constants import CLASSES
from gutseg.data.cache import INDEX
from gutseg.data.index import LARGEST_SIDE, SLICE_ID, Issues, list_slices
from gutseg.data.tables import check_ids, read_csv, read_table, refuse_repeated, whole_numbers
from gutseg.files import competition_folder
from gutseg.masks import rle
from gutseg.masks.bit_rows import BitRows
from gutseg.registry import NAMED, as_is, listed

# of one scan, planes between the listed ones included; the competition's largest have 16 million
MOST_VOXELS = 2**28


class Slices:
    """Where every slice belongs: scans by name, their shapes, and each id's plane."""

    def __init__(self, table: pd.DataFrame, source: Path) -> None:
        """table: one row a slice with id, width, height; all slices of a scan must be there."""
        if table.empty:
            raise ValueError(f"{source} lists no slices")
        refuse_repeated(source, table, "id")
        self.ids = pa.array(table["id"], pa.large_string())
        names = table["id"].str.rsplit("_", n=2).str[0]
        number = table["id"].str[-4:].astype(int)
        self.scan, self.names = pd.factorize(names)
        grouped = table.assign(number=number).groupby(self.scan)
        spread = grouped[["height", "width"]].nunique().max(axis=1)
        if spread.max() > 1:
            raise ValueError(f"{source}: {self.names[spread.argmax()]} has slices of two sizes")
        first = grouped["number"].min().to_numpy()
        self.z = (number - first[self.scan]).to_numpy()
        depth = grouped["number"].max().to_numpy() - first + 1
        sizes = grouped[["height", "width"]].first().to_numpy()
        self.shapes = [
            (len(CLASSES), int(d), int(h), int(w)) for d, (h, w) in zip(depth, sizes, strict=True)
        ]
        for name, (_, d, h, w) in zip(self.names, self.shapes, strict=True):
            if d * h * w > MOST_VOXELS:
                raise ValueError(
                    f"{source}: {name} would have {d} x {h} x {w} voxels; at most {MOST_VOXELS} "
                    "are expected"
                )

    @classmethod
    def read(cls, source: Path) -> "Slices":
        """Read a csv or parquet with id, width and height, a cache, or a competition's folder."""
        given = source
        if source.is_dir() and (source / INDEX).is_file():
            source = source / INDEX
        if source.is_dir():
            root = competition_folder(source)
            parts = [list_slices(root / part, Issues(hint="")) for part in ("train", "test")]
            return cls(pd.concat(parts, ignore_index=True), given)
        remedy = "give a csv with id, width, height, a cache or a competition's folder"
        table = read_table(source, ["id", "width", "height"], remedy)
        check_ids(given, table)
        sizes = {
            side: whole_numbers(table, side, given, 1, LARGEST_SIDE) for side in ("width", "height")
        }
        return cls(table.assign(**sizes), given)


@dataclass(frozen=True)
class MaskCsv:
    """One csv against the slices: (N,) arrays by row; -1 where an id or class is unknown."""

    path: Path
    ids: pa.ChunkedArray
    organs: pa.ChunkedArray
    texts: rle.Column
    slice: np.ndarray
    organ: np.ndarray
    slices: Slices

    @classmethod
    def read(cls, path: Path, slices: Slices) -> "MaskCsv":
        """Read id, class and a third column of any name, as train.csv and submissions have it.

        Raises ValueError when the csv cannot be read or has other columns.
        """
        table = read_csv(path, "give a csv of id, class and run-length text")
        names = table.column_names
        if names[:2] != ["id", "class"] or names[2:] not in (["segmentation"], ["predicted"]):
            raise ValueError(
                f"{path}: header is {as_is(','.join(names))}; expected "
                "id,class,segmentation or id,class,predicted"
            )
        ids, organs = table["id"].cast(pa.large_string()), table["class"]
        return cls(
            path,
            ids,
            organs,
            rle.Column(table[names[2]]),
            _position(ids, slices.ids),
            _position(organs, pa.array(CLASSES)),
            slices,
        )

    @property
    def key(self) -> np.ndarray:
        """(N,) slice · C + class; -1 when either is unknown."""
        known = (self.slice >= 0) & (self.organ >= 0)
        return np.where(known, self.slice * len(CLASSES) + self.organ, -1)

    def unlisted_scans(self) -> set[str]:
        """Name the scans of which the slices list nothing; a malformed id raises ValueError."""
        rows = np.flatnonzero(self.slice < 0)
        for row in rows:
            if not SLICE_ID.fullmatch(str(self.ids[row])):
                problem = "the id is not of the form case123_day20_slice_0001"
                raise ValueError(f"{self.label(row)}: {problem}")
        return {_scan_name(self.ids[row]) for row in rows} - set(self.slices.names)

    def of_scans(self, names: set[str]) -> np.ndarray:
        """(N,) bool: rows of scans that the slices do not list but `names` does."""
        found = np.zeros(len(self.slice), bool)
        for row in np.flatnonzero(self.slice < 0) if names else ():
            found[row] = _scan_name(self.ids[row]) in names
        return found

    def label(self, row: int) -> str:
        """Name a row of the file for an error; the header is row 1."""
        names = as_is(f"{self.ids[row]}, {self.organs[row]}")
        return f"{self.path.name} row {row + 2} ({names})"

    def rows_by_scan(self, keep: np.ndarray) -> list[np.ndarray]:
        """Return the kept rows of every scan; keep: (N,) bool."""
        rows = np.flatnonzero(keep)
        scans = self.slices.scan[self.slice[rows]]
        order = rows[np.argsort(scans, kind="stable")]
        bounds = np.searchsorted(np.sort(scans), np.arange(len(self.slices.shapes) + 1))
        return [order[a:b] for a, b in pairwise(bounds)]

    def masks(self, scan: int, rows: np.ndarray, issues: list[rle.Issue] | None = None) -> BitRows:
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
    """Say how the rows of a submission differ from those of the truth: missing, extra, twice.

    Rows with an unknown id or class are extra, but for scans left out. Returns a line for each
    of the first rows of a kind and one for the others, and the number of rows.
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
    lines = [line for kind in kinds for line in _some(*kind)]
    return lines, sum(len(rows) for _, _, rows in kinds)


def _some(problem: str, table: MaskCsv, rows: np.ndarray) -> list[str]:
    lines = [f"{problem}: {table.label(row)}" for row in rows[:NAMED]]
    others = list(dict.fromkeys(_scan_name(table.ids[row]) for row in rows[NAMED:]))
    if others:
        scans = listed(others, len(others))
        lines.append(f"{problem}: {len(rows) - NAMED} more rows of {scans}")
    return lines
