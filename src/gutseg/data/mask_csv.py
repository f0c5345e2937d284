"""A csv of id, class and run-length text, decoded scan by scan; the form scores are made from."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from gutseg.constants import CLASSES
from gutseg.data import rle
from gutseg.data.cache import INDEX
from gutseg.data.index import SLICE_ID, Faults, list_slices
from gutseg.metrics.bitrows import BitRows
from gutseg.paths import competition_folder, need_file

# faults of one kind in one scan that are named row by row; more are counted
NAMED = 5


class Slices:
    """Where every slice belongs: scans by name, their shapes, and each id's plane."""

    def __init__(self, table: pd.DataFrame, source: Path) -> None:
        """table: one row a slice with id, width, height; all slices of a scan must be there."""
        if table["id"].duplicated().any():
            twice = table["id"][table["id"].duplicated()].iloc[0]
            raise ValueError(f"{source}: slice {twice} stands there twice")
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

    @classmethod
    def read(cls, source: Path) -> "Slices":
        """Read a csv or parquet with id, width and height, a cache, or a competition's folder."""
        given = source
        if source.is_dir() and (source / INDEX).is_file():
            source = source / INDEX
        if source.is_dir():
            root = competition_folder(source)
            parts = [list_slices(root / part, Faults()) for part in ("train", "test")]
            return cls(pd.concat(parts, ignore_index=True), given)
        need_file(source, "give a csv with id, width, height, a cache or a competition's folder")
        table = pd.read_parquet(source) if source.suffix == ".parquet" else pd.read_csv(source)
        missing = [name for name in ("id", "width", "height") if name not in table.columns]
        if missing:
            raise ValueError(f"{given}: no column {', '.join(missing)}")
        wrong = ~table["id"].astype(str).str.fullmatch(SLICE_ID.pattern)
        if wrong.any():
            raise ValueError(
                f"{given} row {wrong.idxmax() + 2}: id {table['id'][wrong.idxmax()]!r} is not of "
                "the form case123_day20_slice_0001"
            )
        return cls(table, given)


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
        need_file(path, "give a csv of id, class and run-length text")
        as_text = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(["id", "class", "segmentation", "predicted"], pa.string()),
            strings_can_be_null=False,
        )
        try:
            table = pa.csv.read_csv(path, convert_options=as_text)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is not a readable csv: {error}") from None
        names = table.column_names
        if names[:2] != ["id", "class"] or names[2:] not in (["segmentation"], ["predicted"]):
            raise ValueError(
                f"{path}: header is {','.join(names)}; expected id,class,segmentation or "
                "id,class,predicted"
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
        """Name the scans of which the slices list nothing."""
        rows = np.flatnonzero(self.slice < 0)
        return {_scan_name(self.ids[row]) for row in rows} - set(self.slices.names)

    def of_scans(self, names: set[str]) -> np.ndarray:
        """(N,) bool: rows of scans that the slices do not list but `names` does."""
        found = np.zeros(len(self.slice), bool)
        for row in np.flatnonzero(self.slice < 0) if names else ():
            found[row] = _scan_name(self.ids[row]) in names
        return found

    def label(self, row: int) -> str:
        """Name a row of the file for an error; the header is row 1."""
        return f"{self.path.name} row {row + 2} ({self.ids[row]}, {self.organs[row]})"

    def rows_by_scan(self, keep: np.ndarray) -> list[np.ndarray]:
        """Return the kept rows of every scan; keep: (N,) bool."""
        rows = np.flatnonzero(keep)
        scans = self.slices.scan[self.slice[rows]]
        order = rows[np.argsort(scans, kind="stable")]
        bounds = np.searchsorted(np.sort(scans), np.arange(len(self.slices.shapes) + 1))
        return [order[a:b] for a, b in pairwise(bounds)]

    def masks(self, scan: int, rows: np.ndarray, faults: list[rle.Fault] | None = None) -> BitRows:
        """Decode the rows of one scan; faults collects bad texts instead of raising."""
        return self.texts.decode_scan(
            self.organ[rows],
            self.slices.z[self.slice[rows]],
            self.slices.shapes[scan],
            rows=rows,
            label=self.label,
            faults=faults,
        )


def _position(values: pa.ChunkedArray, choices: pa.Array) -> np.ndarray:
    found = pc.index_in(values, value_set=choices.cast(values.type))
    return pc.fill_null(found, -1).to_numpy().astype(np.int64)


def _scan_name(slice_id: pa.Scalar) -> str:
    return str(slice_id).rpartition("_slice_")[0]


def compare_rows(submission: MaskCsv, truth: MaskCsv, left_out: set[str]) -> list[str]:
    """List how the rows of a submission differ from those of the truth: missing, extra, twice.

    Rows with an unknown id or class are extra, but for scans left out. Many of one kind in one
    scan share a line.
    """
    ours, theirs = submission.key, truth.key
    extra = ~np.isin(ours, theirs[theirs >= 0]) & ~submission.of_scans(left_out)
    _, first = np.unique(ours, return_index=True)
    twice = ours >= 0
    twice[first] = False
    missing = (theirs >= 0) & ~np.isin(theirs, ours)
    return [
        *_group("missing", truth, np.flatnonzero(missing)),
        *_group("not in the truth", submission, np.flatnonzero(extra)),
        *_group("a second time", submission, np.flatnonzero(twice & ~extra)),
    ]


def _group(problem: str, table: MaskCsv, rows: Iterable[int]) -> list[str]:
    by_scan: dict[str, list[int]] = {}
    for row in rows:
        by_scan.setdefault(_scan_name(table.ids[row]), []).append(row)
    lines = []
    for scan, found in by_scan.items():
        lines += [f"{problem}: {table.label(row)}" for row in found[:NAMED]]
        if len(found) > NAMED:
            lines.append(f"{problem}: {len(found) - NAMED} more rows of {scan}")
    return lines
