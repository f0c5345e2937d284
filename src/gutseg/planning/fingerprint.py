"""What the planner knows of a data folder and of the machine: one pass over a sample of scans."""

from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from gutseg.data.sources.source import Source
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.components import Components

# scans or images that are read; the list of slices is used whole
SAMPLE = 20
# of the pixels of a scan: what `scaling` of kind percentile makes 0 and 1
LOW, HIGH = 1.0, 99.5


@dataclass(frozen=True)
class Machine:
    """What a training may use."""

    cores: int
    memory_gib: float
    # of the first GPU that torch can compute on, "" and 0 without
    gpu: str = ""
    gpu_gib: float = 0.0
    # rows of `package:` whose weights are installed
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassFacts:
    """What the sample shows of one class."""

    name: str
    # of all pixels
    share: float
    # connected pieces of a scan or image that shows it, the median; in 3-D where scans are volumes
    pieces: float
    # pixels of a piece in a plane, the mean
    piece_pixels: float


@dataclass(frozen=True)
class Greys:
    """Grey values of a scan or image."""

    low: float
    high: float
    largest: float


@dataclass(frozen=True)
class Fingerprint:
    """What the rules decide from."""

    source: str
    # planes with labels, scans, and groups that no fold divides (patients)
    images: int
    scans: int
    groups: int
    # the most scans that one group has
    most_days: int
    # whether scans are volumes, so that planes have neighbours
    volumes: bool
    # whether classes exclude each other
    exclusive: bool
    # (height, width) of planes -> how many scans have them
    sizes: dict[tuple[int, int], int]
    # (height, width) of the box around the body, the median of the sample
    body: tuple[int, int]
    # planes of a scan, the median of the sample
    depth: int
    # of an image; 1 for slices of volumes
    channels: int
    # (z, y, x) in mm, each as often as the sample has it once; empty where nothing says it
    spacings: tuple[tuple[float, float, float], ...]
    # planes that show no object
    empty_share: float
    # every class; that of the background says so
    classes: tuple[ClassFacts, ...]
    background: str | None
    greys: tuple[Greys, ...]
    machine: Machine

    @property
    def objects(self) -> tuple[ClassFacts, ...]:
        """The classes without the background."""
        return tuple(one for one in self.classes if one.name != self.background)

    @property
    def rarest(self) -> ClassFacts:
        """The object that the fewest pixels show."""
        return min(self.objects, key=lambda one: one.share)

    @property
    def grey_spread(self) -> float:
        """The brightest scan's high grey value over the darkest's."""
        values = [one.high for one in self.greys]
        return max(values) / max(min(values), 1e-6)

    @property
    def outlier_ratio(self) -> float:
        """The largest grey value of a scan over its high percentile, the worst of the sample."""
        return max(one.largest / max(one.high, 1e-6) for one in self.greys)


@dataclass(frozen=True)
class _Read:
    """What one scan adds: pixels (C,) and pieces (C,), all of its pixels, and the rest."""

    counts: np.ndarray
    flat_pieces: np.ndarray
    pieces: np.ndarray
    pixels: int
    greys: Greys
    body: tuple[int, int]
    depth: int


def fingerprint(name: str, data: Source, machine: Machine) -> Fingerprint:
    """Measure data of a row of SOURCES; raises ValueError for data that nothing can be held out of.

    Sizes, empty planes and days are of all of it; pixels, pieces, grey values and bodies of at most
    SAMPLE scans, spread evenly over the list.
    """
    index = data.index
    scans = index.groupby("group", sort=True)["scan"].unique()
    everything = [scan for group in scans for scan in group]
    if len(index) < 2 or (len(scans) < 2 and not data.has_volumes):
        raise ValueError(
            f"found {len(index)} labelled images of {len(scans)} group, and no fold divides one; "
            "give images of at least two groups"
        )
    chosen = np.unique(np.linspace(0, len(everything) - 1, SAMPLE).round().astype(int))
    sample = [everything[number] for number in chosen]
    read = [_read(data, scan) for scan in sample]
    spacings = {mm for scan in sample if (mm := data.voxel_mm(scan))}
    body = tuple(int(median(one.body[axis] for one in read)) for axis in (0, 1))
    return Fingerprint(
        source=name,
        images=len(index),
        scans=len(everything),
        groups=len(scans),
        most_days=max(map(len, scans)),
        volumes=data.has_volumes,
        exclusive=data.mode == "multiclass",
        sizes=_sizes(data, index),
        body=(body[0], body[1]),
        depth=int(median(one.depth for one in read)),
        channels=1 if data.has_volumes else data.inputs.channels,
        spacings=tuple(sorted(spacings)),
        empty_share=float(1 - data.shows_object(index).mean()),
        classes=_classes(data, read),
        background=None if data.background is None else data.classes[data.background],
        greys=tuple(one.greys for one in read),
        machine=machine,
    )


def _sizes(data: Source, index: pd.DataFrame) -> dict[tuple[int, int], int]:
    """Count scans by the size of their planes, the most frequent first."""
    if {"height", "width"} <= set(index.columns):
        rows = index.drop_duplicates("scan")
        pairs = list(zip(rows["height"], rows["width"], strict=True))
    else:
        pairs = [data.scan(name).shape[1:] for name in index["scan"].unique()]
    counts = pd.Series([(int(height), int(width)) for height, width in pairs]).value_counts()
    return {size: int(count) for size, count in counts.items()}


def _read(data: Source, name: str) -> _Read:
    scan = data.scan(name)
    masks = _masks(data, scan)
    depth, height, width = scan.shape
    ignored = data.ignored(scan, np.arange(depth))
    top, bottom, left, right = scan.body
    return _Read(
        counts=masks.slice_counts().sum(axis=1),
        pieces=np.array([_pieces(words) for words in masks.words]),
        flat_pieces=np.array([sum(_pieces(plane[None]) for plane in w) for w in masks.words]),
        pixels=depth * height * width - (0 if ignored is None else int(ignored.sum())),
        greys=_greys(scan),
        body=(bottom - top, right - left),
        depth=depth,
    )


def _masks(data: Source, scan: Any) -> BitRows:
    planes = np.arange(scan.shape[0])
    if data.has_volumes:
        return BitRows.from_class_bits(np.asarray(scan.labels), len(data.classes))
    truth, ignored = data.truth(scan, planes), data.ignored(scan, planes)  # (C, Z, H, W)
    return BitRows.from_arrays(truth if ignored is None else truth & ~ignored)


def _pieces(words: np.ndarray) -> int:
    """Count the connected pieces of bit rows (Z, H, W64), corners included."""
    return len(np.unique(Components.of(np.ascontiguousarray(words)).root))


def _greys(scan: Any) -> Greys:
    if hasattr(scan, "percentile"):
        return Greys(*(scan.percentile(percent) for percent in (LOW, HIGH, 100)))
    low, high, largest = np.percentile(scan.image, (LOW, HIGH, 100))
    return Greys(float(low), float(high), float(largest))


def _classes(data: Source, read: list[_Read]) -> tuple[ClassFacts, ...]:
    pixels, found = sum(one.pixels for one in read), []
    for c, name in enumerate(data.classes):
        shown = [int(one.pieces[c]) for one in read if one.pieces[c]]
        count = sum(int(one.counts[c]) for one in read)
        flat = sum(int(one.flat_pieces[c]) for one in read)
        mean = count / flat if flat else 0.0
        found.append(ClassFacts(name, count / max(pixels, 1), median(shown or [0]), mean))
    return tuple(found)
