"""Augmentations of other people's recipes, for comparisons with them; rows of AUGMENTATIONS."""

from collections.abc import Callable
from functools import partial
from typing import Any

import albumentations as A
import cv2
import numpy as np

# a plane (H, W) float32 and where random numbers come from -> the plane changed
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class EachChannel(A.ImageOnlyTransform):
    """Change the channels of an image, each with random numbers of its own."""

    def __init__(self, change: Change, p: float, *, share: float = 1.0) -> None:
        """p: of the images that are changed; share: of the channels of those."""
        super().__init__(p=p)
        self.change, self.share = change, share

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, int]:
        """Draw what the channels' random numbers begin with."""
        return {"drawn": int(self.random_generator.integers(2**32))}

    def apply(self, img: np.ndarray, drawn: int, **params: Any) -> np.ndarray:
        """Return the image (H, W, C) changed."""
        random = np.random.default_rng(drawn)
        changed = img.copy()
        for channel in range(img.shape[2]):
            if random.random() < self.share:
                plane = np.ascontiguousarray(img[..., channel])
                changed[..., channel] = self.change(plane, random)
        return changed


class MovedTriangle(A.DualTransform):
    """Affine map that moves three points around the centre, each by itself, mirrored outside.

    What albumentations before 2 called `alpha_affine` of its elastic deformation.
    """

    def __init__(self, reach: float, p: float = 1.0) -> None:
        """reach: a point moves at most so far along each axis, share of the height."""
        super().__init__(p=p)
        self.reach = reach

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, np.ndarray]:
        """Draw the matrix, (2, 3)."""
        height, width = params["shape"][:2]
        centre, side = np.array([width, height]) / 2, min(height, width) // 3
        corners = centre + side * np.array([[1, 1], [1, -1], [-1, -1]])
        moved = corners + self.random_generator.uniform(-1, 1, (3, 2)) * self.reach * height
        start, end = (points.astype(np.float32) for points in (corners, moved))
        return {"matrix": cv2.getAffineTransform(start, end)}

    def apply(self, img: np.ndarray, matrix: np.ndarray, **params: Any) -> np.ndarray:
        """Move an image (H, W, C), linear."""
        return _warped(img, matrix, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: np.ndarray, matrix: np.ndarray, **params: Any) -> np.ndarray:
        """Move a label plane (H, W), nearest neighbour."""
        return _warped(mask, matrix, cv2.INTER_NEAREST)


def _warped(planes: np.ndarray, matrix: np.ndarray, how: int) -> np.ndarray:
    size = planes.shape[1::-1]
    moved = cv2.warpAffine(planes, matrix, size, flags=how, borderMode=cv2.BORDER_REFLECT_101)
    return moved.reshape(planes.shape)  # OpenCV drops a single channel's axis


def awsaf49() -> list:
    """What the notebook "UWMGI: 2.5D [Train] [PyTorch]" does, with the pixels of 320 x 384.

    Its elastic deformation of strength 1, which moves nothing by a pixel, is left out; the affine
    map that comes with it is kept.
    """
    mirrored = cv2.BORDER_REFLECT_101
    return [
        A.HorizontalFlip(p=0.5),
        A.Affine(
            translate_percent=(-0.0625, 0.0625),
            scale=(0.95, 1.05),
            rotate=(-10, 10),
            keep_ratio=True,
            border_mode=mirrored,
            p=0.5,
        ),
        A.OneOf(
            [
                A.GridDistortion(num_steps=5, distort_limit=0.05, border_mode=mirrored, p=1.0),
                MovedTriangle(50 / 320),
            ],
            p=0.25,
        ),
        A.CoarseDropout((5, 8), (0.05, 0.05), (0.05, 0.05), fill=0, fill_mask=0, p=0.5),
    ]


