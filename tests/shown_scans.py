"""Small scans as the viewer shows them, so that every voxel is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
from folders import draw

from gutseg.data.volume import describe
from gutseg.masks.bit_rows import BitRows
from gutseg.viewer.scans import Scans, Shown

SHAPE = (20, 40, 48)
MM = (3.0, 1.5, 1.5)
# of the large bowel's prediction, far from all else; (z, y, x)
SPECK = (17, 4, 45)


def labelled(name: str = "case2_day0", seed: int = 0):
    """Draw a scan with three organs."""
    image, mask = draw(*SHAPE, seed)
    return replace(describe(name, image), mask=mask)


def predicted(mask: np.ndarray) -> BitRows:
    """Return the labels two columns to the right, with a speck of large bowel."""
    moved = np.roll(mask, 2, axis=2)
    moved[SPECK] |= 1
    return BitRows.from_class_bits(moved, 3)


def shown(name: str = "case2_day0", seed: int = 0, **changes) -> Shown:
    """Return a scan with truth and prediction."""
    scan = labelled(name, seed)
    return replace(Shown(scan, MM, predicted(scan.labels)), **changes)


def scans(names: tuple[str, ...]) -> Scans:
    """Return scans that are drawn when they are asked for."""
    index = pd.DataFrame({"scan": names, "spacing_y": MM[1], "spacing_x": MM[2]})
    every = np.ones(SHAPE[0], bool)
    return Scans(names, index, labelled, lambda name: (predicted(labelled(name).labels), every))
