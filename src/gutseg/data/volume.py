"""Scans as arrays, read from 16-bit PNGs."""

import os
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from gutseg.constants import SLICE_MM
from gutseg.data.index import LARGEST_SCAN, Issues

if TYPE_CHECKING:
    from gutseg.data.prior_day import Earlier

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey + alpha", 6: "RGBA"}
# a picture of 2048 x 2048 RGBA pixels of 16 bits has 32 MiB before it is compressed
LARGEST_FILE = 2**28
BODY_THRESHOLD = 0.08  # of the scan's 99.5th percentile: air and noise stay below, fat above


@dataclass(frozen=True)
class Scan:
    """One scan: the 16-bit image, its histogram, and the labels when there are any.

    image: (Z, H, W) uint16. mask: (Z, H, W) uint8, bit c is class c of CLASSES; None without
    labels. counts: voxels per grey value, uint32. body: (top, bottom, left, right) in pixels.
    voxel_mm: size (z, y, x) of a voxel, None where nothing says it.
    prior: the patient's latest earlier day, where a network is to see it. found: (top, bottom,
    left, right) of what another network found, for windows of geometry.kind found.
    """

    name: str
    image: np.ndarray
    counts: np.ndarray
    body: tuple[int, int, int, int]
    mask: np.ndarray | None = None
    voxel_mm: tuple[float, float, float] | None = None
    prior: "Earlier | None" = None
    found: tuple[int, int, int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, H, W)."""
        depth, height, width = self.image.shape
        return depth, height, width

    @property
    def labels(self) -> np.ndarray:
        """The mask of a scan that has one; raises ValueError for a scan that has none."""
        if self.mask is None:
            raise ValueError(f"{self.name} has no labels")
        return self.mask

    def release(self) -> None:
        """Give the pages of mapped files back; the next access reads them again.

        Of a walk over many scans the memory of one remains.
        """
        for array in (self.image, self.mask):
            if isinstance(pages := getattr(array, "base", None), mmap):
                pages.madvise(MADV_DONTNEED)

    @cached_property
    def _cumulated(self) -> np.ndarray:
        return np.cumsum(self.counts, dtype=np.int64)

    def percentile(self, percent: float) -> float:
        """Return the grey value below or at which `percent` of the voxels lie (0-100)."""
        rank = percent / 100 * self._cumulated[-1]
        return float(np.searchsorted(self._cumulated, max(rank, 1)))

    @property
    def air(self) -> float:
        """The highest grey value of air: of the voxels above it the body is made."""
        return BODY_THRESHOLD * self.percentile(99.5)

    def moments(self, *, body: bool = False) -> tuple[float, float]:
        """Return mean and standard deviation of the grey values; body: of those above air.

        A scan of nothing but air has those of all its voxels.
        """
        greys, counts = np.arange(len(self.counts)), self.counts.astype(np.float64)
        if body and counts[greys > self.air].any():
            counts = np.where(greys > self.air, counts, 0)
        mean = (greys * counts).sum() / counts.sum()
        return float(mean), float(np.sqrt(((greys - mean) ** 2 * counts).sum() / counts.sum()))


def read_file(path: Path) -> bytes:
    """Read a regular file, waiting for no pipe; ValueError says what is wrong, without the name."""

    def at_once(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK)  # a pipe without a writer would block

    try:
        with open(path, "rb", opener=at_once) as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ValueError("is a pipe or a device, not a file")
            if facts.st_size > LARGEST_FILE:
                raise ValueError(f"has {facts.st_size} bytes; expected at most {LARGEST_FILE}")
            return stream.read()
    except FileNotFoundError:
        problem = "is a link to a file that does not exist" if path.is_symlink() else "is gone"
        raise ValueError(problem) from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def png_header(data: bytes) -> tuple[int, int, int, int]:
    """Return (height, width, bits, colour) of a complete PNG; ValueError says what is wrong."""
    if not data:
        raise ValueError("not a PNG: the file is empty; download it again")
    if not data.startswith(PNG_SIGNATURE):
        raise ValueError(f"not a PNG: the file starts with {data[:8]!r}")
    # a cut PNG decodes without complaint, its last rows black
    if not data.rstrip(b"\0").endswith(PNG_END):
        raise ValueError(f"truncated after {len(data)} bytes: no IEND chunk; download it again")
    if data[8:16] != b"\0\0\0\rIHDR" or len(data) < 33:
        raise ValueError("damaged: the PNG has no IHDR chunk; download it again")
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    return height, width, bits, colour


def decode_png(data: bytes, height: int, width: int) -> np.ndarray:
    """Decode a 16-bit grey slice (H, W) uint16 of the named size; ValueError for any other."""
    *size, bits, colour = png_header(data)
    if bits != 16 or colour != 0:
        kind = PNG_COLOURS.get(colour, "unknown")
        raise ValueError(f"a {bits}-bit {kind} PNG; expected 16-bit grey")
    # before decoding: a header may claim sizes that nobody has the memory for
    if size != [height, width]:
        found = f"{size[1]}x{size[0]}"
        raise ValueError(f"is {found} (width x height); its name says {width}x{height}")
    image = decode_picture(data, cv2.IMREAD_UNCHANGED) if _is_whole(data, height, width) else None
    if image is None or image.shape != (height, width):
        raise ValueError("damaged: the PNG does not decode; download it again")
    return image


def _is_whole(data: bytes, height: int, width: int) -> bool:
    """Say whether a 16-bit grey PNG's pixels unpack to as many as its header claims.

    Versions of OpenCV differ in what they let pass: too few give black rows, a rest is ignored.
    """
    if data[28]:  # interlaced: in seven pieces, left to the decoder
        return True
    parts, at = [], 33
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    expected = height * (1 + 2 * width)  # the first byte of a row names its filter
    stream = zlib.decompressobj()
    try:
        pixels = stream.decompress(b"".join(parts), expected + 1)
    except zlib.error:
        return False
    return len(pixels) == expected and stream.eof and not stream.unused_data


def decode_picture(data: bytes, flags: int) -> np.ndarray | None:
    """Decode a file's bytes with OpenCV, as its IMREAD flags say; None when that fails."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # no bytes, or a header that claims more pixels than OpenCV takes
        return None


