"""Scans to look at: the cache's images and masks, and what a run or a blend predicted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gutseg.constants import CLASSES, SLICE_MM
from gutseg.data.cache import Cache
from gutseg.data.index import INDEX
from gutseg.data.volume import Scan
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.mask_words import Spacing

Predict = Callable[[str], tuple[BitRows, np.ndarray]]


@dataclass(frozen=True)
class Shown:
    """One scan with what is known about it."""

    scan: Scan
    # of slices, rows and columns in mm
    spacing: Spacing
    # of the prediction (C, Z, H, W), None where there is none
    prediction: BitRows | None = None
    # the planes (Z,) bool that were predicted; None: all
    seen: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Of the scan: case2_day1."""
        return self.scan.name

    @property
    def truth(self) -> BitRows:
        """The labels (C, Z, H, W)."""
        return BitRows.from_class_bits(self.scan.labels, len(CLASSES))


@dataclass(frozen=True)
class Scans:
    """The scans of a source by name, each opened when it is asked for."""

    names: Sequence[str]
    # one row per slice: scan, spacing_y, spacing_x
    index: pd.DataFrame
    # opens the image and the labels of a scan
    read: Callable[[str], Scan]
    predict: Predict | None = None

    def __getitem__(self, name: str) -> Shown:
        """Open a scan; raises KeyError for a name that is not in names."""
        if name not in self.names:
            raise KeyError(name)
        first = self.index[self.index["scan"] == name].iloc[0]
        spacing = (SLICE_MM, float(first["spacing_y"]), float(first["spacing_x"]))
        masks, seen = self.predict(name) if self.predict else (None, None)
        return Shown(self.read(name), spacing, masks, seen)


def open_scans(source: Path, wanted: str = "all") -> Scans:
    """Open a run folder, a blend.yaml or a cache of `gutseg prepare`, which has no prediction.

    wanted: folds, as in `--fold`. Raises FileNotFoundError or ValueError for anything else.
    """
    if not source.exists():
        raise FileNotFoundError(
            f"{source} does not exist; expected a run folder, a blend.yaml or a prepared cache"
        )
    if (source / INDEX).is_file():
        cache = Cache(source)
        return Scans(sorted(cache.index["scan"].unique()), cache.index, cache.scan)
    from gutseg import blends  # torch takes seconds to import, a cache does not need it

    opened = blends.open_source(source, wanted)
    data: Any = opened.data
    if not data.has_volumes:
        raise ValueError(
            f"{source} predicts images that stand alone; the viewer shows scans of the competition"
        )
    return Scans(opened.scans, data.index, data.scan, opened.masks)


def pick(scores: dict[str, float]) -> list[str]:
    """Return the worst, the median and the best scan by score, highest best, each once.

    Scans whose score is NaN are left out.
    """
    ranked = sorted((score, name) for name, score in scores.items() if score == score)
    places = dict.fromkeys([0, len(ranked) // 2, len(ranked) - 1]) if ranked else ()
    return [ranked[place][1] for place in places]
