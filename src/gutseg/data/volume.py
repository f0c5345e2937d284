"""Scans as arrays, read from 16-bit PNGs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from gutseg.data.index import Faults

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
BODY_THRESHOLD = 0.08  # of the scan's 99.5th percentile: air and noise stay below, fat above


@dataclass(frozen=True)
class Scan:
    """One scan: the 16-bit image, its histogram, and the labels when there are any.

    image: (Z, H, W) uint16. mask: (Z, H, W) uint8, bit c is class c of CLASSES; None without
    labels. counts: voxels per grey value, uint32. body: (top, bottom, left, right) in pixels.
    """

    name: str
    image: np.ndarray
    counts: np.ndarray
    body: tuple[int, int, int, int]
    mask: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, H, W)."""
        return self.image.shape

    @cached_property
    def _cumulated(self) -> np.ndarray:
        return np.cumsum(self.counts, dtype=np.int64)

    def percentile(self, percent: float) -> float:
        """Return the grey value below or at which `percent` of the voxels lie (0-100)."""
        rank = percent / 100 * self._cumulated[-1]
        return float(np.searchsorted(self._cumulated, max(rank, 1)))


def read_png(path: Path, height: int, width: int) -> np.ndarray:
    """Read one 16-bit grey slice as (H, W) uint16.

    Raises ValueError saying what was found and what was expected: no PNG, truncated, 8-bit,
    colour, or another size than the file name says.
    """
    data = path.read_bytes()
    if not data.startswith(PNG_SIGNATURE):
        raise ValueError(f"not a PNG: the file starts with {data[:8]!r}")
    if not data.rstrip(b"\0").endswith(PNG_END):
        raise ValueError(f"truncated after {len(data)} bytes: no IEND chunk; download it again")
    bits, colour = data[24], data[25]
    if bits != 16 or colour != 0:
        kind = {0: "grey", 2: "RGB", 3: "palette", 4: "grey + alpha", 6: "RGBA"}.get(colour)
        raise ValueError(f"a {bits}-bit {kind} PNG; expected 16-bit grey")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("damaged: the PNG does not decode; download it again")
    if image.shape != (height, width):
        found = f"{image.shape[1]}x{image.shape[0]}"
        raise ValueError(f"is {found} (width x height); its name says {width}x{height}")
    return image


def read_scan(
    slices: pd.DataFrame, root: Path, faults: Faults, mapper: Callable = map
) -> tuple[Scan, pd.DataFrame]:
    """Read the PNGs of one scan; return it and the rows that could be read, with a column z.

    slices: rows of list_slices of one scan. Plane z holds slice first + z; a plane that could
    not be read, or is missing, stays 0 so that distances along z remain true. mapper: the map
    of an executor decodes in parallel.
    """
    name = slices["scan"].iloc[0]
    sizes = slices.groupby(["height", "width"])["file"].agg(["size", "first"])
    height, width = sizes["size"].idxmax()
    for (other_height, other_width), row in sizes.drop((height, width)).iterrows():
        faults.add(
            row["first"], f"{other_width}x{other_height}, the rest of {name} is {width}x{height}"
        )
    slices = slices[(slices["height"] == height) & (slices["width"] == width)]
    z = slices["slice"] - slices["slice"].min()
    image = np.zeros((z.max() + 1, height, width), np.uint16)

    def load(plane: int, file: str) -> str | None:
        try:
            image[plane] = read_png(root / file, height, width)
        except (ValueError, OSError) as error:
            return str(error)
        return None

    problems = list(mapper(load, z, slices["file"]))
    for file, problem in zip(slices["file"], problems, strict=True):
        if problem:
            faults.add(file, problem)
    kept = slices.assign(z=z)[[problem is None for problem in problems]]
    return describe(name, image), kept


def describe(name: str, image: np.ndarray) -> Scan:
    """Measure a raw volume (Z, H, W) uint16: its histogram and the box around the body."""
    counts = np.bincount(image.ravel()).astype(np.uint32)
    scan = Scan(name, image, counts, (0, image.shape[1], 0, image.shape[2]))
    return Scan(name, image, counts, body_box(image, BODY_THRESHOLD * scan.percentile(99.5)))


def body_box(image: np.ndarray, threshold: float) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of the largest bright region of all slices together.

    image: (Z, H, W). One box a scan, so that a slice's neighbours are cropped alike. An image
    with nothing above the threshold gives the whole slice.
    """
    # the mean over z suppresses the noise of air; organs and fat stay far above it
    bright = (image.mean(axis=0, dtype=np.float32) > threshold).astype(np.uint8)
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    if count < 2:
        return (0, image.shape[1], 0, image.shape[2])
    left, top, width, height, _ = map(int, stats[1:][stats[1:, cv2.CC_STAT_AREA].argmax()])
    return (top, top + height, left, left + width)
