"""A picture of slices of a submission, for a notebook."""

from pathlib import Path

import numpy as np

from gutseg.data.index import Issues, Slices, list_slices
from gutseg.data.mask_csv import MaskCsv
from gutseg.data.volume import read_file, read_scan
from gutseg.files import competition_folder
from gutseg.masks.bit_rows import BitRows
from gutseg.reporting.figures import Panel, slice_figure


def draw_slices(submission: Path, images: Path, path: Path, count: int = 3) -> None:
    """Draw slices of the first scan of a submission: images, labels where there are any, masks."""
    root = competition_folder(images)
    with submission.open(encoding="utf-8") as stream:
        stream.readline()
        name = stream.readline().rpartition("_slice_")[0]
    listing = [list_slices(root / part, Issues(collect=True)) for part in ("train", "test")]
    rows = next((part for part in (one[one["scan"] == name] for one in listing) if len(part)), None)
    if rows is None:
        raise ValueError(f"{submission} names no scan of {root}; there is nothing to draw")
    scan, _ = read_scan(rows, lambda file: read_file(root / file), Issues(collect=True))
    slices = Slices(rows, root)
    ours = _masks(submission, slices)
    truth = _masks(root / "train.csv", slices) if (root / "train.csv").is_file() else ours & False
    shown = np.flatnonzero((truth | ours).any(axis=(0, 2, 3)))
    if not len(shown):
        shown = np.arange(scan.shape[0])
    bright = max(scan.percentile(99.5), 1)
    panels = [
        Panel(f"{name}, slice {z + 1}", scan.image[z] / bright, truth[:, z], ours[:, z])
        for z in np.quantile(shown, np.linspace(0.15, 0.85, count), method="nearest")
    ]
    slice_figure(path, panels)


def _masks(csv: Path, slices: Slices) -> np.ndarray:
    """Return the masks (C, Z, H, W) bool of the only scan of the slices."""
    read = MaskCsv(csv, slices)
    (rows,) = read.rows_by_scan(read.key >= 0)
    masks: BitRows = read.masks(0, rows, [])
    return masks.to_arrays().astype(bool)
