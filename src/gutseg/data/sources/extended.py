"""A source with more scans to train on; those of the source itself are held out and predicted."""

from typing import Any

import numpy as np
import pandas as pd

from gutseg.data.sources.source import Source


class Extended(Source):
    """The scans of two sources of the same classes; a name of both is the first one's."""

    def __init__(self, own: Source, more: Source) -> None:
        """own: whose classes and inputs are taken."""
        self.own, self.more = own, more
        self.classes, self.mode, self.background = own.classes, own.mode, own.background
        self.has_volumes, self.inputs = own.has_volumes, own.inputs
        self.index = pd.concat([own.index, more.index], ignore_index=True)
        self.amounts = np.concatenate([own.amounts, more.amounts])
        self._names = set(own.index["scan"])

    def _of(self, name: str) -> Source:
        return self.own if name in self._names else self.more

    def scan(self, name: str) -> Any:
        """Open a scan of either source."""
        return self._of(name).scan(name)

    def fingerprint(self, name: str) -> str:
        """Return what identifies a scan's pixels and labels."""
        return self._of(name).fingerprint(name)

    def masks(self, labels: np.ndarray) -> np.ndarray:
        """Spread labels over classes as the first source does."""
        return self.own.masks(labels)
