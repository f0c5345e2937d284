"""Which slices there are: names parsed into ids, joined with the rows of train.csv by id."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gutseg.constants import CLASSES

# [0-9] and not \d, which takes the digits of every script; nine of them fit into an integer
SLICE_ID = re.compile(r"case([0-9]{1,9})_day([0-9]{1,9})_slice_([0-9]{4})")
SCAN_FOLDER = re.compile(r"case([0-9]{1,9})_day([0-9]{1,9})")
# Width first: the array of slice_0001_360_310_1.50_1.50.png has shape (310, 360).
PNG_NAME = re.compile(
    r"slice_([0-9]{4})_([0-9]{1,9})_([0-9]{1,9})_([0-9]{1,4}\.[0-9]+)_([0-9]{1,4}\.[0-9]+)\.png"
)
LARGEST_SIDE = 2048  # pixels; the competition's largest slice is 360 wide

# problems of one kind that are named one by one; more are counted
NAMED = 5

SLICE_COLUMNS = [
    *("id", "scan", "case", "day", "slice", "height", "width", "spacing_y", "spacing_x", "file")
]


@dataclass
class Issues:
    """What was wrong with the input: raised at once, or collected under `--skip-bad`.

    hint: the end of an error, where there is such an option.
    """

    collect: bool = False
    hint: str = " (--skip-bad records such input and goes on)"
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
        """Return a line a problem, the first NAMED of a kind, and how many more there are.

        Problems are of one kind when only numbers and quoted values differ.
        """
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
    """List the PNGs of `folder/case*/case*_day*/scans`, one row a slice, sorted by number.

    folder: the competition's train/ or test/. Columns: SLICE_COLUMNS; `file` is relative to
    the parent of folder. Files that are not PNGs are ignored; a PNG whose name cannot be
    parsed, two PNGs of one slice and a folder that cannot be listed are issues.
    """
    rows = []
    for path in _pngs(folder, issues):
        file = path.relative_to(folder.parent).as_posix()
        row = _parse(path, file)
        if row is None:
            expected = "caseC/caseC_dayD/scans/slice_NNNN_WIDTH_HEIGHT_SX_SY.png"
            issues.add(file, f"the name does not read as {expected}")
        elif not (1 <= row[5] <= LARGEST_SIDE and 1 <= row[6] <= LARGEST_SIDE):
            sizes = f"{row[6]}x{row[5]}, expected 1 to {LARGEST_SIDE} pixels a side"
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
            for path in _entries(scan / "scans", folder, issues):
                if path.suffix == ".png":
                    yield path


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


def read_labels(path: Path, issues: Issues) -> pd.DataFrame:
    """Read a csv of id, class, segmentation; one row an (id, class), in the file's order.

    Columns: id, class, segmentation ("" when empty), row (line of the file, the header is 1),
    scan. Malformed ids, unknown classes and repeated (id, class) pairs are issues.
    """
    labels = read_rows(path, ["id", "class", "segmentation"], issues)
    good = ~labels["broken"]
    ids = labels["id"].str.fullmatch(SLICE_ID.pattern)
    checks = (
        (~ids, "id", "is not of the form case123_day20_slice_0001"),
        (~labels["class"].isin(CLASSES), "class", f"is not one of {', '.join(CLASSES)}"),
        (labels.duplicated(["id", "class"]), "id", "has this class a second time"),
    )
    for wrong, column, problem in checks:
        for position in labels.index[wrong & good]:
            where = f"{path.name} row {labels.at[position, 'row']}"
            issues.add(where, f"{column} {labels.at[position, column][:60]!r} {problem}")
        good &= ~wrong
    labels = labels[good].drop(columns="broken").reset_index(drop=True)
    return labels.assign(scan=labels["id"].str.rsplit("_", n=2).str[0])


def read_rows(path: Path, columns: list[str], issues: Issues) -> pd.DataFrame:
    """Read a csv as text with two more columns, `row` and `broken`.

    row: line of the file, the header is 1. Rows of too many or too few fields and bytes that
    are no text are issues; such rows stay, and are broken. A line without text is no row.
    Raises ValueError when the file is empty or the header is another.
    """
    header, *lines = _text(path, issues).split("\n")
    if not header:
        raise ValueError(f"{path} is not a readable csv: its first line is empty")
    names = _fields(header)
    if any(column not in names for column in columns):
        found = header[:200] if header[:200].isprintable() else repr(header[:200])
        raise ValueError(f"{path}: header is {found}; expected {','.join(columns)}")
    chosen, rows = [names.index(column) for column in columns], []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = _fields(line)
        broken = len(fields) != len(names)
        if broken:
            problem = f"has {len(fields)} fields; expected {','.join(names)}"
            issues.add(f"{path.name} row {number}", problem)
        fields += [""] * (len(names) - len(fields))
        rows.append((*(fields[place] for place in chosen), number, broken))
    table = pd.DataFrame(rows, columns=[*columns, "row", "broken"])
    return table.astype(dict.fromkeys(columns, "str") | {"broken": bool})


def _text(path: Path, issues: Issues) -> str:
    """Read a file with line ends of one kind; bytes that are no text become question marks."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        issues.add(f"{path.name} row {line}", f"is not UTF-8 text: {error.reason}")
        text = data.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _fields(line: str) -> list[str]:
    # line by line, so that an open quote does not take the rest of the file with it
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return [field.strip('"') for field in line.split(",")] + ["an open quote"]


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


