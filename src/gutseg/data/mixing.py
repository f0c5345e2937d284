"""Training images made of two of a batch, and their labels with them."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from gutseg.settings import Positive, Section, Share

# images (B, S, h, w), labels (B, h, w) or soft ones (B, C, h, w), ignored pixels (B, h, w) or None
Planes = tuple[np.ndarray, np.ndarray, np.ndarray | None]


class Mix(Section):
    """Images made of two of a batch; their maps are drawn from the labels that come out."""

    # cutmix: a box of the other image takes the place of one's own [Yun 2019]; mixup: both are
    # averaged, and their labels, which become soft [Zhang 2018]
    kind: Literal["cutmix", "mixup"] = "cutmix"
    # of the batches that are mixed
    share: Share = 0.5
    # the share of the first image is drawn from Beta(alpha, alpha): 1 any share alike, less one
    # that is nearer 0 or 1
    alpha: Positive = 1.0


def mixed(
    mix: Mix,
    planes: Planes,
    masks: Callable[[np.ndarray], np.ndarray],
    random: np.random.Generator,
) -> Planes:
    """Return a batch mixed with itself in another order, or as it is.

    masks: labels (B, h, w) -> (B, C, h, w) float32, `Source.masks`.
    """
    if random.random() >= mix.share:
        return planes
    order, own = random.permutation(len(planes[0])), random.beta(mix.alpha, mix.alpha)
    images, labels, ignored = planes
    if mix.kind == "cutmix":
        box = _box(images.shape[2:], 1 - own, random)
        pasted = None if ignored is None else _pasted(ignored, order, box)
        return _pasted(images, order, box), _pasted(labels, order, box), pasted
    soft = masks(labels)
    images, soft = (
        (own * part + (1 - own) * part[order]).astype(np.float32) for part in (images, soft)
    )
    return images, soft, None if ignored is None else ignored | ignored[order]


def _box(size: tuple[int, ...], area: float, random: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a box with such a share of the image's area, somewhere within it."""
    sides = []
    for length in size:
        side = round(length * np.sqrt(area))
        start = int(random.integers(length - side + 1))
        sides.append(slice(start, start + side))
    return sides[0], sides[1]


def _pasted(part: np.ndarray, order: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    found = part.copy()
    found[(..., *box)] = part[order][(..., *box)]
    return found
