"""Geometry: from native slices to the network's input size and exactly back."""

from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from gutseg.settings import LARGEST_SIDE, Section, Side


class Geometry(Section):
    """How native slices become the network's input."""

    # resize: the whole slice is stretched; pad: it lies in the middle, not resampled; body: the
    # body and a margin are stretched; native: the slice as it is, of whatever size
    kind: Literal["resize", "pad", "body", "native"] = "resize"
    # [height, width] of the input in pixels; not used by kind native
    size: tuple[Side, Side] = (320, 384)
    # of kind body alone: pixels around the body
    margin: Annotated[int, Field(ge=0, le=LARGEST_SIDE)] = 8


@dataclass(frozen=True)
class Window:
    """A box of the native slice that becomes the network's input.

    native: (H, W) of the slice. box: (top, bottom, left, right) in native pixels, may reach
    beyond the slice (zeros there). size: (H, W) of the input. When the box already has that
    size nothing is resampled and the way back is exact to the bit.
    """

    native: tuple[int, int]
    box: tuple[int, int, int, int]
    size: tuple[int, int]

    def _cut(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where the box and the slice overlap: in native and in box coordinates."""
        native, boxed = [], []  # rows, columns
        for (start, stop), length in zip((self.box[:2], self.box[2:]), self.native, strict=True):
            first, last = max(start, 0), min(stop, length)
            native.append(slice(first, last))
            boxed.append(slice(first - start, last - start))
        return (native[0], native[1]), (boxed[0], boxed[1])

    @property
    def _box_size(self) -> tuple[int, int]:
        top, bottom, left, right = self.box
        return bottom - top, right - left

    def forward(self, planes: np.ndarray, *, labels: bool = False) -> np.ndarray:
        """Bring planes (N, H, W) to the input size: (N, h, w) of the same type.

        labels: nearest neighbour instead of area (shrinking) or linear (growing) averaging.
        """
        native, boxed = self._cut()
        if self._box_size == self.native and native == boxed:
            inside = planes
        else:
            inside = np.zeros((len(planes), *self._box_size), planes.dtype)
            inside[:, *boxed] = planes[:, *native]
        return _resample(inside, self.size, labels)

    def inverse(self, planes: np.ndarray, *, labels: bool = False) -> np.ndarray:
        """Bring planes (N, h, w) of the input size back: (N, H, W), zeros outside the box."""
        native, boxed = self._cut()
        inside = _resample(planes, self._box_size, labels)
        if self._box_size == self.native and native == boxed:
            return inside
        out = np.zeros((len(planes), *self.native), planes.dtype)
        out[:, *native] = inside[:, *boxed]
        return out


def window(
    native: tuple[int, int],
    body: tuple[int, int, int, int],
    geometry: Geometry,
    *,
    grow: bool = False,
) -> Window:
    """Choose the window of a scan.

    native: (H, W). body: (top, bottom, left, right) of the scan. grow: a side of `pad` that is
    too small for the slice becomes the next multiple of 32, which networks of any size take;
    without it such a slice raises ValueError.
    """
    height, width = native
    size, margin = geometry.size, geometry.margin
    if geometry.kind == "native":
        return Window(native, (0, height, 0, width), native)
    if geometry.kind == "resize":
        return Window(native, (0, height, 0, width), size)
    if geometry.kind == "body":
        top, bottom, left, right = body
        box = (top - margin, bottom + margin, left - margin, right + margin)
        limits = (max(box[0], 0), min(box[1], height), max(box[2], 0), min(box[3], width))
        return Window(native, limits, size)
    if grow:
        rows, columns = (
            given if length <= given else -(-length // 32) * 32
            for given, length in zip(size, native, strict=True)
        )
        size = rows, columns
    if height > size[0] or width > size[1]:
        raise ValueError(
            f"a {height}x{width} slice does not fit into the padded size {size[0]}x{size[1]}; "
            "expected at least 310x360 (height x width) for all native sizes"
        )
    top, left = -((size[0] - height) // 2), -((size[1] - width) // 2)
    return Window(native, (top, top + size[0], left, left + size[1]), size)


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
