"""From a scan to what a network sees: stack, intensity scaling and geometry in one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gutseg.data.geometry import Window, window
from gutseg.data.scaling import scale
from gutseg.data.stack import gather, neighbours
from gutseg.data.volume import Scan


@dataclass(frozen=True)
class Inputs:
    """The settings shared by training, validation, out-of-fold prediction and the kernel.

    stack, scaling, geometry: keyword arguments of `neighbours`, `scale` and `window`.
    """

    stack: Mapping[str, Any]
    scaling: Mapping[str, Any]
    geometry: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Slices in one stack."""
        return self.stack["slices"]

    def for_any_size(self) -> "Inputs":
        """Return the same for scans larger than the padded size: the input grows for them.

        Training cannot take them, its batches are of one size.
        """
        return replace(self, geometry={**self.geometry, "grow": True})

    def window(self, scan: Scan) -> Window:
        """Return the window of a scan; one for all of its slices."""
        return window(scan.shape[1:], scan.body, **self.geometry)

    def images(self, scan: Scan, z: np.ndarray) -> np.ndarray:
        """Return the stacks around planes z (B,) as (B, S, h, w) float32 in [0, 1]."""
        stack = gather(scan.image, neighbours(z, len(scan.image), **self.stack))
        scaled = scale(stack, scan, **self.scaling)
        batch, slices = scaled.shape[:2]
        planes = self.window(scan).forward(scaled.reshape(batch * slices, *scan.shape[1:]))
        return planes.reshape(batch, slices, *planes.shape[1:])

    def labels(self, scan: Scan, z: np.ndarray) -> np.ndarray:
        """Return the labels of planes z (B,) as (B, h, w) uint8, one bit a class."""
        return self.window(scan).forward(scan.mask[z], labels=True)
