"""A scan of any format: grey values as networks take them, and where its voxels lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gutseg.clinic.geometry import Geometry

BRIGHTEST = 65535


@dataclass(frozen=True)
class Volume:
    """A scan, its slices in the order of its own files."""

    name: str
    # (Z, H, W) uint16
    image: np.ndarray
    geometry: Geometry
    # of a DICOM series, one data set per slice without its pixels
    headers: Sequence[Any] = ()


def as_grey(values: np.ndarray, where: str) -> np.ndarray:
    """Return grey values (Z, H, W) as uint16; where: a file, for errors.

    Whole numbers from 0 to 65535 stay. Others are moved and stretched so that 0, or the lowest
    value below it, becomes 0 and the highest 65535: networks see a scan relative to itself.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{where}: grey values are not finite; expected numbers")
    is_whole = values.dtype.kind in "iu" or not (values % 1).any()
    if is_whole and low >= 0 and high <= BRIGHTEST:
        return values.astype(np.uint16)
    bottom = min(low, 0.0)
    share = (values.astype(np.float32) - np.float32(bottom)) / np.float32(max(high - bottom, 1e-30))
    return np.rint(share * BRIGHTEST).astype(np.uint16)
