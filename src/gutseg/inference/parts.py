"""What predictors take: planes of scans, and what finds the windows of scans."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import nn

from gutseg.data.volume import Scan


@dataclass(frozen=True)
class Part:
    """Planes z (N,) of one scan."""

    scan: Scan
    z: np.ndarray


Batch = list[Part]


class Locate(Protocol):
    """Finds the box of a scan's window."""

    @property
    def networks(self) -> list[nn.Module]:
        """What finds it."""

    def __call__(self, scan: Scan) -> Scan:
        """Return the scan with its box."""
