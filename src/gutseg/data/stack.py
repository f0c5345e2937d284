"""2.5-D input: a slice and its neighbours as channels."""

from typing import Annotated, Literal

import numpy as np

from gutseg.settings import Choice, Section


class Stack(Section):
    """The neighbouring slices that become channels."""

    # slices of one input, its centre slice included; odd, so that there is a centre
    slices: Annotated[Literal[1, 3, 5, 7], Choice] = 5
    # every slice, every second or every third one
    stride: Annotated[Literal[1, 2, 3], Choice] = 1
    # beyond the first and the last slice: clamp repeats it, reflect mirrors, blank gives zeros
    edge: Literal["clamp", "reflect", "blank"] = "clamp"


def neighbours(z: np.ndarray, depth: int, stack: Stack) -> np.ndarray:
    """Return the planes of the stacks around z: (B, slices), centre in the middle.

    z: (B,) plane numbers. depth: planes of the scan. Where the edge is `blank`, -1 stands for a
    plane beyond the ends; `reflect` does not repeat the end itself.
    """
    offsets = (np.arange(stack.slices) - stack.slices // 2) * stack.stride
    planes = np.asarray(z)[:, None] + offsets  # (B, slices)
    if stack.edge == "clamp":
        return planes.clip(0, depth - 1)
    if stack.edge == "blank":
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
