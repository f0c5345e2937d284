"""What a kernel is shown on Kaggle, made by the phantom: the public view and a hidden test.

The hidden test has what real ones had or may have: all four sizes, 80 slices, one slice, a patient
of train and a new one, and what can be wrong with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gutseg.constants import CLASSES
from gutseg.synthetic.folder import LABELS_HEADER, SUBMISSION_HEADER, label_rows
from gutseg.synthetic.roster import Visit, Voxels, voxels
from gutseg.synthetic.scan import draw_scan

SEED = 0
# Slices of a small scan, from the middle of the body.
FEW = 6
# The patient of train, who returns, unless the bundle's folds held out others.
RETURNING = 2
# Day -> (width, height) of the scan, and how many of its slices there are; 0: all.
TRAIN = {1: ((266, 266), FEW)}
LATER = {16: ((266, 266), FEW)}
# New patients: case and day.
NEW = {
    (5, 3): ((360, 310), FEW),
    (7, 0): ((276, 276), 0),  # 80 slices
    (9, 2): ((234, 234), 1),
}
ABSENT = "case999_day0"


@dataclass(frozen=True)
class Views:
    """Two competition folders and what a kernel has to make of the second."""

    public: Path
    hidden: Path
    # slices with a PNG that reads
    num_public: int
    num_hidden: int
    # ids that the sample asks for and nobody can predict: empty masks
    empty: set[str]
    # what the log must name
    named: list[str]


def write_public(folder: Path, cases: Sequence[int], full: bool = False) -> str:
    """Draw what a public session sees, a scan of each case; return the rows of its train.csv."""
    scans = {(case, day): drawn for case in cases for day, drawn in TRAIN.items()}
    rows = "".join(_write_scan(folder / "train", *scan, full) for scan in scans.items())
    (folder / "train.csv").write_text(LABELS_HEADER + rows)
    (folder / "sample_submission.csv").write_text(SUBMISSION_HEADER)
    return rows


def write_views(folder: Path, full: bool = False, case: int = RETURNING) -> Views:
    """Draw both folders. full: real sizes, 144 slices; else half the side and FEW slices.

    case: the patient of train, none of NEW.
    """
    public, hidden = folder / "public", folder / "hidden"
    rows = write_public(public, [case], full)
    test = {(case, day): drawn for day, drawn in LATER.items()} | NEW
    tested = [_write_scan(hidden / "test", *scan, full) for scan in test.items()]
    for name in ("train", "train.csv"):
        (hidden / name).symlink_to((public / name).resolve())
    ids = list(dict.fromkeys(row.split(",")[0] for row in "".join(tested).splitlines()))
    returning, large, long = (f"case{case}_day{day}_slice_" for case, day in list(test)[:3])
    broken, missing = f"{large}0002", f"{long}0003"
    _png(hidden, missing).unlink()
    cut = _png(hidden, broken)
    cut.write_bytes(cut.read_bytes()[:-200])
    # a slice that nobody asks for, and a scan that has no images
    asked = ids.copy()
    asked.remove(max(found for found in ids if found.startswith(returning)))
    absent = [f"{ABSENT}_slice_0001", f"{ABSENT}_slice_0002"]
    wanted = [f"{found},{organ},\n" for found in asked + absent for organ in CLASSES]
    shuffled = np.random.default_rng(SEED).permutation(wanted)
    (hidden / "sample_submission.csv").write_text(SUBMISSION_HEADER + "".join(shuffled))
    count = len(rows.splitlines()) // len(CLASSES)
    named = [cut.name, missing, *absent]
    return Views(public, hidden, count, len(ids) - 2, {broken, missing, *absent}, named)


def _png(root: Path, slice_id: str) -> Path:
    scan, number = slice_id.split("_slice_")
    return next(root.glob(f"test/*/{scan}/scans/slice_{number}_*.png"))


def _write_scan(
    part: Path, visit: tuple[int, int], drawn: tuple[tuple[int, int], int], full: bool
) -> str:
    """Draw a scan and write its middle slices; return their rows of train.csv."""
    (case, day), (size, few) = visit, drawn
    grid = voxels(size, "full" if full else "small")
    if few == 0 and not full:  # all 80 slices, half the side
        grid = Voxels(grid.width, grid.height, 80, grid.spacing_mm, 3.0, grid.top_mm)
    scan = Visit(case, day, grid, is_large=size == (360, 310))
    drawing = draw_scan(SEED, scan)
    count = len(drawing.image) if few == 0 or (full and few == FEW) else few
    first = (len(drawing.image) - count) // 2
    kept = slice(first, first + count)
    folder = part / f"case{case}" / scan.name / "scans"
    folder.mkdir(parents=True)
    for number, image in enumerate(drawing.image[kept], 1):
        cv2.imwrite(str(folder / scan.file_name(number)), image)
    return label_rows(scan, drawing.mask[kept])