def read_scan(
    slices: pd.DataFrame, read: Callable[[str], bytes], issues: Issues, mapper: Callable = map
) -> tuple[Scan, pd.DataFrame]:
    """Read the PNGs of one scan; return it and the rows that could be read, with a column z.

    slices: rows of list_slices. read: returns the bytes of a `file`, or raises ValueError. Plane z
    holds slice first + z; a missing one stays 0 so that distances along z remain true. mapper: the
    map of an executor decodes in parallel.
    """
    slices, height, width = _of_one_size(slices, issues)
    z = slices["slice"] - slices["slice"].min()
    name, depth = slices["scan"].iloc[0], int(z.max()) + 1
    if depth * height * width > LARGEST_SCAN:
        raise ValueError(
            f"{name} has {depth} x {height} x {width} voxels by its file names (slices x "
            f"height x width); expected at most {LARGEST_SCAN:,}"
        )
    image = np.zeros((depth, height, width), np.uint16)

    def load(plane: int, file: str) -> str | None:
        try:
            image[plane] = decode_png(read(file), height, width)
        except ValueError as error:
            return str(error)
        return None

    problems = list(mapper(load, z, slices["file"]))
    for file, problem in zip(slices["file"], problems, strict=True):
        if problem:
            issues.add(file, problem)
    kept = slices.assign(z=z)[[problem is None for problem in problems]]
    return describe(name, image, voxel_size(slices)), kept


def voxel_size(slices: pd.DataFrame) -> tuple[float, float, float]:
    """Return the size (z, y, x) in mm of a scan's voxels: pixels as its files are called."""
    first = slices.iloc[0]
    return SLICE_MM, float(first["spacing_y"]), float(first["spacing_x"])


def _of_one_size(slices: pd.DataFrame, issues: Issues) -> tuple[pd.DataFrame, int, int]:
    """Return the slices of the scan's most frequent size (by name), its height and its width."""
    sizes = slices.groupby(["height", "width"])["file"].agg(["size", "first"])
    height, width = sizes["size"].idxmax()
    rest = f"the rest of {slices['scan'].iloc[0]} is {width}x{height}"
    for (other_height, other_width), row in sizes.drop((height, width)).iterrows():
        count = f" ({row['size']} slices)" if row["size"] > 1 else ""
        issues.add(row["first"], f"{other_width}x{other_height}{count}, {rest}")
    return slices[(slices["height"] == height) & (slices["width"] == width)], height, width


def describe(
    name: str, image: np.ndarray, voxel_mm: tuple[float, float, float] | None = None
) -> Scan:
    """Measure a raw volume (Z, H, W) uint16: its histogram and the box around the body.

    voxel_mm: as in `Scan`.
    """
    counts = np.bincount(image.ravel()).astype(np.uint32)
    box = (0, image.shape[1], 0, image.shape[2])
    scan = Scan(name, image, counts, box, voxel_mm=voxel_mm)
    return replace(scan, body=body_box(image, scan.air))


def body_box(image: np.ndarray, threshold: float) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of the largest bright region of all slices together.

    One box per scan (Z, H, W), so that a slice's neighbours are cropped alike; if none, all of it.
    """
    # the mean over z suppresses the noise of air; organs and fat stay far above it
    bright = (image.mean(axis=0, dtype=np.float32) > threshold).astype(np.uint8)
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    if count < 2:
        return (0, image.shape[1], 0, image.shape[2])
    left, top, width, height, _ = map(int, stats[1:][stats[1:, cv2.CC_STAT_AREA].argmax()])
    return (top, top + height, left, left + width)
