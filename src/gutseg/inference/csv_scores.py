"""Scores of csvs of masks: a submission against a truth, scan by scan."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from gutseg.constants import CLASSES, PIXEL_MM, SLICE_MM
from gutseg.data.index import Slices
from gutseg.data.mask_csv import MaskCsv, compare_rows
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.rle_column import Issue
from gutseg.metrics.clinical import Clinical, OrganResult, measure_scan
from gutseg.metrics.competition import Metric, ScanResult, compare
from gutseg.registry import NAMED, counted, listed
from gutseg.settings import Missing

log = logging.getLogger(__name__)
T = TypeVar("T")
# name of the scan, prediction, truth, which slices the truth has a row for (C, Z)
Compare = Callable[[str, BitRows, BitRows, np.ndarray], T]


def score_csv(
    source: Path, truth: Path, slices: Path, metric: Metric, missing: Missing = "refuse"
) -> list[ScanResult]:
    """Compare a submission with a truth, scan by scan; memory for a few scans at a time.

    Scans that `slices` does not list are left out. Raises ValueError listing every invalid row,
    which `missing="empty"` takes for an empty mask or, where the truth has none, leaves out.
    """
    return _matched(source, truth, Slices.read(slices), slices, _by_metric(metric), missing)


def measure_csv(
    source: Path, truth: Path, slices: Path, how: Clinical, missing: Missing = "refuse"
) -> list[OrganResult]:
    """Measure a submission in mm, organ by organ; arguments and errors as `score_csv`.

    Where `slices` does not say the size of pixels, PIXEL_MM is taken and a warning says so.
    """
    known = Slices.read(slices)
    sides = {name: known.pixel_spacing(scan) for scan, name in enumerate(known.names)}
    if silent := [name for name, size in sides.items() if size is None]:
        log.warning(
            "%s does not say the size of pixels (columns spacing_y and spacing_x, or file): "
            "voxels of %g x %g x %g mm are assumed in %s",
            *(slices, SLICE_MM, PIXEL_MM, PIXEL_MM, counted(silent, "scan")),
        )

    def one(name: str, prediction: BitRows, truth: BitRows, _: np.ndarray) -> list[OrganResult]:
        spacing = (SLICE_MM, *(sides[name] or (PIXEL_MM, PIXEL_MM)))
        return measure_scan(name, prediction, truth, CLASSES, spacing, how)

    scans = _matched(source, truth, known, slices, one, missing)
    return [result for organs in scans for result in organs]


def _matched(
    source: Path, truth: Path, known: Slices, slices: Path, one: Compare[T], missing: Missing
) -> list[T]:
    theirs, ours = MaskCsv(truth, known), MaskCsv(source, known)
    left_out = _left_out(theirs, slices)
    problems, count = compare_rows(ours, theirs, left_out)
    results, unread = _each_scan(ours, theirs, one)
    problems += [issue.message for issue in unread[:NAMED]]
    if len(unread) > NAMED:
        problems.append(f"{len(unread) - NAMED} more rows do not read as run-length text")
    if problems and missing == "refuse":
        raise ValueError(
            f"{source} is refused: {count + len(unread)} issues against {truth} "
            "(--missing empty scores it)\n  " + "\n  ".join(problems)
        )
    for problem in problems:
        log.warning("%s; taken for empty", problem)
    return results


def _left_out(truth: MaskCsv, slices: Path) -> set[str]:
    """Return the scans that the slices do not list; other unknown rows raise ValueError."""
    left_out = truth.unlisted_scans()
    if left_out:
        names = listed(sorted(left_out), len(left_out))
        log.warning(
            "%s: %d scans that %s does not list are left out: %s",
            *(truth.path, len(left_out), slices, names),
        )
    if (unknown := (truth.key < 0) & ~truth.of_scans(left_out)).any():
        row = int(np.flatnonzero(unknown)[0])
        raise ValueError(f"{truth.label(row)}: no such slice in {slices}, or no such class")
    if not (truth.key >= 0).any():
        raise ValueError(f"{truth.path} and {slices} have no scan in common; nothing can be scored")
    return left_out


def compare_csvs(
    ours: MaskCsv, theirs: MaskCsv, metric: Metric
) -> tuple[list[ScanResult], list[Issue]]:
    """Compare the scans of a truth; also return our rows that could not be read, in order."""
    return _each_scan(ours, theirs, _by_metric(metric))


def _by_metric(metric: Metric) -> Compare[ScanResult]:
    def one(name: str, prediction: BitRows, truth: BitRows, has_row: np.ndarray) -> ScanResult:
        result = compare(name, prediction, truth, metric)
        result.dice[~has_row] = np.nan
        return result

    return one


def _each_scan(ours: MaskCsv, theirs: MaskCsv, one: Compare[T]) -> tuple[list[T], list[Issue]]:
    slices, known = theirs.slices, theirs.key >= 0
    pairs = zip(
        ours.rows_by_scan(np.isin(ours.key, theirs.key[known])),
        theirs.rows_by_scan(known),
        strict=True,
    )
    found: list[Issue] = []

    def compared(scan: int, our_rows: np.ndarray, their_rows: np.ndarray) -> T:
        prediction, truth = ours.masks(scan, our_rows, found), theirs.masks(scan, their_rows)
        has_row = np.zeros(truth.shape[:2], bool)  # (C, Z)
        has_row[theirs.organ[their_rows], slices.z[theirs.slice[their_rows]]] = True
        return one(slices.names[scan], prediction, truth, has_row)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(compared, scan, *rows) for scan, rows in enumerate(pairs) if len(rows[1])
        ]
        results = [job.result() for job in jobs]
    # compare_rows names the rows that come a second time
    unread = [issue for issue in found if not issue.repeated]
    return results, sorted(unread, key=lambda issue: issue.row)
