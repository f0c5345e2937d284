"""From a scan to what a network sees, and back: stacks of slices, grey values, input size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Annotated, Any

import cv2
import numpy as np
from pydantic import Field

from gutseg.constants import CLASSES
from gutseg.data.input_sections import Geometry, Scaling, Stack
from gutseg.data.prior_day import mask_planes
from gutseg.data.volume import Scan
from gutseg.settings import LARGEST_SIDE, EarlierDay, Section, Share

# (top, bottom, left, right)
Box = tuple[int, int, int, int]
CropSide = Annotated[int, Field(ge=8, le=LARGEST_SIDE)]


class Crop(Section):
    """Random crops of the training images, cut after the window; predicted are whole images."""

    # [height, width] of a crop in pixels
    size: tuple[CropSide, CropSide] = (128, 128)
    # share of the crops that hold a pixel of an object, anywhere in the crop and each object of an
    # image as likely; the others lie anywhere
    foreground: Share = 0.0
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
    # whether channels of an earlier day of the patient follow; withheld: they are all 0
    prior: EarlierDay | None = None

    @property
    def channels(self) -> int:
        """Channels of one input."""
        own = self.stack.slices if self.selected is None else len(self.selected)
        return own + self.prior_channels

    @property
    def prior_channels(self) -> int:
        """Channels of the earlier day, the last ones of an input: its image and the masks."""
        return 1 + self.mask_channels if self.prior else 0

    @property
    def mask_channels(self) -> int:
        """Channels that hold masks and no grey values, the last ones of an input."""
        return len(CLASSES) if self.prior else 0

    def for_any_size(self) -> "Inputs":
        """Return the same, growing for scans larger than the padded size; not for training."""
        return replace(self, grow=True)

    def window(self, scan: Any) -> "Window":
        """Return the window of a scan or a picture; one for all of its slices."""
        place = _found(scan) if self.geometry.kind == "found" else scan.body
        return window(scan.shape[1:], place, self.geometry, grow=self.grow)

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
        images = planes.reshape(batch, slices, *planes.shape[1:])
        return np.concatenate([images, self._earlier(scan, z)], axis=1) if self.prior else images

    def _earlier(self, scan: Scan, z: np.ndarray) -> np.ndarray:
        """Return the earlier day's image and masks at planes z (B,): (B, 1 + C, h, w)."""
        window = self.window(scan)
        if scan.prior is None or self.prior == "withheld":
            return np.zeros((len(z), self.prior_channels, *window.size), np.float32)
        image, labels = scan.prior.planes(z)
        grey = window.forward(scale(image[:, None], scan.prior.scan, self.scaling)[:, 0])
        masks = mask_planes(window.forward(labels, labels=True))
        return np.concatenate([grey[:, None], masks], axis=1)

    def labels(self, scan: Scan, z: np.ndarray) -> np.ndarray:
        """Return the labels of planes z (B,) as (B, h, w) uint8, as `scan.labels` holds them."""
        return self.window(scan).forward(scan.labels[z], labels=True)

    def native(self, scan: Any, planes: np.ndarray) -> np.ndarray:
        """Bring predictions (B, C, h, w) float32 back to the slices: (C, B, H, W)."""
        batch, classes = planes.shape[:2]
        rows = planes.swapaxes(0, 1).reshape(batch * classes, *planes.shape[2:])
        return self.window(scan).inverse(rows).reshape(classes, batch, *scan.shape[1:])


