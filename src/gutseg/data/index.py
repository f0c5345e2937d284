"""Which slices there are: the names of PNGs parsed into ids, or a list with their sizes."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa

from gutseg.constants import CLASSES
from gutseg.data.tables import read_table, refuse_repeated, refuse_rows, whole_numbers
from gutseg.files import competition_folder
from gutseg.registry import NAMED, as_is

# [0-9] and not \d, which takes the digits of every script; nine of them fit into an integer
SLICE_ID = re.compile(r"case([0-9]{1,9})_day([0-9]{1,9})_slice_([0-9]{4})")
SCAN_FOLDER = re.compile(r"case([0-9]{1,9})_day([0-9]{1,9})")
# Width first: the array of slice_0001_360_310_1.50_1.50.png has shape (310, 360).
PNG_NAME = re.compile(
    r"slice_([0-9]{4})_([0-9]{1,9})_([0-9]{1,9})_([0-9]{1,4}\.[0-9]+)_([0-9]{1,4}\.[0-9]+)\.png"
)
# pixels of a slice's side; the competition's largest is 360
LARGEST_SLICE = 2048
# voxels, planes between the listed ones included; the competition's largest has 16 million, and
# as an array this takes 512 MiB
LARGEST_SCAN = 2**28
# the index of a cache
INDEX = "index.parquet"
# the end of errors, after the id or class that was found
NOT_AN_ID = "is not of the form case123_day20_slice_0001"
NOT_A_CLASS = f"is not one of {', '.join(CLASSES)}"

# what may say how large a pixel is, and what it says: a plain number
SPACING_COLUMNS = ["spacing_y", "spacing_x", "file"]
NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,17})?")
# mm
LARGEST_PIXEL = 100
SLICE_COLUMNS = [
    *("id", "scan", "case", "day", "slice", "height", "width", "spacing_y", "spacing_x", "file")
]


@dataclass
class Issues:
    """What was wrong with the input: raised at once, or collected under `--skip-bad`."""

    collect: bool = False
    hint: str = " (--skip-bad records such input and continues)"
    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where: str, problem: str) -> None:
        """Record one issue; where is a file or a csv row. Raises ValueError unless collecting."""
        # a file may be called anything: half a character, a line break, colours for a terminal
        where, problem = (
            "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
            for text in (where, problem)
        )
        if not self.collect:
            raise ValueError(f"{where}: {problem}{self.hint}")
        self.rows.append((where, problem))

    def summary(self) -> list[str]:
        """Return the first NAMED of the problems that differ in numbers and quotes alone."""
        kinds: dict[str, list[str]] = {}
        for where, problem in self.rows:
            kind = re.sub(r"'[^']*'|[0-9]+", "…", problem)
            kinds.setdefault(kind, []).append(f"{where}: {problem}")
        lines = []
        for found in kinds.values():
            lines += found[:NAMED]
            if len(found) > NAMED:
                lines.append(f"... and {len(found) - NAMED} more like these")
        return lines

    def table(self) -> pd.DataFrame:
        """Return the collected issues with the columns where, problem."""
        return pd.DataFrame(self.rows, columns=["where", "problem"])


def list_slices(folder: Path, issues: Issues) -> pd.DataFrame:
    """List the PNGs of `folder/case*/case*_day*/scans`, one row per slice, sorted by number.

    folder: the competition's train/ or test/. Columns: SLICE_COLUMNS; `file` is relative to the
    parent of folder. PNGs of another name, two of one slice and a folder that cannot be listed
    are issues; other files are ignored.
    """
    rows = []
    for path in _pngs(folder, issues):
        file = path.relative_to(folder.parent).as_posix()
        row = _parse(path, file)
        if row is None:
            expected = "caseC/caseC_dayD/scans/slice_NNNN_WIDTH_HEIGHT_SX_SY.png"
            issues.add(file, f"the name does not read as {expected}")
        elif not (1 <= row[5] <= LARGEST_SLICE and 1 <= row[6] <= LARGEST_SLICE):
            sizes = f"{row[6]}x{row[5]}, expected 1 to {LARGEST_SLICE} pixels a side"
            issues.add(file, f"the name says {sizes}")
        else:
            rows.append(row)
    slices = pd.DataFrame(rows, columns=SLICE_COLUMNS)
    slices = slices.sort_values(["case", "day", "slice"], ignore_index=True)
    twice = slices["id"].duplicated(keep=False)
    for slice_id, group in slices[twice].groupby("id"):
        issues.add(" and ".join(group["file"]), f"two PNGs of one slice, {slice_id}; keep one")
    return slices[~twice].reset_index(drop=True)


def _pngs(folder: Path, issues: Issues) -> Iterator[Path]:
    for case in _entries(folder, folder, issues):
        for scan in _entries(case, folder, issues):
            files = _entries(scan / "scans", folder, issues)
            yield from (path for path in files if path.suffix == ".png")


def _entries(folder: Path, root: Path, issues: Issues) -> list[Path]:
    """List a folder, nothing for a file or an absent one; glob would pass over errors."""
    try:
        return sorted(folder.iterdir())
    except NotADirectoryError:
        return []
    except OSError as error:
        if folder.is_symlink() or not isinstance(error, FileNotFoundError):
            where = folder.relative_to(root.parent).as_posix()
            issues.add(where, f"this folder cannot be listed: {error.strerror}")
        return []


def _parse(path: Path, file: str) -> tuple | None:
    name = PNG_NAME.fullmatch(path.name)
    scan = SCAN_FOLDER.fullmatch(path.parent.parent.name)
    if not name or not scan or path.parent.parent.parent.name != f"case{scan[1]}":
        return None
    number, width, height, spacing_x, spacing_y = name.groups()
    slice_id = f"{scan[0]}_slice_{number}"
    sizes = (int(height), int(width), float(spacing_y), float(spacing_x))
    return (slice_id, scan[0], int(scan[1]), int(scan[2]), int(number), *sizes, file)


class Slices:
    """Where every slice belongs: scans by name, their shapes, and each id's plane."""

    def __init__(self, table: pd.DataFrame, source: Path) -> None:
        """table: one row per slice with id, width, height; all slices of a scan must be there."""
        if table.empty:
            raise ValueError(f"{source} lists no slices")
        refuse_repeated(source, table, "id")
        self.ids = pa.array(table["id"], pa.large_string())
        names = table["id"].str.rsplit("_", n=2).str[0]
        number = table["id"].str[-4:].astype(int)
        self.scan, self.names = pd.factorize(names)
        grouped = table[["height", "width"]].assign(number=number).groupby(self.scan)
        # of a folder without `train` the columns are objects
        low, high = grouped.min().to_numpy(int), grouped.max().to_numpy(int)
        mixed = (low != high)[:, :2].any(axis=1)
        if mixed.any():
            raise ValueError(f"{source}: {self.names[mixed.argmax()]} has slices of two sizes")
        self.z = number.to_numpy() - low[self.scan, 2]
        self._source = source
        # (N,) each, where the table has it
        self._said = table.reindex(columns=SPACING_COLUMNS).groupby(self.scan).first()
        self.shapes: list[tuple[int, int, int, int]] = []
        for name, (h, w, first), last in zip(self.names, low.tolist(), high[:, 2], strict=True):
            d = int(last) - first + 1
            if d * h * w > LARGEST_SCAN:
                raise ValueError(
                    f"{source}: {name} would have {d} x {h} x {w} voxels; at most {LARGEST_SCAN} "
                    "are expected"
                )
            self.shapes.append((len(CLASSES), d, h, w))

    def pixel_spacing(self, scan: int) -> tuple[float, float] | None:
        """Return mm of rows and columns of a scan, None where the table does not say it.

        From the columns spacing_y and spacing_x, or from the file's name, as of its first slice.
        Raises ValueError for anything but positive numbers.
        """
        *given, file = self._said.loc[scan]
        name = PNG_NAME.fullmatch(Path(str(file)).name)
        if all(pd.isna(side) or side == "" for side in given):
            if name is None:
                return None
            given = [name[5], name[4]]
        sides = [float(side) if NUMBER.fullmatch(str(side)) else 0.0 for side in given]
        if not all(0 < side < LARGEST_PIXEL for side in sides):
            found = as_is(" and ".join(map(str, given)))
            raise ValueError(
                f"{self._source}: {self.names[scan]} has pixels of {found} mm; expected two "
                f"numbers above 0 and below {LARGEST_PIXEL}"
            )
        return sides[0], sides[1]

    @classmethod
    def read(cls, source: Path) -> "Slices":
        """Read a csv or parquet with id, width and height, a cache, or a competition's folder."""
        index = source / INDEX
        if source.is_dir() and not index.is_file():
            root = competition_folder(source)
            parts = [list_slices(root / part, Issues(hint="")) for part in ("train", "test")]
            return cls(pd.concat(parts, ignore_index=True), source)
        remedy = "give a csv with id, width, height, a cache or a competition's folder"
        sides = ["width", "height"]
        path = index if source.is_dir() else source
        table = read_table(path, ["id", *sides], remedy, SPACING_COLUMNS)
        check_ids(source, table)
        sizes = {side: whole_numbers(table, side, source, 1, LARGEST_SLICE) for side in sides}
        return cls(table.assign(**sizes), source)


def check_ids(path: Path, table: pd.DataFrame) -> None:
    """Raise ValueError when the column `id` holds anything but the ids of slices."""
    refuse_rows(path, table, "id", ~table["id"].str.fullmatch(SLICE_ID.pattern), NOT_AN_ID)


def scan_key(scan: str) -> tuple[int, int]:
    """Return (case, day) of a scan's name, for sorting by number: case9 before case10."""
    case, day = scan.removeprefix("case").split("_day")
    return int(case), int(day)


def visits_of(scans: Iterable[str]) -> dict[str, str]:
    """Say of every scan whether it is of the `first days` of its patient or of the `later days`.

    The first is the earliest of these scans.
    """
    keys = {scan: scan_key(scan) for scan in scans}
    first = dict(sorted(keys.values(), reverse=True))  # case -> the day that comes last here
    return {
        scan: "first days" if day == first[case] else "later days"
        for scan, (case, day) in keys.items()
    }
