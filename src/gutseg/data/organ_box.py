"""The part of the body where training scans show objects."""

import numpy as np
import pandas as pd

from gutseg.data.sources.source import Source

# Steps of a share: a thousandth is less than a pixel, and a config shows no more digits.
STEPS = 1000


def organ_box(source: Source, rows: pd.DataFrame) -> tuple[float, float, float, float]:
    """Return (top, bottom, left, right) of all objects on some rows, as shares of their bodies.

    The smallest box that holds the objects of every scan, in thousandths rounded outwards, within
    the body. Raises ValueError where no row shows an object.
    """
    shown = rows[source.shows_object(rows)]
    parts = [
        _shares(source, str(name), part["z"].to_numpy()) for name, part in shown.groupby("scan")
    ]
    found = np.array([part for part in parts if part is not None])  # (N, 4)
    if not len(found):
        raise ValueError(
            f"geometry.kind organs: none of {len(rows)} training slices shows an object; give body"
        )
    # what rounding has left over is no step: 0.7 * 1000 is 700 and nothing more
    first = np.floor(found[:, [0, 2]].min(axis=0) * STEPS + 1e-9) / STEPS
    last = np.ceil(found[:, [1, 3]].max(axis=0) * STEPS - 1e-9) / STEPS
    top, left = first.clip(0, 1).tolist()
    bottom, right = last.clip(0, 1).tolist()
    return top, bottom, left, right


def _shares(source: Source, name: str, planes: np.ndarray) -> np.ndarray | None:
    """Return the box of all objects on planes z of a scan as shares of its body: (4,)."""
    scan = source.scan(name)
    shown = np.zeros(scan.shape[1:], bool)
    for z in planes:
        masks = source.truth(scan, np.array([z]))[:, 0]  # (C, H, W)
        if source.background is not None:
            masks = np.delete(masks, source.background, axis=0)
        shown |= masks.any(axis=0)
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    top, bottom, left, right = scan.body
    box = np.array([rows[0] - top, rows[-1] + 1 - top, columns[0] - left, columns[-1] + 1 - left])
    return box / np.repeat([max(bottom - top, 1), max(right - left, 1)], 2)
