"""Counts of slices, scans and masks: frames in, frames out.

slices: a row per slice with scan, case, slice, height, width, spacing_y, spacing_x and has_mask.
planes: the same rows with the columns of `measuring.measure`: areas and runs.
"""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from gutseg.chapters.dataset.measuring import OVERLAPS, runs_column
from gutseg.constants import CLASSES

# areas of overlaps in pixels: first of each bin
AREA_BINS = (1, 3, 10, 30, 100, 300, 1000)
# runs of a string
RUN_BINS = (1, 10, 20, 40, 80, 160, 320)


def words(organ: str) -> str:
    """Return the name of an organ for readers."""
    return organ.replace("_", " ")


def with_and_without(slices: pd.DataFrame) -> pd.DataFrame:
    """Slices without and with any mask, and all; with percentages."""
    has_mask = slices["has_mask"].astype(bool)
    counts = {"without": (~has_mask).sum(), "with": has_mask.sum(), "all": len(slices)}
    return _with_percent(pd.DataFrame({"slices": counts}).rename_axis("masks"), len(slices))


def scans_per_case(slices: pd.DataFrame) -> pd.DataFrame:
    """How many cases have 1, 2, ... scans."""
    scans = slices.groupby("case")["scan"].nunique()
    return _counts(scans, "scans", "cases")


def slices_per_scan(slices: pd.DataFrame) -> pd.DataFrame:
    """How many scans have so many slices."""
    return _counts(slices.groupby("scan").size(), "slices", "scans").iloc[::-1]


def _counts(values: pd.Series, name: str, counted: str) -> pd.DataFrame:
    return values.value_counts().sort_index().rename_axis(name).to_frame(counted)


def image_sizes(slices: pd.DataFrame) -> pd.DataFrame:
    """Slices and scans per width, height and edge of a pixel, the most frequent first."""
    keys = ["width", "height", "spacing_x", "spacing_y"]
    grouped = slices.groupby(keys, dropna=False)
    table = grouped.agg(slices=("id", "size"), scans=("scan", "nunique")).reset_index()
    table = table.rename(columns={"spacing_x": "pixel width, mm", "spacing_y": "pixel height, mm"})
    return table.sort_values("slices", ascending=False, ignore_index=True)


def masks_per_slice(planes: pd.DataFrame) -> pd.DataFrame:
    """How many slices show 0, 1, 2, ... organs."""
    number = (planes[list(CLASSES)] > 0).sum(axis=1)
    counts = np.bincount(number, minlength=len(CLASSES) + 1)
    return _with_percent(pd.DataFrame({"slices": counts}).rename_axis("organs"), len(planes))


def organ_combinations(planes: pd.DataFrame) -> pd.DataFrame:
    """Slices that show exactly these organs, with the share among slices of as many organs."""
    shown = planes[list(CLASSES)] > 0
    number, rows = shown.sum(axis=1), []
    for size in range(1, len(CLASSES) + 1):
        of_size = int((number == size).sum())
        for organs in combinations(CLASSES, size):
            count = int((shown[list(organs)].all(axis=1) & (number == size)).sum())
            share = 100 * count / of_size if of_size else None
            name = " + ".join(map(words, organs))
            rows.append((size, name, count, 100 * count / max(len(planes), 1), share))
    columns = ["organs", "which", "slices", "%", "% of slices with as many"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["organs", "slices"], ascending=[True, False], ignore_index=True)


def cooccurrence(planes: pd.DataFrame) -> pd.DataFrame:
    """Slices that show both organs; on the diagonal, those that show one."""
    shown = (planes[list(CLASSES)] > 0).to_numpy().astype(int)
    names = list(map(words, CLASSES))
    return pd.DataFrame(shown.T @ shown, index=pd.Index(names, name="organ"), columns=names)


def masks_per_organ(planes: pd.DataFrame) -> pd.DataFrame:
    """Masks that are not empty and their area in pixels; runs of their run-length strings."""
    rows = {}
    for organ in CLASSES:
        drawn = planes[planes[organ] > 0]
        runs = drawn[runs_column(organ)]
        rows[words(organ)] = {
            "masks": len(drawn),
            "median area, pixels": drawn[organ].median(),
            "largest area, pixels": drawn[organ].max(),
            "median runs": runs.median(),
            "most runs": runs.max(),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("organ")
    table["masks"] = table["masks"].astype(int)
    table.insert(1, "%", 100 * table["masks"] / max(int(table["masks"].sum()), 1))
    return table


def overlaps(planes: pd.DataFrame) -> pd.DataFrame:
    """Slices that show the organs together, those in which they overlap, and by how much."""
    rows = {}
    for name, classes in OVERLAPS.items():
        together = (planes[[CLASSES[c] for c in classes]] > 0).all(axis=1).sum()
        areas = planes[name][planes[name] > 0]
        rows[name] = {
            "slices together": int(together),
            "that overlap": len(areas),
            "%": 100 * len(areas) / together if together else None,
            "median": areas.median(),
            "95th percentile": areas.quantile(0.95),
            "largest": areas.max(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("organs")


def overlap_histogram(planes: pd.DataFrame) -> pd.DataFrame:
    """Slices per bin of the overlapping area in pixels, a column per pair and all three."""
    return pd.DataFrame({name: _binned(planes[name], AREA_BINS) for name in OVERLAPS})


def run_histogram(planes: pd.DataFrame) -> pd.DataFrame:
    """Strings per bin of their number of runs, a column per organ."""
    columns = {words(organ): planes[runs_column(organ)] for organ in CLASSES}
    return pd.DataFrame({name: _binned(runs, RUN_BINS) for name, runs in columns.items()})


def _binned(values: pd.Series, bins: tuple[int, ...]) -> "pd.Series[int]":
    """Count positive values per bin; the index says from where to where."""
    ends = [(first, after - 1) for first, after in pairwise(bins)]
    names = [f"{first}–{last}" if last > first else f"{first}" for first, last in ends]
    names.append(f"{bins[-1]}+")
    counts, _ = np.histogram(values[values > 0], [*bins, np.inf])
    return pd.Series(counts, pd.Index(names, name="from–to"))


def positions(planes: pd.DataFrame) -> pd.DataFrame:
    """Scans that show an organ in the slice of this number, a column per organ, and any organ.

    Rows run from slice 1 (or the first) to the last without gaps. planes without areas: any only.
    """
    columns = {words(o): planes[o] > 0 for o in CLASSES if o in planes}
    columns["any organ"] = planes["has_mask"].astype(bool)
    counts = pd.DataFrame(columns).groupby(planes["slice"]).sum()
    numbers = range(min(1, counts.index.min()), counts.index.max() + 1)
    return counts.reindex(numbers, fill_value=0).rename_axis("slice")


def peaks(position_counts: pd.DataFrame) -> pd.DataFrame:
    """Per organ: in which slice number most scans show it, how many, and between which numbers."""
    rows = {}
    for organ, counts in position_counts.items():
        shown = counts.index[counts > 0]
        if len(shown):
            rows[organ] = (counts.idxmax(), counts.max(), shown.min(), shown.max())
    columns = ["peak at slice", "scans there", "first slice", "last slice"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("organ")


def _with_percent(table: pd.DataFrame, total: int) -> pd.DataFrame:
    return table.assign(**{"%": 100 * table["slices"] / max(total, 1)})
