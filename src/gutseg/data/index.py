"""Which slices there are: names parsed into ids, joined with the rows of train.csv by id."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gutseg.constants import CLASSES

SLICE_ID = re.compile(r"case(\d+)_day(\d+)_slice_(\d{4})")
SCAN_FOLDER = re.compile(r"case(\d+)_day(\d+)")
# Width first: the array of slice_0001_360_310_1.50_1.50.png has shape (310, 360).
PNG_NAME = re.compile(r"slice_(\d{4})_(\d+)_(\d+)_(\d+\.\d+)_(\d+\.\d+)\.png")

SLICE_COLUMNS = [
    *("id", "scan", "case", "day", "slice", "height", "width", "spacing_y", "spacing_x", "file")
]


@dataclass
class Faults:
    """What was wrong with the input: raised at once, or collected under `--skip-bad`."""

    collect: bool = False
    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where: str, problem: str) -> None:
        """Record one fault; where is a file or a csv row. Raises ValueError unless collecting."""
        if not self.collect:
            raise ValueError(f"{where}: {problem} (--skip-bad records such input and goes on)")
        self.rows.append((where, problem))

    def table(self) -> pd.DataFrame:
        """Return the collected faults with the columns where, problem."""
        return pd.DataFrame(self.rows, columns=["where", "problem"])


def list_slices(folder: Path, faults: Faults) -> pd.DataFrame:
    """List the PNGs of `folder/case*/case*_day*/scans`, one row a slice, sorted by number.

    folder: the competition's train/ or test/. Columns: SLICE_COLUMNS; `file` is relative to
    the parent of folder. Files that are not PNGs are ignored; a PNG whose name cannot be
    parsed and two PNGs of one slice are faults.
    """
    rows = []
    for path in sorted(folder.glob("*/*/scans/*.png")):
        file = path.relative_to(folder.parent).as_posix()
        row = _parse(path, file)
        if row is None:
            expected = "caseC/caseC_dayD/scans/slice_NNNN_WIDTH_HEIGHT_SX_SY.png"
            faults.add(file, f"the name does not read as {expected}")
        else:
            rows.append(row)
    slices = pd.DataFrame(rows, columns=SLICE_COLUMNS)
    slices = slices.sort_values(["case", "day", "slice"], ignore_index=True)
    twice = slices["id"].duplicated(keep=False)
    for slice_id, group in slices[twice].groupby("id"):
        faults.add(" and ".join(group["file"]), f"two PNGs of one slice, {slice_id}; keep one")
    return slices[~twice].reset_index(drop=True)


def _parse(path: Path, file: str) -> tuple | None:
    name = PNG_NAME.fullmatch(path.name)
    scan = SCAN_FOLDER.fullmatch(path.parent.parent.name)
    if not name or not scan or path.parent.parent.parent.name != f"case{scan[1]}":
        return None
    number, width, height, spacing_x, spacing_y = name.groups()
    slice_id = f"{scan[0]}_slice_{number}"
    sizes = (int(height), int(width), float(spacing_y), float(spacing_x))
    return (slice_id, scan[0], int(scan[1]), int(scan[2]), int(number), *sizes, file)


def read_labels(path: Path, faults: Faults) -> pd.DataFrame:
    """Read a csv of id, class, segmentation; one row an (id, class), in the file's order.

    Columns: id, class, segmentation ("" when empty), row (line of the file, the header is 1),
    scan. Malformed ids, unknown classes and repeated (id, class) pairs are faults.
    """
    labels = read_rows(path, ["id", "class", "segmentation"])
    good = pd.Series(True, index=labels.index)
    ids = labels["id"].str.fullmatch(SLICE_ID.pattern)
    checks = (
        (~ids, "id", "is not of the form case123_day20_slice_0001"),
        (~labels["class"].isin(CLASSES), "class", f"is not one of {', '.join(CLASSES)}"),
        (labels.duplicated(["id", "class"]), "id", "has this class a second time"),
    )
    for wrong, column, problem in checks:
        for position in labels.index[wrong]:
            where = f"{path.name} row {labels.at[position, 'row']}"
            faults.add(where, f"{column} {labels.at[position, column]!r} {problem}")
        good &= ~wrong
    labels = labels[good].reset_index(drop=True)
    return labels.assign(scan=labels["id"].str.rsplit("_", n=2).str[0])


def read_rows(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a csv as text with an added `row` column (line of the file, the header is 1).

    Empty fields are "". Raises ValueError when the header is another or a row is broken.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a readable csv: {error}") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{path}: header is {','.join(table.columns)}; expected {','.join(columns)}"
        )
    return table[columns].assign(row=range(2, len(table) + 2))


@dataclass(frozen=True)
class Joined:
    """The two sides of the training set, matched by id.

    slices: rows of list_slices whose scan has rows in the csv, plus `labelled` (bool).
    labels: rows of read_labels whose scan has PNGs. The rest is listed, not guessed:
    scans_without_pngs, slices_without_rows.
    """

    slices: pd.DataFrame
    labels: pd.DataFrame
    scans_without_pngs: list[str]
    slices_without_rows: list[str]


def join(slices: pd.DataFrame, labels: pd.DataFrame, faults: Faults) -> Joined:
    """Match PNGs with csv rows by id.

    A scan that is on one side only is listed. A scan of which single slices lack their PNG
    is an incomplete download, and so is a gap in the slice numbers: both are faults.
    """
    labelled = slices["id"].isin(labels["id"])
    both = slices["scan"].isin(labels["scan"])
    has_pngs = labels["scan"].isin(slices["scan"])
    absent = labels[has_pngs & ~labels["id"].isin(slices["id"])]
    for scan, group in absent.groupby("scan"):
        first = group["id"].iloc[0]
        count = group["id"].nunique()
        faults.add(scan, f"{count} slices have rows in the csv but no PNG, the first is {first}")
    for scan, numbers in slices[both].groupby("scan")["slice"]:
        gaps = sorted(set(range(numbers.min(), numbers.max() + 1)) - set(numbers))
        if gaps:
            faults.add(scan, f"slice {gaps[0]:04d} is missing, and {len(gaps) - 1} others")
    return Joined(
        slices=slices[both].assign(labelled=labelled[both]).reset_index(drop=True),
        labels=labels[has_pngs & labels["id"].isin(slices["id"])].reset_index(drop=True),
        scans_without_pngs=sorted(set(labels["scan"]) - set(slices["scan"]), key=scan_key),
        slices_without_rows=slices["id"][~labelled].tolist(),
    )


def scan_key(scan: str) -> tuple[int, int]:
    """Return (case, day) of a scan's name, for sorting by number: case9 before case10."""
    case, day = SCAN_FOLDER.fullmatch(scan).groups()
    return int(case), int(day)
