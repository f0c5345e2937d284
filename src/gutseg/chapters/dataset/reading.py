"""Where the numbers of the data chapter come from: a cache, a competition's folder or a list."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from gutseg.constants import CLASSES, SLICE_MM
from gutseg.data.cache import Cache
from gutseg.data.index import (
    INDEX,
    LARGEST_SLICE,
    PNG_NAME,
    SLICE_ID,
    Issues,
    Slices,
    check_ids,
    list_slices,
)
from gutseg.data.mask_csv import MaskCsv
from gutseg.data.tables import read_csv, read_table, refuse_repeated, refuse_rows, whole_numbers
from gutseg.data.volume import Scan
from gutseg.files import competition_folder
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.rle_column import Issue
from gutseg.registry import listed

REMEDY = "give a cache, a competition's folder or a csv of id, width and height"
# of a list of slices, where it has them
OPTIONAL = ("file", "has_ann")
YES, NO = ("true", "1"), ("false", "0")


@dataclass(frozen=True)
class LabelledScan:
    """One scan with its labels."""

    name: str
    # C classes, Z planes, of which some may be without labels
    masks: BitRows
    # (N,) planes that have labels, and (N,) the ids of their slices
    z: np.ndarray
    ids: np.ndarray
    # the number in the name of plane 0
    first: int
    # (z, y, x) in mm
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class Data:
    """What a folder or a list holds; scans are read one by one when they are asked for."""

    # for the reader: "a prepared cache"
    kind: str
    # a row per slice: id, scan, case, day, slice, height, width, spacing_y, spacing_x (mm, NaN
    # when unknown) and has_mask (True, False, None when unknown)
    slices: pd.DataFrame
    # the labels of a scan by its name; None when there are none
    labels: Callable[[str], LabelledScan] | None = None
    # voxels per grey value of a scan; None when there are no images at hand
    histogram: Callable[[str], np.ndarray] | None = None
    # plane z of a scan in [0, 1], (H, W); None when there are no images at hand
    image: Callable[[str, int], np.ndarray] | None = None
    # sentences about input that was left out; `labels` adds to them while it reads
    notes: list[str] = field(default_factory=list)


def open_data(path: Path) -> Data:
    """Open a prepared cache, a competition's folder (labels of train.csv) or a list of slices.

    PNGs are not read: their names say enough. Raises FileNotFoundError and ValueError.
    """
    if path.is_dir() and (path / INDEX).is_file():
        return _of_cache(path)
    return _of_folder(competition_folder(path)) if path.is_dir() else _of_list(path)


def _of_list(path: Path) -> Data:
    header = read_csv(path, REMEDY).column_names
    wanted = ["id", "width", "height", *(name for name in OPTIONAL if name in header)]
    table = read_table(path, wanted, REMEDY)
    check_ids(path, table)
    refuse_repeated(path, table, "id")
    sides = {side: whole_numbers(table, side, path, 1, LARGEST_SLICE) for side in wanted[1:3]}
    parts = table["id"].str.extract(SLICE_ID.pattern).astype(int)
    slices = table[["id"]].assign(scan=table["id"].str.rsplit("_", n=2).str[0])
    slices[["case", "day", "slice"]] = parts
    return Data("a list of slices", slices.assign(**sides, **_spacing(table), **_has(path, table)))


def _spacing(table: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    """Read the edges of a pixel off the names of the PNGs, NaN where there are none."""
    files = table.get("file", pd.Series("", table.index))
    edges = files.map(lambda file: PurePosixPath(file).name).str.extract(PNG_NAME.pattern)
    return {"spacing_y": edges[4].astype(float), "spacing_x": edges[3].astype(float)}


def _has(path: Path, table: pd.DataFrame) -> dict[str, "pd.Series[bool] | None"]:
    if "has_ann" not in table:
        return {"has_mask": None}
    said = table["has_ann"].str.lower()
    refuse_rows(path, table, "has_ann", ~said.isin(YES + NO), "is neither True nor False")
    return {"has_mask": said.isin(YES)}


def _of_cache(folder: Path) -> Data:
    cache = Cache(folder)
    index = cache.index.sort_values(["case", "day", "slice"], ignore_index=True)
    rows_of = dict(list(index.groupby("scan")))

    def opened(name: str) -> Scan:
        cache.release()  # the memory of one scan is enough
        return cache.scan(name)

    def labels(name: str) -> LabelledScan:
        masks = BitRows.from_class_bits(opened(name).labels, len(CLASSES))
        return _labelled(name, rows_of[name], masks, rows_of[name]["z"].to_numpy())

    def image(name: str, z: int) -> np.ndarray:
        scan = opened(name)
        low, high = (scan.percentile(percent) for percent in (1, 99.5))
        return ((scan.image[z] - low) / max(high - low, 1)).clip(0, 1)

    slices = index.assign(has_mask=index[list(CLASSES)].any(axis=1))
    return Data("a prepared cache", slices, labels, lambda name: opened(name).counts, image)


def _of_folder(root: Path) -> Data:
    issues = Issues(collect=True)
    part = "train" if (root / "train.csv").is_file() else "test"
    slices = list_slices(root / part, issues).assign(has_mask=None)
    notes = [f"Left out: {line}." for line in issues.summary()]
    if slices.empty:
        raise ValueError(f"{root / part} holds no slice with a name of the competition; {REMEDY}")
    if part == "test":
        return Data("a competition's folder without train.csv", slices, notes=notes)
    table = MaskCsv(root / "train.csv", Slices(slices, root / part))
    has_rows, problems = _labelled_slices(table, len(slices))
    notes += problems
    kept = slices[has_rows].reset_index(drop=True)
    if kept.empty:
        raise ValueError(f"{root}: no PNG has its three rows in train.csv; {REMEDY}")

    by_scan = table.rows_by_scan((table.key >= 0) & has_rows[table.slice])
    numbers = {name: number for number, name in enumerate(table.slices.names)}
    rows_of = dict(list(slices[has_rows].groupby("scan")))

    def labels(name: str) -> LabelledScan:
        broken: list[Issue] = []
        masks = table.masks(numbers[name], by_scan[numbers[name]], broken)
        kinds = {True: "Left out", False: "Taken for empty"}
        found = (f"{kinds[issue.repeated]}: {issue.message}." for issue in broken)
        notes.extend(note for note in found if note not in notes)
        return _labelled(name, rows_of[name], masks, table.slices.z[rows_of[name].index])

    return Data("a competition's folder", kept, labels, notes=notes)


def _labelled_slices(table: MaskCsv, count: int) -> tuple[np.ndarray, list[str]]:
    """Return which slices have a row for every class (count,), and sentences about the others."""
    rows = np.bincount(np.unique(table.key[table.key >= 0]) // len(CLASSES), minlength=count)
    has_rows, notes = rows == len(CLASSES), []
    if not has_rows.all():
        names = table.slices.ids.to_pandas()[~has_rows].tolist()
        notes.append(
            f"Left out: {len(names)} slices have a PNG but not a row per class in "
            f"{table.path.name}: {listed(names, len(names))}."
        )
    if unknown := int((table.key < 0).sum()):
        notes.append(
            f"Left out: {unknown} rows of {table.path.name} have no PNG or another class, the "
            f"first is {table.label(int((table.key < 0).argmax()))}."
        )
    return has_rows, notes


def _labelled(name: str, rows: pd.DataFrame, masks: BitRows, z: np.ndarray) -> LabelledScan:
    first = int(rows["slice"].iloc[0]) - int(z[0])
    edges = (float(rows["spacing_y"].iloc[0]), float(rows["spacing_x"].iloc[0]))
    return LabelledScan(name, masks, z, rows["id"].to_numpy(), first, (SLICE_MM, *edges))