def join(slices: pd.DataFrame, labels: pd.DataFrame, issues: Issues) -> Joined:
    """Match PNGs with csv rows by id.

    A scan that is on one side only is listed. A scan of which single slices lack their PNG
    is an incomplete download, and so is a gap in the slice numbers: both are issues. So is a
    slice that lacks the row of a class, which nobody may take for an empty one; its rows go.
    """
    labels = _complete(labels, slices, issues)
    labelled = slices["id"].isin(labels["id"])
    both = slices["scan"].isin(labels["scan"])
    has_pngs = labels["scan"].isin(slices["scan"])
    absent = labels[has_pngs & ~labels["id"].isin(slices["id"])]
    for scan, group in absent.groupby("scan"):
        first = group["id"].iloc[0]
        count = group["id"].nunique()
        issues.add(scan, f"{count} slices have rows in the csv but no PNG, the first is {first}")
    for scan, numbers in slices[both].groupby("scan")["slice"]:
        gaps = sorted(set(range(numbers.min(), numbers.max() + 1)) - set(numbers))
        if gaps:
            issues.add(scan, f"slice {gaps[0]:04d} is missing, and {len(gaps) - 1} others")
    return Joined(
        slices=slices[both].assign(labelled=labelled[both]).reset_index(drop=True),
        labels=labels[has_pngs & labels["id"].isin(slices["id"])].reset_index(drop=True),
        scans_without_pngs=sorted(set(labels["scan"]) - set(slices["scan"]), key=scan_key),
        slices_without_rows=slices["id"][~labelled].tolist(),
    )


def _complete(labels: pd.DataFrame, slices: pd.DataFrame, issues: Issues) -> pd.DataFrame:
    """Leave out the labels of slices that have rows for some classes only."""
    few = labels.groupby("id")["class"].transform("size") < len(CLASSES)
    partial = few & labels["scan"].isin(slices["scan"])
    for slice_id, organs in labels[partial].groupby("id", sort=False)["class"]:
        absent = ", ".join(organ for organ in CLASSES if organ not in set(organs))
        issues.add(slice_id, f"train.csv has no row for {absent}; its labels are left out")
    return labels[~partial].reset_index(drop=True)


def scan_key(scan: str) -> tuple[int, int]:
    """Return (case, day) of a scan's name, for sorting by number: case9 before case10."""
    case, day = SCAN_FOLDER.fullmatch(scan).groups()
    return int(case), int(day)
