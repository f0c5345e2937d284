"""gutseg prepare RAW --out cache: index the slices and cache every scan as arrays."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from gutseg.claims import check_claim, claimed
from gutseg.constants import CLASSES
from gutseg.data.cache import cache_scan
from gutseg.data.index import INDEX, Issues, list_slices, scan_key
from gutseg.data.mask_csv import read_labels
from gutseg.files import competition_folder, need_file, replacing
from gutseg.progress import progress
from gutseg.registry import listed

log = logging.getLogger(__name__)
# What a cache that is not empty holds; nothing is written into another folder.
MARKS = ("case*_day*/scan.json",)


def prepare(
    raw: Annotated[Path, typer.Argument(help="the competition's folder")],
    out: Annotated[Path, typer.Option(help="the cache to write")] = Path("cache"),
    workers: Annotated[int, typer.Option(help="threads; 0 takes one per core", min=0)] = 0,
    skip_bad: Annotated[bool, typer.Option(help="list bad input in skipped.csv")] = False,
) -> None:
    """Index the slices and cache every scan as arrays that training can memory-map."""
    raw = competition_folder(raw)
    check_claim(out, MARKS, [raw / name for name in ("train", "train.csv", "test")])
    issues = Issues(collect=skip_bad)
    table = need_file(raw / "train.csv", "prepare needs the training set's labels")
    slices, labels = join(list_slices(raw / "train", issues), read_labels(table, issues), issues)
    if slices.empty:
        raise ValueError(f"{raw}: no scan has both PNGs below train/ and rows in train.csv")
    with claimed(out, MARKS):
        index = _write_cache(slices, labels, raw, out, workers or os.cpu_count() or 1, issues)
    print(
        f"{out}: {index['scan'].nunique()} scans, {len(index)} slices, "
        f"{len(issues.table())} issues skipped"
    )


def join(
    slices: pd.DataFrame, labels: pd.DataFrame, issues: Issues
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Match PNGs with csv rows by id.

    Returns the slices whose scan has rows in the csv, plus `labelled` (bool), and the labels whose
    slice has a PNG. A scan or slice that is on one side only is named in the log, not guessed.
    Issues are: single slices of a scan without a PNG, a gap in the slice numbers, and a slice
    without the row of a class, which is not an empty one and whose other rows are left out.
    """
    labels = _complete(labels, slices, issues)
    labelled = slices["id"].isin(labels["id"])
    both = slices["scan"].isin(labels["scan"])
    has_scan, has_png = labels["scan"].isin(slices["scan"]), labels["id"].isin(slices["id"])
    for scan, absent in labels["id"][has_scan & ~has_png].groupby(labels["scan"]):
        count, first = absent.nunique(), absent.iloc[0]
        issues.add(scan, f"{count} slices have rows in the csv but no PNG, the first is {first}")
    for scan, numbers in slices[both].groupby("scan")["slice"]:
        gaps = sorted(set(range(numbers.min(), numbers.max() + 1)) - set(numbers))
        if gaps:
            issues.add(scan, f"slice {gaps[0]:04d} is missing, and {len(gaps) - 1} others")
    for kind, lack, names in (
        ("scans", "have rows but no PNGs", sorted({*labels["scan"][~has_scan]}, key=scan_key)),
        ("slices", "have a PNG but no rows", slices["id"][~labelled].tolist()),
    ):
        if names:
            log.warning("%d %s %s: %s", len(names), kind, lack, listed(names, len(names)))
    return (
        slices[both].assign(labelled=labelled[both]).reset_index(drop=True),
        labels[has_png].reset_index(drop=True),
    )


def _complete(labels: pd.DataFrame, slices: pd.DataFrame, issues: Issues) -> pd.DataFrame:
    """Leave out the labels of slices that have rows for some classes only."""
    few = labels.groupby("id")["class"].transform("size") < len(CLASSES)
    partial = few & labels["scan"].isin(slices["scan"])
    for slice_id, organs in labels[partial].groupby("id", sort=False)["class"]:
        absent = ", ".join(organ for organ in CLASSES if organ not in set(organs))
        issues.add(slice_id, f"train.csv has no row for {absent}; its labels are left out")
    return labels[~partial].reset_index(drop=True)


def _write_cache(
    slices: pd.DataFrame, labels: pd.DataFrame, raw: Path, out: Path, workers: int, issues: Issues
) -> pd.DataFrame:
    # an index means that all scans are complete: it is removed first and written last
    (out / INDEX).unlink(missing_ok=True)
    labels_of = dict(list(labels.groupby("scan")))

    def cache(scan: str, rows: pd.DataFrame) -> tuple[pd.DataFrame, Issues]:
        own = Issues(collect=issues.collect)
        try:
            return cache_scan(rows, labels_of[scan], raw, out, own), own
        except ValueError as error:  # nothing of the scan is usable
            if not issues.collect:
                raise
            own.add(scan, str(error))
            return pd.DataFrame(), own

    indices = []
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(cache, *group) for group in slices.groupby("scan")]
        try:
            for job in progress(as_completed(jobs), total=len(jobs), desc="prepare", unit="scan"):
                index, own = job.result()
                indices.append(index)
                issues.rows.extend(own.rows)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    issues.rows.sort()
    for line in issues.summary():
        log.warning("%s", line)
    index = pd.concat(indices)
    if index.empty:
        raise ValueError(f"{raw}: no labelled slice could be read, so there is nothing to cache")
    index = index.sort_values(["case", "day", "slice"], ignore_index=True)
    with replacing(out / "skipped.csv") as temporary:
        issues.table().to_csv(temporary, index=False)
    with replacing(out / INDEX) as temporary:
        index.to_parquet(temporary, write_page_checksum=True)
    return index
