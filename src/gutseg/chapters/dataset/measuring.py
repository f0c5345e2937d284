"""What is measured on the masks of one scan, in one pass: per slice, and per organ."""

import numpy as np
import pandas as pd

from gutseg.chapters.dataset.outlying import farthest_part
from gutseg.chapters.dataset.reading import LabelledScan
from gutseg.constants import CLASSES
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.components import Components

# name of an overlap: which classes, as indices into CLASSES
OVERLAPS = {
    "large and small bowel": (0, 1),
    "large bowel and stomach": (0, 2),
    "small bowel and stomach": (1, 2),
    "all three": (0, 1, 2),
}
# of a row per scan and organ; see `_organ`
ORGAN_COLUMNS = [
    *("scan", "organ", "ml", "first", "last", "missing", "head", "foot", "shared"),
    *("jump", "jump_slice", "components", "far_mm", "far_voxels", "far_slice"),
]


def runs_column(organ: str) -> str:
    """Name the column of an organ's runs per string."""
    return f"{organ} runs"


def measure(scan: LabelledScan) -> tuple[pd.DataFrame, list[dict]]:
    """Return a row per labelled slice and a row per organ.

    Slices: id, the area of each organ and each of OVERLAPS in pixels, and the runs that its
    run-length string has. Organs: see `_organ`.
    """
    areas = scan.masks.slice_counts()
    _, depth, height, width = scan.masks.shape
    organs, columns = [], {organ: areas[c] for c, organ in enumerate(CLASSES)}
    for name, classes in OVERLAPS.items():
        common = np.bitwise_and.reduce(scan.masks.words[list(classes)], axis=0, keepdims=True)
        columns[name] = BitRows(common, width).slice_counts()[0]
    for c, organ in enumerate(CLASSES):
        parts = Components.of(scan.masks.words[c])
        columns[runs_column(organ)] = _runs(parts, depth, height, width)
        organs.append(_organ(scan, c, areas[c], parts))
    rows = {name: values[scan.z] for name, values in columns.items()}
    return pd.DataFrame({"id": scan.ids, **rows}), organs


def _runs(parts: Components, depth: int, height: int, width: int) -> np.ndarray:
    """Count the runs of the text of every plane, (Z,): one that ends a row goes on in the next."""
    counts = np.bincount(parts.row // height, minlength=depth)
    before, after = slice(None, -1), slice(1, None)
    goes_on = (parts.stop[before] == width) & (parts.start[after] == 0)
    goes_on &= (parts.row[after] == parts.row[before] + 1) & (parts.row[after] % height != 0)
    return counts - np.bincount(parts.row[after][goes_on] // height, minlength=depth)


def _shared(masks: BitRows, c: int) -> int:
    """Count the voxels of a class that another class claims too."""
    own = BitRows(masks.words[c : c + 1], masks.width)
    others = BitRows(np.delete(masks.words, c, axis=0), masks.width).union()
    return int(own.intersection_counts(others).sum())


def _organ(scan: LabelledScan, c: int, areas: np.ndarray, parts: Components) -> dict:
    """Measure one organ of a scan.

    ml: volume. first, last: numbers of its end slices. missing: planes without it between them.
    head, foot: area of the end slice as a share of the largest one, NaN where the scan ends there
    too. shared: the share of its voxels that are labelled as another organ too. jump: the most
    pixels that change from a slice to the next between the ends, as a share of the largest slice.
    components, far_mm, far_voxels: see `farthest_part`. *_slice: where.
    """
    row = {"scan": scan.name, "organ": CLASSES[c], "ml": areas.sum() * np.prod(scan.spacing) / 1e3}
    z = np.flatnonzero(areas)
    if not len(z):
        return row
    largest, last_plane = areas.max(), scan.masks.shape[1] - 1
    row |= {"first": z[0] + scan.first, "last": z[-1] + scan.first}
    row["missing"] = np.ptp(z) + 1 - len(z)
    row["head"] = areas[z[0]] / largest if z[0] > 0 else np.nan
    row["foot"] = areas[z[-1]] / largest if z[-1] < last_plane else np.nan
    row["shared"] = _shared(scan.masks, c) / areas.sum()
    words = scan.masks.words[c : c + 1, z[0] : z[-1] + 1]
    if len(words[0]) > 1:
        changed = BitRows(words[:, 1:] ^ words[:, :-1], scan.masks.width).slice_counts()[0]
        row["jump"] = changed.max() / largest
        row["jump_slice"] = z[0] + changed.argmax() + 1 + scan.first
    far = farthest_part(parts, scan.masks.shape[2], scan.spacing)
    row |= {"components": far.components, "far_mm": far.mm, "far_voxels": far.voxels}
    return row | {"far_slice": far.plane + scan.first}
