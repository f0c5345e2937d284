"""2.5-D input: a slice and its neighbours as channels."""

from typing import Literal

import numpy as np

Edge = Literal["clamp", "reflect", "blank"]


def neighbours(
    z: np.ndarray, depth: int, *, slices: int = 5, stride: int = 1, edge: Edge = "clamp"
) -> np.ndarray:
    """Return the planes of the stacks around z: (B, slices), centre in the middle.

    z: (B,) plane numbers. depth: planes of the scan. Beyond the first and last plane `clamp`
    repeats the end, `reflect` mirrors (the end itself not repeated), `blank` gives -1.
    Raises ValueError for an even count, which has no centre.
    """
    if slices % 2 == 0 or slices < 1:
        raise ValueError(f"slices = {slices} is not odd; a 2.5-D stack needs a centre slice")
    if stride < 1:
        raise ValueError(f"stride = {stride}; expected at least 1")
    offsets = (np.arange(slices) - slices // 2) * stride
    planes = np.asarray(z)[:, None] + offsets
    if edge == "clamp":
        return planes.clip(0, depth - 1)
    if edge == "blank":
        return np.where((planes < 0) | (planes >= depth), -1, planes)
    if depth == 1:
        return np.zeros_like(planes)
    period = 2 * (depth - 1)
    folded = planes % period
    return np.where(folded >= depth, period - folded, folded)


def gather(volume: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Copy the planes of a whole batch out of a (memory-mapped) volume: (B, S, H, W).

    volume: (Z, H, W). planes: (B, S) from `neighbours`; -1 gives a plane of zeros.
    """
    # indexing the memmap itself is three times slower than indexing a plain view of it
    stack = np.asarray(volume)[planes]
    if planes.min() < 0:
        stack[planes < 0] = 0
    return stack
