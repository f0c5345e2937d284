"""Random crops of training images, a pure function of (seed, fold, step)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gutseg.data.augment import Augmenter
from gutseg.data.sources.labelled import Labelled

# Pixels around a crop that an augmentation may move into it; what comes from farther is black
# and background, as at the edge of a scan.
MARGIN = 16


@dataclass(frozen=True)
class Crops:
    """Batches of crops, the same for every loss and network: the comparison is paired.

    indices: of the training images. patch: (H, W). flips, quarter_turns: of the crops; an oblong
    patch is turned by halves. augmenter: a further augmentation; crops are cut with a margin,
    so that a deformation moves in what stands beside them. Images smaller than the patch are
    mirrored at their edges.
    """

    data: Labelled
    indices: Sequence[int]
    patch: tuple[int, int]
    batch_size: int
    seed: int
    fold: int
    flips: bool = True
    quarter_turns: bool = True
    augmenter: Augmenter | None = None

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return images (B, S, H, W) float32 and labels (B, H, W) uint8 of a step."""
        random = np.random.default_rng([self.seed, self.fold, step])
        pairs = [self._crop(random) for _ in range(self.batch_size)]
        images, labels = zip(*pairs, strict=True)
        images, labels = np.stack(images).transpose(0, 3, 1, 2), np.stack(labels)
        if self.augmenter is None:
            return images, labels
        images, labels = self.augmenter(images, labels, int(random.integers(2**32)))
        inside = (..., *[slice(MARGIN, -MARGIN)] * 2)
        return images[inside], labels[inside]

    def _crop(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        number = self.indices[random.integers(len(self.indices))]
        image, labels = self.data.images[number], self.data.labels[number]
        patch = self.patch
        if self.augmenter is not None:
            patch = tuple(side + 2 * MARGIN for side in patch)
        corner = [
            random.integers(max(length - side, 0) + 1)
            for length, side in zip(labels.shape, patch, strict=True)
        ]
        window = tuple(
            slice(start, start + side) for start, side in zip(corner, patch, strict=True)
        )
        turned = self._turned(random, [_grown(plane[window], patch) for plane in (image, labels)])
        return turned[0], turned[1]

    def _turned(self, random: np.random.Generator, planes: list[np.ndarray]) -> list[np.ndarray]:
        """Turn and mirror; draws the same numbers whatever is switched on."""
        square = self.patch[0] == self.patch[1]
        turns, mirrored = random.integers(4), random.integers(2)
        if self.quarter_turns:
            turns = turns if square else 2 * (turns % 2)
            planes = [np.rot90(plane, turns) for plane in planes]
        if self.flips and mirrored:
            planes = [plane[:, ::-1] for plane in planes]
        return planes


def _grown(plane: np.ndarray, patch: tuple[int, int]) -> np.ndarray:
    """Mirror a plane at its edges up to the patch, the plane in the middle."""
    missing = [side - length for side, length in zip(patch, plane.shape, strict=False)]
    if not any(missing):
        return plane
    margins = [(count // 2, count - count // 2) for count in missing]
    margins += [(0, 0)] * (plane.ndim - 2)
    return np.pad(plane, margins, mode="symmetric")


def as_target(labels: np.ndarray, data: Labelled) -> np.ndarray:
    """Return what a loss compares with: class numbers (B, H, W), or a mask a class."""
    return as_masks(labels, data) if data.mode == "multilabel" else labels


def as_masks(labels: np.ndarray, data: Labelled) -> np.ndarray:
    """Spread labels (B, H, W) over classes: (B, C, H, W) uint8."""
    numbers = np.arange(len(data.classes), dtype=np.uint8)[:, None, None]
    if data.mode == "multilabel":
        return labels[:, None] >> numbers & 1
    return (labels[:, None] == numbers).astype(np.uint8)
