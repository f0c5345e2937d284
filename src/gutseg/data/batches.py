"""Training batches of any source: whole images through the window, or random crops.

A batch is a dict: `images` (B, S, h, w) float32 in [0, 1], `target` (B, h, w) int64 or (B, C, h, w)
float32 in [0, 1], `maps`, `ids`, and `ignore` (B, h, w) bool where some pixel counts nowhere.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from gutseg.data.augment import Augmenter
from gutseg.data.inputs import Crop
from gutseg.data.maps import Maps
from gutseg.data.mixing import Mix, Planes, mixed
from gutseg.data.prior_day import PriorDay, emptied
from gutseg.data.sampler import Batch, Step
from gutseg.data.sources.source import Source

# Pixels around a crop that an augmentation may move into it; what comes from farther is black
# and background, as at the edge of a scan.
MARGIN = 16


@dataclass(frozen=True)
class Whole(Dataset):
    """Whole images by position in `rows`, rows of the source's index; an item is a batch."""

    source: Source
    rows: pd.DataFrame
    augment: Augmenter
    maps: Maps = field(default_factory=Maps)
    mix: Mix | None = None
    prior: PriorDay | None = None

    def __getitem__(self, batch: Batch) -> dict:
        """Return a batch; raises ValueError where images differ in size."""
        rows = self.rows.iloc[batch.positions]
        source = self.source.of_size(batch.size) if batch.size else self.source
        parts = [
            source.planes(name, np.array([z]))
            for name, z in zip(rows["scan"], rows["z"], strict=True)
        ]
        for (images, *_), name in zip(parts, rows["id"], strict=True):
            if images.shape[2:] != (first := parts[0][0].shape[2:]):
                raise ValueError(
                    "the images of a batch differ in size: {} x {} and, of {}, {} x {}; give "
                    "crop.size or a geometry that resizes".format(*first, name, *images.shape[2:])
                )
        masks = self.source.inputs.mask_channels
        planes = augmented(self.augment, joined := _joined(parts), batch.seed, masks)
        if self.prior:
            random = np.random.default_rng([batch.seed, 2])
            planes = emptied(self.prior, planes, joined[0], masks, random)
        if self.mix:
            random = np.random.default_rng([batch.seed, 1])  # not what the augmentation drew from
            planes = mixed(self.mix, planes, self.source.masks, random)
        return _as_batch(self.source, planes, self.maps, rows["id"].tolist())


@dataclass(frozen=True)
class Crops(Dataset):
    """Random crops; the batch of a step is a pure function of (seed, fold, step).

    A Step says which images are cropped, where they are not all drawn alike. Images smaller than a
    crop are mirrored at their edges. With an augmentation crops get a margin, so that a deformation
    moves in what lies next to them.
    """

    source: Source
    rows: pd.DataFrame
    crop: Crop
    batch_size: int
    seed: int
    fold: int
    augment: Augmenter = field(default_factory=Augmenter)
    maps: Maps = field(default_factory=Maps)
    mix: Mix | None = None
    prior: PriorDay | None = None

    def __getitem__(self, step: int | Step) -> dict:
        number, drawn, asked = step if isinstance(step, Step) else Step(step)
        random = np.random.default_rng([self.seed, self.fold, number])
        margin = MARGIN * self.augment.changes
        height, width = (side + 2 * margin for side in asked or self.crop.size)
        positions = [None] * self.batch_size if drawn is None else drawn.tolist()
        crops = [self._crop(random, (height, width), position) for position in positions]
        planes = before = _joined([crop for _, crop in crops])
        masks = self.source.inputs.mask_channels
        if margin:
            planes = augmented(self.augment, planes, int(random.integers(2**32)), masks)
            inside = slice(margin, -margin)
            planes = _each(planes, lambda part: part[..., inside, inside])
        if self.prior:
            planes = emptied(self.prior, planes, before[0], masks, random)
        if self.mix:
            planes = mixed(self.mix, planes, self.source.masks, random)
        return _as_batch(self.source, planes, self.maps, [name for name, _ in crops])

    def _crop(
        self, random: np.random.Generator, size: tuple[int, int], position: int | None
    ) -> tuple[str, Planes]:
        position = int(random.integers(len(self.rows))) if position is None else position
        around = self.crop.foreground > 0 and random.random() < self.crop.foreground
        if around and position not in self.shown:
            position = int(random.choice(self.shown)) if len(self.shown) else position
        row = self.rows.iloc[position]
        planes = self.source.planes(row["scan"], np.array([row["z"]]))
        pixel = self._pixel(random, planes) if around else None
        box = []
        for axis, (length, side) in enumerate(zip(planes[0].shape[2:], size, strict=True)):
            first, last = 0, max(length - side, 0)
            if pixel is not None:  # nor may the pixel lie in the margin that is cut off again
                margin = MARGIN * self.augment.changes
                first = min(max(pixel[axis] - side + margin + 1, first), last)
                last = max(min(pixel[axis] - margin, last), first)
            start = random.integers(first, last + 1)
            box.append(slice(start, start + side))
        rows, columns = box
        # the same numbers are drawn whatever is switched on
        turns, mirrored = int(random.integers(4)), int(random.integers(2))
        if size[0] != size[1]:
            turns = 2 * (turns % 2)

        def cut(part: np.ndarray) -> np.ndarray:
            part = _grown(part[..., rows, columns], size)
            part = np.rot90(part, turns, axes=(-2, -1)) if self.crop.quarter_turns else part
            return part[..., ::-1] if self.crop.flips and mirrored else part

        return row["id"], _each(planes, cut)

    @cached_property
    def shown(self) -> np.ndarray:
        """The positions of the images that show an object."""
        return np.flatnonzero(self.source.shows_object(self.rows))

    def _pixel(self, random: np.random.Generator, planes: Planes) -> tuple[int, int] | None:
        """Draw an object of one image, and a pixel of it; None where the window shows none."""
        _, labels, ignored = planes
        masks = self.source.masks(labels)[0] >= 0.5  # (C, h, w)
        if ignored is not None:
            masks &= ~ignored[0]
        if self.source.background is not None:
            masks[self.source.background] = False
        objects = np.flatnonzero(masks.any(axis=(1, 2)))
        if not len(objects):
            return None
        pixels = np.argwhere(masks[random.choice(objects)])
        row, column = pixels[random.integers(len(pixels))].tolist()
        return row, column


