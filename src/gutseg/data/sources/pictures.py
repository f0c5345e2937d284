"""Images that stand alone, held in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gutseg.data.inputs import Inputs
from gutseg.data.sources.source import Source
from gutseg.losses.reductions import Mode
from gutseg.registry import shown


@dataclass(frozen=True)
class Picture:
    """A scan of one plane."""

    name: str
    # images of one group are never on both sides of a fold
    group: str
    # (S, H, W) float32 in [0, 1]
    image: np.ndarray
    # (1, H, W) uint8 as the source's mode says, or soft labels (1, C, H, W) float32 in [0, 1]
    labels: np.ndarray
    # (1, H, W) bool: pixels that count nowhere
    ignore: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, H, W)."""
        return 1, *self.image.shape[1:]

    @property
    def body(self) -> tuple[int, int, int, int]:
        """The whole plane, as (top, bottom, left, right)."""
        return 0, self.shape[1], 0, self.shape[2]


def picture(
    name: str,
    image: np.ndarray,
    labels: np.ndarray,
    *,
    group: str = "",
    ignore: np.ndarray | None = None,
) -> Picture:
    """Make a picture of an image (H, W, S), labels (H, W) and pixels to ignore (H, W)."""
    return Picture(
        name,
        group or name,
        np.ascontiguousarray(image.transpose(2, 0, 1), np.float32),
        labels[None].astype(np.uint8),
        ignore[None] if ignore is not None and ignore.any() else None,
    )


@dataclass(frozen=True)
class WholePictures(Inputs):
    """What a network sees of a picture: its channels, which are in [0, 1] already."""

    # Source.scan gives these inputs pictures alone
    def stacks(self, scan: Picture, z: np.ndarray) -> np.ndarray:  # type: ignore[override]
        """Return a picture as (1, S, H, W)."""
        return scan.image[None]

    def labels(self, scan: Picture, z: np.ndarray) -> np.ndarray:  # type: ignore[override]
        """Return the labels as (1, h, w) uint8; soft ones (1, C, h, w) as float32."""
        planes = scan.labels.reshape(-1, *scan.shape[1:])
        seen = self.window(scan).forward(planes, labels=True)
        return seen.reshape(*scan.labels.shape[:-2], *seen.shape[1:])


class Pictures(Source):
    """Images that stand alone, of any sizes."""

    def __init__(
        self,
        pictures: Sequence[Picture],
        inputs: Inputs,
        classes: Sequence[str],
        mode: Mode,
        *,
        background: int | None = None,
        binary: bool = False,
    ) -> None:
        """inputs: its geometry and channels are used. binary: take all objects for one class."""
        for name in classes:  # each becomes a column of the index
            if name in ("id", "group", "scan", "z", "fold"):
                raise ValueError(f"classes: {shown(name)} has another meaning; rename it")
            if classes.count(name) > 1:
                raise ValueError(f"classes: {shown(name)} is listed twice; rename one of them")
        self.classes, self.mode, self.background = tuple(classes), mode, background
        channels = tuple(range(len(pictures[0].image)))
        if inputs.selected is not None:
            for channel in inputs.selected:
                if channel not in channels:
                    raise ValueError(f"channels: {channel}; the images have 0 to {channels[-1]}")
            channels = inputs.selected
            pictures = [replace(p, image=p.image[list(channels)]) for p in pictures]
        self.inputs = WholePictures(inputs.stack, inputs.scaling, inputs.geometry, channels)
        self.pictures = {one.name: one for one in pictures}
        names, groups = [one.name for one in pictures], [one.group for one in pictures]
        if len(self.pictures) < len(pictures):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two images are called {shown(twice)}; rename one of them")
        self.index = pd.DataFrame({"id": names, "scan": names, "z": 0, "group": groups})
        self.amounts = self.pixels(self.index)[0]
        if binary:
            self.classes, self.background = ("background", "object"), 0
            self.pictures = {
                name: replace(one, labels=(one.labels != background).astype(np.uint8))
                for name, one in self.pictures.items()
            }
        self.index[list(self.classes)] = self.pixels(self.index)[0] > 0

    def scan(self, name: str) -> Picture:
        """Return a picture."""
        return self.pictures[name]

    def ignored(self, scan: Picture, z: np.ndarray) -> np.ndarray | None:
        """Return the pixels (1, H, W) that count nowhere."""
        return scan.ignore

    def fingerprint(self, name: str) -> str:
        """Return a hash of an image, its labels and what is ignored."""
        one = self.pictures[name]
        digest = hashlib.sha256()
        for part in (one.image, one.labels, one.ignore):
            digest.update(b"" if part is None else f"{part.shape}".encode() + part.tobytes())
        return digest.hexdigest()
