"""The latest earlier day of a patient as a network sees it: image and contours, over a scan.

Channels behind those of the stack: grey values in the earlier scan's own scaling, then a mask of
every class. Where there is no earlier day they are 0.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from gutseg.constants import CLASSES
from gutseg.data.cache import Cache, decode_labels
from gutseg.data.index import Issues, list_slices, scan_key
from gutseg.data.mask_csv import read_labels
from gutseg.data.mixing import Planes
from gutseg.data.registration import Move, pixel_mm, register
from gutseg.data.volume import Scan, read_file, read_scan
from gutseg.settings import Section, Share


class PriorDay(Section):
    """Channels of the patient's latest earlier day, moved onto the scan; 0 where there is none."""

    # of the training images that have an earlier day, the share that is shown without it, so that
    # patients who come for the first time are known too
    share_dropped: Share = 0.3


@dataclass(frozen=True)
class Earlier:
    """A scan of an earlier day and how it is laid over a later one."""

    scan: Scan
    # plane z of the later scan is plane z + slices of this one
    slices: int
    # from (column, row) of the later scan to those of this one, (2, 3)
    affine: np.ndarray
    # (H, W) of the later scan
    size: tuple[int, int]

    def planes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return image (B, H, W) uint16 and labels (B, H, W) uint8 at planes z of the later scan.

        0 beyond this scan.
        """
        images = np.zeros((len(z), *self.size), np.uint16)
        labels = np.zeros((len(z), *self.size), np.uint8)
        for number, plane in enumerate((np.asarray(z) + self.slices).tolist()):
            if 0 <= plane < len(self.scan.image):
                images[number] = self._moved(self.scan.image[plane], cv2.INTER_LINEAR)
                labels[number] = self._moved(self.scan.labels[plane], cv2.INTER_NEAREST)
        return images, labels

    def _moved(self, plane: np.ndarray, how: int) -> np.ndarray:
        flags = how | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(np.asarray(plane), self.affine, self.size[::-1], flags=flags)


def laid_over(later: Scan, earlier: Scan, move: Move) -> Earlier:
    """Lay an earlier scan over a later one; move: as `register` returns it."""
    sides = pixel_mm(earlier)
    scales = [a / b for a, b in zip(pixel_mm(later), sides, strict=True)]
    steps = [way / side for way, side in zip((move.down_mm, move.right_mm), sides, strict=True)]
    # middles of the slices lie on each other, but for the move
    down, right = (
        step + (theirs - 1) / 2 - scale * (ours - 1) / 2
        for step, scale, ours, theirs in zip(
            steps, scales, later.shape[1:], earlier.shape[1:], strict=True
        )
    )
    affine = np.array([[scales[1], 0, right], [0, scales[0], down]])
    return Earlier(earlier, move.slices, affine, later.shape[1:])


class Days:
    """Which scan of a cache was made before which; how it moved is kept, pair by pair."""

    def __init__(self, cache: Cache, index: pd.DataFrame) -> None:
        """index: rows of the cache's index; other scans are never an earlier day."""
        self.cache = cache
        scans = index.drop_duplicates("scan").sort_values(["case", "day"])
        previous = scans.groupby("case")["scan"].shift()
        self._before = dict(zip(scans["scan"], previous, strict=True))
        self._moves: dict[str, Move] = {}

    def before(self, name: str) -> str | None:
        """Return the latest scan of the same patient before a scan, None for the first."""
        found = self._before.get(name)
        return found if isinstance(found, str) else None

    def with_prior(self, scan: Scan) -> Scan:
        """Return a scan of the cache with its earlier day; itself where there is none."""
        if (name := self.before(scan.name)) is None:
            return scan
        earlier = self.cache.scan(name)
        if scan.name not in self._moves:
            self._moves[scan.name] = register(scan, earlier)
        return replace(scan, prior=laid_over(scan, earlier, self._moves[scan.name]))


class TrainingDays:
    """Earlier days in a competition's folder, whose contours are known; read when asked for.

    A patient of the hidden test may have been seen, and labelled, on an earlier day.
    """

    def __init__(
        self, root: Path, scans: Iterable[str], issues: Issues, left_out: Collection[str] = ()
    ) -> None:
        """scans: by name, those that are to be predicted; root: holds train/ and train.csv.

        left_out: scans that are nobody's earlier day, as in the training of the networks.
        """
        self.root, self.issues = root, issues
        cases = {scan_key(name)[0] for name in scans}
        slices = list_slices(root / "train", issues)
        slices = slices[slices["case"].isin(cases) & ~slices["scan"].isin(left_out)]
        labels = read_labels(root / "train.csv", issues)
        self.labels = labels[labels["scan"].isin(slices["scan"])]
        self.slices = slices[slices["scan"].isin(labels["scan"])]

    def with_prior(self, scan: Scan) -> Scan:
        """Return a scan with its earlier day.

        Itself where there is none, or where it cannot be read and issues are collected.
        """
        case, day = scan_key(scan.name)
        known = self.slices[(self.slices["case"] == case) & (self.slices["day"] < day)]
        known = known[known["day"] == known["day"].max()]
        if known.empty:
            return scan
        try:
            earlier = self._read(known)
        except (ValueError, OSError) as error:
            if not self.issues.collect:
                raise
            self.issues.add(scan.name, f"is predicted without its earlier day: {error}")
            return scan
        return replace(scan, prior=laid_over(scan, earlier, register(scan, earlier)))

    def _read(self, slices: pd.DataFrame) -> Scan:
        scan, readable = read_scan(slices, lambda file: read_file(self.root / file), self.issues)
        planes = dict(zip(readable["id"], readable["z"], strict=True))
        labels = self.labels[self.labels["scan"] == scan.name]
        return replace(scan, mask=decode_labels(labels, scan.shape, planes, self.issues)[0])


def emptied(
    prior: PriorDay, planes: Planes, before: np.ndarray, masks: int, random: np.random.Generator
) -> Planes:
    """Return a batch whose channels of the earlier day are 0 in a share of the images.

    Also where they were before the augmentation, which makes noise of black. before: those images
    (B, S, H, W). masks: the last channels, before which the earlier image lies.
    """
    first = -masks - 1
    images, labels, ignored = planes
    absent = ~before[:, first:].any(axis=(1, 2, 3))
    absent |= random.random(len(images)) < prior.share_dropped
    images = images.copy()
    images[absent, first:] = 0
    return images, labels, ignored


def mask_planes(labels: np.ndarray) -> np.ndarray:
    """Spread labels (B, H, W) uint8, bit c is class c of CLASSES: (B, C, H, W) float32, 0 or 1."""
    bits = np.arange(len(CLASSES), dtype=np.uint8)[:, None, None]
    return (labels[:, None] >> bits & 1).astype(np.float32)
