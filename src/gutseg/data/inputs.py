"""From a scan to what a network sees, and back: stack, intensity scaling and geometry in one."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from gutseg.data.geometry import Geometry, Window, window
from gutseg.data.scaling import Scaling, scale
from gutseg.data.stack import Stack, gather, neighbours
from gutseg.data.volume import Scan
from gutseg.settings import LARGEST_SIDE, Section

CropSide = Annotated[int, Field(ge=8, le=LARGEST_SIDE)]


class Crop(Section):
    """Random crops of the training images, cut after the window."""

    # [height, width] of a crop in pixels
    size: tuple[CropSide, CropSide] = (128, 128)
    # mirror every other crop left-right
    flips: bool = True
    # turn crops by 0, 90, 180 or 270 degrees; an oblong crop by 0 or 180
    quarter_turns: bool = True


@dataclass(frozen=True)
class Inputs:
    """The settings shared by training, validation, out-of-fold prediction and the kernel."""

    stack: Stack
    scaling: Scaling
    geometry: Geometry
    # the channels that are kept of a stack or an image, None for all
    selected: tuple[int, ...] | None = None
    # a padded input grows for scans that are larger
    grow: bool = False

    @property
    def channels(self) -> int:
        """Channels of one input."""
        return self.stack.slices if self.selected is None else len(self.selected)

    def for_any_size(self) -> "Inputs":
        """Return the same for scans larger than the padded size: the input grows for them.

        Training cannot take them, its batches are of one size.
        """
        return replace(self, grow=True)

    def window(self, scan: Scan) -> Window:
        """Return the window of a scan; one for all of its slices."""
        return window(scan.shape[1:], scan.body, self.geometry, grow=self.grow)

    def stacks(self, scan: Scan, z: np.ndarray) -> np.ndarray:
        """Return the stacks around planes z (B,) at native size: (B, S, H, W) in [0, 1]."""
        planes = gather(scan.image, neighbours(z, len(scan.image), self.stack))
        scaled = scale(planes, scan, self.scaling)
        return scaled if self.selected is None else scaled[:, list(self.selected)]

    def images(self, scan: Scan, z: np.ndarray) -> np.ndarray:
        """Return the stacks around planes z (B,) as (B, S, h, w) float32 in [0, 1]."""
        stacks = self.stacks(scan, z)
        batch, slices = stacks.shape[:2]
        planes = self.window(scan).forward(stacks.reshape(batch * slices, *scan.shape[1:]))
        return planes.reshape(batch, slices, *planes.shape[1:])

    def labels(self, scan: Scan, z: np.ndarray) -> np.ndarray:
        """Return the labels of planes z (B,) as (B, h, w) uint8, as `scan.mask` holds them."""
        return self.window(scan).forward(scan.mask[z], labels=True)

    def native(self, scan: Scan, planes: np.ndarray) -> np.ndarray:
        """Bring predictions (B, C, h, w) float32 back to the slices: (C, B, H, W)."""
        batch, classes = planes.shape[:2]
        rows = planes.swapaxes(0, 1).reshape(batch * classes, *planes.shape[2:])
        return self.window(scan).inverse(rows).reshape(classes, batch, *scan.shape[1:])