def _each(planes: Planes, change: Callable[[np.ndarray], np.ndarray]) -> Planes:
    images, labels, ignored = planes
    return change(images), change(labels), None if ignored is None else change(ignored)


def _grown(part: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mirror (..., h, w) at its edges up to a size, itself in the middle."""
    missing = [side - length for side, length in zip(size, part.shape[-2:], strict=True)]
    if not any(missing):
        return part
    margins = [(count // 2, count - count // 2) for count in missing]
    return np.pad(part, [(0, 0)] * (part.ndim - 2) + margins, mode="symmetric")


def _joined(parts: Sequence[Planes]) -> Planes:
    images, labels, ignored = zip(*parts, strict=True)
    if any(part is not None for part in ignored):
        filled = [
            np.zeros((1, *image.shape[2:]), bool) if part is None else part
            for image, part in zip(images, ignored, strict=True)
        ]
        return np.concatenate(images), np.concatenate(labels), np.concatenate(filled)
    return np.concatenate(images), np.concatenate(labels), None


def augmented(augment: Augmenter, planes: Planes, seed: int, masks: int = 0) -> Planes:
    """Augment images, and labels and ignored pixels with them.

    masks: so many of the images' last channels hold masks, which move as labels do and have no
    brightness and no noise.
    """
    images, labels, ignored = planes
    if ignored is None and labels.ndim == 3 and not masks:
        return *augment(images, labels, seed), None
    # as one map of several numbers, so that all move alike: (B, 1 or C, masks, and 1, h, w)
    parts = [labels[:, None] if labels.ndim == 3 else labels]
    if masks:
        images, riding = images[:, :-masks], images[:, -masks:]
        parts.append(riding.astype(labels.dtype))
    if ignored is not None:
        parts.append(ignored[:, None].astype(labels.dtype))
    maps = np.concatenate(parts, axis=1)
    images, maps = augment(images, np.ascontiguousarray(np.moveaxis(maps, 1, -1)), seed)
    maps = np.moveaxis(maps, -1, 1)
    if ignored is not None:
        maps, ignored = maps[:, :-1], maps[:, -1] > 0.5
    if masks:
        maps, riding = maps[:, :-masks], maps[:, -masks:]
        images = np.concatenate([images, riding.astype(images.dtype)], axis=1)
    return images, maps[:, 0] if labels.ndim == 3 else maps, ignored


def _as_batch(source: Source, planes: Planes, maps: Maps, ids: list[str]) -> dict:
    images, labels, ignored = planes
    return {
        "images": torch.from_numpy(np.ascontiguousarray(images)),  # (B, S, h, w)
        **as_target(source, labels, ignored, maps),
        "ids": ids,
    }


def as_target(source: Source, labels: np.ndarray, ignored: np.ndarray | None, maps: Maps) -> dict:
    """Return what a criterion takes besides logits: target, maps and, if any pixel is, ignore."""
    masks = source.masks(labels)  # (B, C, h, w)
    target = np.ascontiguousarray(source.target(labels))
    found = {"target": torch.from_numpy(target), "maps": maps.tensors(masks)}
    if ignored is not None and ignored.any():
        found["ignore"] = torch.from_numpy(np.ascontiguousarray(ignored))  # (B, h, w)
    return found


def loader(batches: Dataset, sampler: Iterable, workers: int, pin: bool) -> DataLoader:
    """Wrap batches for training; pin: page-locked memory for copies to a GPU."""
    if workers:
        # the default passes one open file per tensor: "received 0 items of ancdata"
        torch.multiprocessing.set_sharing_strategy("file_system")
    return DataLoader(
        batches,
        sampler=sampler,
        batch_size=None,  # whole batches come from the dataset
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
        # workers draw from it when they start; from the usual one, dropout would see that
        generator=torch.Generator(),
    )