def nnunet(*, unit: float = 0.2) -> list:
    """What nnU-Net 2.8 does to images of its 2-D configuration.

    unit: what one standard deviation of a scan is in [0, 1]; nnU-Net's images are z-scores, of
    which 0 is here the image's mean. Source: nnUNetTrainer.get_training_transforms.
    """
    return [
        A.Affine(rotate=(-180, 180), p=0.2),
        A.Affine(scale=(1 / 1.4, 1 / 0.7), keep_ratio=True, p=0.2),
        EachChannel(partial(_noise, deviation=0.1, unit=unit), 0.1),
        EachChannel(partial(_blur, low=0.5, high=1.0), 0.2, share=0.5),
        EachChannel(partial(_contrast, clip=False), 0.15),
        EachChannel(partial(_contrast, clip=True), 0.15),
        EachChannel(_coarse, 0.25, share=0.5),
        EachChannel(partial(_gamma, inverted=True), 0.1),
        EachChannel(partial(_gamma, inverted=False), 0.3),
        A.HorizontalFlip(p=0.5),
        A.VerticalFlip(p=0.5),
    ]


def auto3dseg(*, unit: float = 0.2) -> list:
    """What the template segresnet2d of MONAI's Auto3DSeg does.

    unit: as of `nnunet`. Source: segmenter_2d.py of Project-MONAI/research-contributions.
    """
    return [
        A.Affine(
            rotate=(-15, 15),
            scale=(0.8, 1.2),
            border_mode=cv2.BORDER_REPLICATE,
            p=0.2,
        ),
        EachChannel(partial(_blur, low=0.5, high=1.0), 0.2),
        A.HorizontalFlip(p=0.5),
        A.VerticalFlip(p=0.5),
        EachChannel(_scale, 0.5),
        EachChannel(partial(_shift, reach=0.1 * unit), 0.5),
        EachChannel(partial(_noise, deviation=0.1, unit=unit), 0.2),
    ]


def _noise(
    plane: np.ndarray, random: np.random.Generator, *, unit: float, deviation: float
) -> np.ndarray:
    """Gaussian noise of at most such a deviation, in units; nnU-Net calls it a variance."""
    spread = random.uniform(0, deviation)
    return plane + np.float32(unit * spread) * random.standard_normal(plane.shape, np.float32)


def _blur(plane: np.ndarray, random: np.random.Generator, *, low: float, high: float) -> np.ndarray:
    return cv2.GaussianBlur(plane, (0, 0), random.uniform(low, high))


def _either_side(random: np.random.Generator, low: float, high: float) -> float:
    """As often below 1 as above, however far the ends are."""
    return random.uniform(low, 1) if random.random() < 0.5 else random.uniform(1, high)


def _contrast(plane: np.ndarray, random: np.random.Generator, *, clip: bool) -> np.ndarray:
    """Stretch or squeeze around the mean; clip: values stay within those of before."""
    mean = plane.mean()
    changed = (plane - mean) * _either_side(random, 0.75, 1.25) + mean
    return changed.clip(plane.min(), plane.max()) if clip else changed


def _coarse(plane: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Take every so many pixels, at most every second, and draw lines between them."""
    height, width = plane.shape
    share = random.uniform(0.5, 1)
    size = max(1, round(width * share)), max(1, round(height * share))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _gamma(plane: np.ndarray, random: np.random.Generator, *, inverted: bool) -> np.ndarray:
    """Bend the grey values between their ends, then restore their mean and deviation."""
    sign = -1 if inverted else 1
    bent = sign * plane
    low, span = bent.min(), max(float(np.ptp(bent)), 1e-7)
    bent = ((bent - low) / span) ** _either_side(random, 0.7, 1.5)
    bent = (bent - bent.mean()) * (plane.std() / max(float(bent.std()), 1e-7))
    return sign * bent + plane.mean()


def _scale(plane: np.ndarray, random: np.random.Generator) -> np.ndarray:
    mean = plane.mean()
    return (plane - mean) * random.uniform(0.7, 1.3) + mean


def _shift(plane: np.ndarray, random: np.random.Generator, *, reach: float) -> np.ndarray:
    return plane + np.float32(random.uniform(-reach, reach))
