"""The competition's scans, from a cache of `gutseg prepare`; the phantom's are the same."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from gutseg.constants import BLACKLISTS, CLASSES
from gutseg.data.cache import Cache
from gutseg.data.index import SCAN_FOLDER
from gutseg.data.inputs import Inputs
from gutseg.data.prior_day import Days
from gutseg.data.sources.source import Source
from gutseg.data.volume import Scan, voxel_size
from gutseg.registry import shown, suggest


def _scan_or_list(name: str) -> str:
    if name not in BLACKLISTS and not SCAN_FOLDER.fullmatch(name):
        choices = suggest(name, list(BLACKLISTS))
        raise ValueError(f"{shown(name)} is neither a scan (case7_day0) nor a list; {choices}")
    return name


# the class of a network that tells organ from background
BINARY = ("organ",)
Blacklist = tuple[Annotated[str, AfterValidator(_scan_or_list)], ...]


def left_out(blacklist: Blacklist) -> set[str]:
    """Return the scans that a blacklist names, by themselves or by a key of BLACKLISTS."""
    return {scan for name in blacklist for scan in BLACKLISTS.get(name, (name,))}


class Competition(Source):
    """Slices of volumes with three organs that may overlap; a group is a patient."""

    classes: tuple[str, ...] = CLASSES
    mode = "multilabel"
    has_volumes = True

    def __init__(
        self, folder: Path, inputs: Inputs, *, blacklist: Blacklist = (), binary: bool = False
    ) -> None:
        """blacklist: scans to leave out, by name (case7_day0) or by list (a key of BLACKLISTS).

        binary: take all organs for one class; the competition's measures do not apply then.
        """
        self.cache, self.inputs = Cache(folder), inputs
        index = self.cache.index[~self.cache.index["scan"].isin(left_out(blacklist))]
        self.days = Days(self.cache, index) if inputs.prior else None
        self.index = index.assign(group="case" + index["case"].astype(str))
        # planes in place of pixels: drawing folds should not read every mask
        self.amounts = index[list(CLASSES)].to_numpy().astype(int)
        if binary:
            self.classes, self.has_volumes = BINARY, False
            self.index[BINARY[0]] = self.amounts.any(axis=1)

    def scan(self, name: str) -> Scan:
        """Open a scan, or return it again; its arrays are read-only memory maps."""
        scan = self.cache.scan(name)
        return self.days.with_prior(scan) if self.days else scan

    def earlier(self, name: str) -> str | None:
        """Return the earlier scan that a network sees with a scan and its fingerprint, if any."""
        found = self.days.before(name) if self.days else None
        return f"{found} {self.fingerprint(found)}" if found else None

    def voxel_mm(self, name: str) -> tuple[float, float, float]:
        """Return the size (z, y, x) of a scan's voxels: pixels as its files are called."""
        return voxel_size(self.index[self.index["scan"] == name])

    def masks(self, labels: np.ndarray) -> np.ndarray:
        """Spread labels over classes; of a binary source any organ is the one class."""
        return super().masks(np.minimum(labels, 1) if self.classes == BINARY else labels)

    def fingerprint(self, name: str) -> str:
        """Return a hash of the files that a scan was made from."""
        return self.cache.fingerprint(name)
