"""The planes of another view of a source's volumes, as training and its loss see them."""

import numpy as np
import pandas as pd

from gutseg.data.sources.source import Source
from gutseg.data.view import View, turn, turned
from gutseg.data.volume import Scan


class Turned(Source):
    """Planes (Z, W) or (Z, H) of volumes, with neighbours along the axis that is left.

    Predictions are still made and compared slice by slice, on the volumes as they are.
    """

    def __init__(self, axial: Source, rows: pd.DataFrame, view: View) -> None:
        """rows: of the axial source's index, with a column `fold`; a scan has one fold."""
        self.axial, self.view = axial, view
        self.classes, self.mode, self.background = axial.classes, axial.mode, axial.background
        self.inputs = axial.inputs
        groups = rows.groupby("scan", sort=False)
        self._listed = {name: part["z"].to_numpy() for name, part in groups}
        self.index = pd.concat([self._planes(part) for _, part in groups], ignore_index=True)

    def _planes(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the index of one scan: one row per plane of the view."""
        first = rows.iloc[0]
        name = first["scan"]
        # slices without an organ need not be read
        z = rows["z"].to_numpy()[self.axial.shows_object(rows)]
        labels = turn(np.asarray(self.axial.scan(name).labels)[z], self.view)  # (N, z, columns)
        bits = np.bitwise_or.reduce(labels, axis=(1, 2))  # (N,)
        shown = self.masks(bits[:, None, None])[:, :, 0, 0] >= 0.5  # (N, C)
        planes = pd.DataFrame(shown, columns=list(self.classes))
        planes["z"] = np.arange(len(planes))
        planes["id"] = [f"{name}_{self.view}_{plane:04d}" for plane in planes["z"]]
        return planes.assign(scan=name, group=first["group"], fold=first["fold"])

    def scan(self, name: str) -> Scan:
        """Open a scan, its planes those of the view."""
        return turned(self.axial.scan(name), self.view)

    def fingerprint(self, name: str) -> str:
        """Return what identifies a scan's pixels and labels."""
        return self.axial.fingerprint(name)

    def masks(self, labels: np.ndarray) -> np.ndarray:
        """Spread labels over classes as the volumes' own source does."""
        return self.axial.masks(labels)

    def ignored(self, scan: Scan, z: np.ndarray) -> np.ndarray | None:
        """Return the rows of slices without labels: (B, Z, columns) bool, None where all have."""
        unlisted = np.ones(scan.shape[1], bool)
        unlisted[self._listed[scan.name]] = False
        if not unlisted.any():
            return None
        return np.tile(unlisted[:, None], (len(z), 1, scan.shape[2]))


def in_view(data: Source, table: pd.DataFrame, view: View) -> tuple[Source, pd.DataFrame]:
    """Return the planes that a network sees, and their index.

    table: the data's index with a column `fold`; the axial planes are those of the data.
    """
    if view == "axial":
        return data, table
    found = Turned(data, table, view)
    return found, found.index