def neighbours(z: np.ndarray, depth: int, stack: Stack) -> np.ndarray:
    """Return the planes of the stacks around z (B,) in a scan of so many: (B, slices).

    Edge `blank` gives -1 beyond the ends; `reflect` does not repeat the end itself.
    """
    offsets = (np.arange(stack.slices) - stack.slices // 2) * stack.stride
    planes = np.asarray(z)[:, None] + offsets  # (B, slices)
    if stack.edge == "clamp":
        return planes.clip(0, depth - 1)
    if stack.edge == "blank":
        return np.where((planes < 0) | (planes >= depth), -1, planes)
    period = max(2 * (depth - 1), 1)
    folded = planes % period
    return np.minimum(folded, period - folded)


def gather(volume: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Copy planes (B, S) of a memory-mapped volume (Z, H, W): (B, S, H, W), zeros for -1."""
    # indexing the memmap itself is three times slower than indexing a plain view of it
    stack = np.asarray(volume)[planes]
    if planes.min() < 0:
        stack[planes < 0] = 0
    return stack


def scale(stack: np.ndarray, scan: Scan, scaling: Scaling) -> np.ndarray:
    """Scale stacks (B, S, H, W) uint16 of one scan to float32 in [0, 1]."""
    values = stack.astype(np.float32)
    if scaling.kind == "stack":
        return values / values.max(axis=(1, 2, 3), keepdims=True).clip(min=1)
    bottom, top = ends(scan, scaling)
    values -= bottom
    values /= max(top - bottom, 1)
    return values.clip(0, 1, out=values)


def ends(scan: Scan, scaling: Scaling) -> tuple[float, float]:
    """Return the grey values of a scan that become 0 and 1; not of kind stack."""
    if scaling.kind == "scan":
        return 0.0, scan.percentile(100)
    if scaling.kind == "percentile":
        return scan.percentile(scaling.low), scan.percentile(scaling.high)
    mean, deviation = scan.moments(body=scaling.kind == "zscore_body")
    reach = scaling.deviations * deviation
    # not below black, which is what lies beyond the slice
    return max(mean - reach, 0.0), mean + reach


@dataclass(frozen=True)
class Window:
    """A box of the native slice that becomes the input; of the same size, it is not resampled."""

    # (H, W) of the slice
    native: tuple[int, int]
    # (top, bottom, left, right) in native pixels; beyond the slice there are zeros
    box: tuple[int, int, int, int]
    # (H, W) of the input
    size: tuple[int, int]

    def _cut(self) -> tuple[list[slice], list[slice]]:
        """Where the box and the slice overlap: rows and columns in native and box coordinates."""
        native, boxed = [], []
        for (start, stop), length in zip((self.box[:2], self.box[2:]), self.native, strict=True):
            first, last = max(start, 0), min(stop, length)
            native.append(slice(first, last))
            boxed.append(slice(first - start, last - start))
        return native, boxed

    @property
    def _box_size(self) -> tuple[int, int]:
        top, bottom, left, right = self.box
        return bottom - top, right - left

    def forward(self, planes: np.ndarray, *, labels: bool = False) -> np.ndarray:
        """Bring planes (N, H, W) to the input size: (N, h, w) of the same type.

        labels: nearest neighbour instead of area (shrinking) or linear (growing) averaging.
        """
        native, boxed = self._cut()
        inside = _moved(planes, native, boxed, self._box_size)
        return _resample(inside, self.size, labels)

    def inverse(self, planes: np.ndarray, *, labels: bool = False) -> np.ndarray:
        """Bring planes (N, h, w) of the input size back: (N, H, W), zeros outside the box."""
        native, boxed = self._cut()
        inside = _resample(planes, self._box_size, labels)
        return _moved(inside, boxed, native, self.native)


def window(
    native: tuple[int, int],
    body: tuple[int, int, int, int],
    geometry: Geometry,
    *,
    grow: bool = False,
) -> Window:
    """Choose the window of a scan, of native size (H, W) and body (top, bottom, left, right).

    body: of kind found the box that was found.
    grow: a side of `pad` that is too small for the slice becomes the next multiple of 32, which
    networks of any size take; without it such a slice raises ValueError.
    """
    height, width = native
    size, margin = geometry.size, geometry.margin
    if geometry.kind == "native":
        return Window(native, (0, height, 0, width), native)
    if geometry.kind == "resize":
        return Window(native, (0, height, 0, width), size)
    if geometry.kind in ("body", "organs", "found"):
        top, bottom, left, right = _part(body, geometry.box) if geometry.kind == "organs" else body
        rows = max(top - margin, 0), min(bottom + margin, height)
        columns = max(left - margin, 0), min(right + margin, width)
        return Window(native, (*rows, *columns), size)
    if grow:
        size = (
            size[0] if height <= size[0] else -(-height // 32) * 32,
            size[1] if width <= size[1] else -(-width // 32) * 32,
        )
    if height > size[0] or width > size[1]:
        raise ValueError(
            f"a {height}x{width} slice does not fit into the padded size {size[0]}x{size[1]}; "
            "expected at least 310x360 (height x width) for all native sizes, of views coronal "
            "and sagittal 144x360 and 144x310"
        )
    top, left = -((size[0] - height) // 2), -((size[1] - width) // 2)
    return Window(native, (top, top + size[0], left, left + size[1]), size)


def _found(scan: Scan) -> Box:
    """Return the box that another network found; the body would be another network's window."""
    if scan.found is None:
        raise ValueError(
            f"geometry.kind found: no box of {scan.name} is known; it is found by the network that "
            "gutseg train copied into the fold's folder"
        )
    return scan.found


def _part(body: Box, shares: tuple[float, ...] | None) -> Box:
    """Return the part (top, bottom, left, right) of a body, rounded to whole pixels outwards."""
    if shares is None:
        raise ValueError(
            "geometry.kind organs: no box of the organs is known; gutseg train writes it into the "
            "config.yaml of a run's folds as geometry.box"
        )
    top, bottom, left, right = body
    height, width = bottom - top, right - left
    first = top + floor(shares[0] * height), left + floor(shares[2] * width)
    last = top + ceil(shares[1] * height), left + ceil(shares[3] * width)
    return first[0], max(last[0], first[0] + 1), first[1], max(last[1], first[1] + 1)


def _moved(
    planes: np.ndarray, place: Sequence[slice], new: Sequence[slice], size: tuple[int, int]
) -> np.ndarray:
    """Move what is at a place of planes (N, H, W) to a new one in zeros (N, *size)."""
    if planes.shape[1:] == size and place == new:
        return planes
    out = np.zeros((len(planes), *size), planes.dtype)
    out[:, *new] = planes[:, *place]
    return out


def _resample(planes: np.ndarray, size: tuple[int, int], labels: bool) -> np.ndarray:
    if planes.shape[1:] == size:
        return planes
    if labels:
        how = cv2.INTER_NEAREST_EXACT
    else:
        how = cv2.INTER_AREA if planes.shape[1] > size[0] else cv2.INTER_LINEAR
    out = np.empty((len(planes), *size), planes.dtype)
    for target, plane in zip(out, planes, strict=True):
        cv2.resize(plane, size[::-1], dst=target, interpolation=how)
    return out
