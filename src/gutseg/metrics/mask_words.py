"""Two masks as bit rows, or the bit rows of their surfaces, in buffers that a thread keeps.

Masks are (Z, H, W): bool or uint8 arrays, or the uint64 words of one class of BitRows. Without
the axis Z they are one slice, whose surface is its outline; of a volume of one slice every voxel
is surface.
"""

import math
import threading
from collections.abc import Sequence

import numpy as np

from gutseg.masks.bit_rows import edge, pack_at_least, words_of
from gutseg.masks.intrinsics import frozen

Spacing = tuple[float, float, float]
ISOTROPIC: Spacing = (1.0, 1.0, 1.0)
# largest buffer kept between calls, in bytes: the bits of 33 million voxels
_KEPT = 2**22


class _Scratch(threading.local):
    """Buffers kept between the calls of a thread, at most _KEPT bytes each.

    The pages of a fresh buffer cost as much time as the search: 750 page faults for a scan's bits.
    """

    def __init__(self) -> None:
        self._kept: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An array whose contents are left over; valid until the thread takes `name` again."""
        size = math.prod(shape)
        buffer = self._kept.get(name)
        if buffer is None or buffer.size < size:
            buffer = np.empty(size, dtype)
            if buffer.nbytes <= _KEPT:
                self._kept[name] = buffer
        return buffer[:size].reshape(shape)


scratch = _Scratch()


def two_words(
    first: np.ndarray, second: np.ndarray, *, surface: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Both masks as (Z, H, W64) uint64 words, for surface=True of their edge voxels."""
    if (first.dtype == np.uint64) != (second.dtype == np.uint64):
        raise ValueError(f"one mask is packed and one is not: {first.dtype}, {second.dtype}")
    if first.shape != second.shape:
        raise ValueError(f"masks differ in shape: {first.shape} and {second.shape}")
    flat = first.ndim == 2
    if flat:
        first, second = first[None], second[None]
    if not surface:
        return _words(first, "first"), _words(second, "second")
    edges = []
    for mask, name in ((first, "first"), (second, "second")):
        # one buffer for both packings: only their edges are needed together
        words = _words(mask, "packed")
        found = scratch.take(name, words.shape, np.uint64)
        edge(words, found, flat)
        edges.append(frozen(found))
    return edges[0], edges[1]


def _words(mask: np.ndarray, name: str) -> np.ndarray:
    if mask.ndim != 3 or mask.dtype not in (np.bool_, np.uint8, np.uint64) or not mask.size:
        raise ValueError(
            f"expected (Z, H, W) bool or uint8, or (Z, H, W64) uint64 words, or a slice, "
            f"found {mask.dtype} {mask.shape}"
        )
    mask = np.ascontiguousarray(mask)
    if mask.dtype == np.uint64:
        return frozen(mask)
    depth, height, width = mask.shape
    words = scratch.take(name, (depth * height, words_of(width)), np.uint64)
    data = frozen(mask.view(np.uint8).reshape(-1))
    pack_at_least(data, width, np.uint8(1), words)
    return frozen(words.reshape(depth, height, -1))


def checked_spacing(spacing: Sequence[float]) -> Spacing:
    """Return three positive numbers (z, y, x) as floats; raises ValueError for anything else."""
    steps = tuple(float(step) for step in spacing)
    if len(steps) != 3 or not all(0 < step < np.inf for step in steps):
        raise ValueError(f"spacing (z, y, x) must be three positive numbers, found {spacing}")
    return steps[0], steps[1], steps[2]
