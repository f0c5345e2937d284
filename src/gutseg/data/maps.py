"""Per-pixel maps that weight losses, drawn from the labels after they were augmented.

masks: (C, H, W), inside from one half on (soft labels are rounded). Maps are float32, or float16
where they stay within [0, 1]; bool where they say yes or no, int32 where they number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import DTypeLike
from scipy import ndimage

from gutseg.data.thinning import thinned
from gutseg.registry import Spec
from gutseg.settings import Count, Natural, NotNegative, Positive


def distance(masks: np.ndarray) -> np.ndarray:
    """1 at the edge of a class, falling to 0 at its deepest point and at the farthest outside.

    Each side is max(EDT) - EDT over max(EDT); a class that is nowhere or everywhere gives 0.
    """
    return _each(masks, lambda mask: np.where(mask, _nearness(mask), _nearness(~mask)), np.float16)


def _nearness(mask: np.ndarray) -> np.ndarray:
    depth = _depth(mask)
    deepest = depth.max()
    return (deepest - depth) / deepest


def signed(masks: np.ndarray) -> np.ndarray:
    """Distance to a class in pixels outside, minus the distance to its edge pixels inside."""
    return _each(masks, lambda mask: np.where(mask, 1 - _depth(mask), _depth(~mask)))


def band(masks: np.ndarray, *, width: Count = 3) -> np.ndarray:
    """True within `width` pixels of a class's outline, on both sides of it."""
    if width < 1:
        raise ValueError(f"band: width = {width}; expected at least 1 pixel")
    return _each(masks, lambda mask: np.where(mask, _depth(mask), _depth(~mask)) <= width, bool)


def lesion(masks: np.ndarray) -> np.ndarray:
    """1 / pixels of the 8-connected component a pixel belongs to, 0 outside the class."""

    def one_over_size(mask: np.ndarray) -> np.ndarray:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        return np.where(mask, 1 / stats[:, cv2.CC_STAT_AREA][labels], 0)

    return _each(masks, one_over_size)


def border(
    masks: np.ndarray, *, w0: NotNegative = 10.0, sigma: Positive = 5.0, balance: bool = True
) -> np.ndarray:
    """The U-Net's weight map: 1 + w0 exp(-(d1 + d2)² / 2σ²) between the two nearest cells.

    Cells are the 4-connected components of the last class; d1, d2 are distances in pixels, and
    with fewer than two cells the second term is 0. balance: weight cells and the rest so that
    both count alike, with mean 1. Returns (1, H, W). Source: [Ronneberger 2015] equation 2.
    """
    cells = _inside(masks)[-1]
    count, labels = cv2.connectedComponents(cells.astype(np.uint8), connectivity=4)
    weight = np.ones(cells.shape, np.float32)
    if balance and 0 < cells.mean() < 1:
        weight = np.where(cells, 0.5 / cells.mean(), 0.5 / (1 - cells.mean()))
    if count > 2:
        near = _two_nearest(labels, count, reach=math.ceil(5 * sigma))
        weight = weight + np.where(cells, 0, w0 * np.exp(-(near**2) / (2 * sigma**2)))
    return weight[None].astype(np.float32)  # few cells weigh up to half the plane's pixels


def _two_nearest(labels: np.ndarray, count: int, reach: int) -> np.ndarray:
    """Sum of the distances to the nearest and to the second nearest component.

    Exact up to `reach` pixels, where exp(-d² / 2σ²) is below 1e-5; farther it is too large.
    """
    distance_1, (y, x) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    owner = labels[y, x]
    distance_2 = np.full(labels.shape, np.inf)
    for number in range(1, count):
        # the nearest other cell matters only where this one is the nearest
        territory = owner == number
        rows, columns = (
            slice(max(places.min() - reach, 0), places.max() + 1 + reach)
            for places in np.nonzero(territory)
        )
        others = (labels[rows, columns] > 0) & (labels[rows, columns] != number)
        if others.any():
            found = ndimage.distance_transform_edt(~others)
            inside = territory[rows, columns]
            distance_2[rows, columns][inside] = found[inside]
    return distance_1 + distance_2


def pieces(masks: np.ndarray) -> np.ndarray:
    """Number, from 1, of the 8-connected component that a pixel is nearest to; 0 without any."""
    found = np.zeros(masks.shape, np.int32)
    for target, mask in zip(found, _inside(masks), strict=True):
        if mask.any():
            _, labels = cv2.connectedComponents(mask.astype(np.uint8))
            y, x = ndimage.distance_transform_edt(
                ~mask, return_distances=False, return_indices=True
            )
            target[:] = labels[y, x]
    return found


def skeleton(masks: np.ndarray, *, width: Natural = 2) -> np.ndarray:
    """True on a class's skeleton and within `width` pixels of it, in city blocks, in the class."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

    def draw(mask: np.ndarray) -> np.ndarray:
        thin = thinned(mask).astype(np.uint8)
        return mask & (cv2.dilate(thin, cross, iterations=width) > 0 if width else thin > 0)

    return _each(masks, draw, bool)


MAPS = {
    "distance": Spec(distance, "[Caliva 2019]; [Chen 2023] equation 10"),
    "signed": Spec(signed, "[Kervadec 2019]"),
    "band": Spec(band, "[Kim 2021]; [Chen 2023] equation 11"),
    "lesion": Spec(lesion, "[Zhu 2022]; [Chen 2023] equation 9"),
    "border": Spec(border, "[Ronneberger 2015] equation 2; [Wang T 2022]"),
    "pieces": Spec(pieces, "[Jaus 2025]: Voronoi regions of the components"),
    "skeleton": Spec(skeleton, "[Kirchhoff 2024]: the tubed skeleton"),
}


class Maps:
    """The maps that a loss needs, with their settings."""

    def __init__(
        self, names: Sequence[str] = (), params: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """names: rows of MAPS. params: keyword arguments by name, for those that have any."""
        settings = params or {}
        self.draw = {name: partial(MAPS[name].build, **settings.get(name, {})) for name in names}

    def __call__(self, masks: np.ndarray) -> dict[str, np.ndarray]:
        """Draw the maps of a batch: masks (B, C, H, W) -> name: (B, C or 1, H, W)."""
        if self.draw and not len(masks):
            raise ValueError(f"maps: masks {masks.shape} hold no image")
        return {
            name: np.stack([draw(image) for image in masks]) for name, draw in self.draw.items()
        }

    def tensors(self, masks: np.ndarray) -> dict[str, torch.Tensor]:
        """Draw the maps as tensors, as a loss takes them."""
        return {name: torch.from_numpy(plane) for name, plane in self(masks).items()}


def _each(
    masks: np.ndarray, draw: Callable[[np.ndarray], np.ndarray], dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Draw every class (C, H, W) that is neither nowhere nor everywhere; 0 for the others."""
    inside = _inside(masks)
    found = np.zeros(inside.shape, dtype)
    for target, mask in zip(found, inside, strict=True):
        if mask.any() and not mask.all():
            target[:] = draw(mask)
    return found


def _inside(masks: np.ndarray) -> np.ndarray:
    """Return where masks are inside; raises ValueError for planes that hold no pixels."""
    if masks.ndim != 3 or 0 in masks.shape:  # OpenCV ends the process over a plane of height 0
        raise ValueError(f"maps: masks {masks.shape}; expected (C, H, W) with pixels in it")
    return masks >= 0.5


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance in pixels to the nearest pixel outside the mask, 0 outside."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's roots of whole numbers differ in the last digit with where the plane lies in memory
    return np.sqrt(np.rint(np.square(depth)))
