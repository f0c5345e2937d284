"""A source whose scans know the boxes that another network found, for geometry.kind found."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gutseg.data.inputs import Box
from gutseg.data.sources.source import Source


class Located(Source):
    """The scans of a source, each with its box."""

    def __init__(self, source: Source, boxes: Mapping[str, Box]) -> None:
        """boxes: of every scan, by its name."""
        self.source, self.boxes = source, boxes
        self.classes, self.mode, self.background = source.classes, source.mode, source.background
        self.has_volumes, self.inputs = source.has_volumes, source.inputs
        self.index, self.amounts = source.index, source.amounts

    def scan(self, name: str) -> Any:
        """Open a scan with its box."""
        return replace(self.source.scan(name), found=self.boxes[name])

    def fingerprint(self, name: str) -> str:
        """Return what identifies a scan's pixels and labels."""
        return self.source.fingerprint(name)

    def masks(self, labels: np.ndarray) -> np.ndarray:
        """Spread labels over classes as the source does."""
        return self.source.masks(labels)

    def ignored(self, scan: Any, z: np.ndarray) -> np.ndarray | None:
        """Return the pixels that count nowhere, as the source does."""
        return self.source.ignored(scan, z)
