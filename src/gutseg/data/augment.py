"""Augmentation presets, built on albumentations; the only module that imports it."""

from collections.abc import Iterator
from typing import Any

import albumentations as A
import numpy as np

from gutseg.data.elastic import CoarseElastic
from gutseg.registry import Spec


def none() -> list:
    """Leave the images as they are."""
    return []


def elastic_blur_noise(*, displacement: float = 0.03, noise: float = 0.05) -> list:
    """Elastic deformation and Gaussian blur or noise. Source: [Xu 2022] section V.D.

    displacement: share of the side; noise: largest standard deviation, images are in [0, 1].
    """
    return [
        CoarseElastic(displacement, p=0.5),
        A.OneOf([A.GaussianBlur(sigma_limit=(0.3, 1.2)), _noise(noise)], p=0.5),
    ]


def flips(*, vertical: bool = False) -> list:
    """Mirror left-right, on request also up-down, and nothing else."""
    return [A.HorizontalFlip(p=0.5), *([A.VerticalFlip(p=0.5)] if vertical else [])]


def mild(*, shift: float = 0.06, angle: float = 8.0, noise: float = 0.03) -> list:
    """Small shifts, scales, rotations, brightness and noise; anatomy keeps its side.

    The body is not symmetric, so the stomach is never mirrored to the right here.
    """
    return [
        _shift_scale_rotate(shift, 0.1, angle, p=0.7),
        A.RandomBrightnessContrast(0.1, 0.15, p=0.5),
        _noise(noise, p=0.3),
    ]


def winner1(*, quarter_turns: bool = False) -> list:
    """What the 1st place trained its U-Nets with; quarter_turns as for its ConvNeXt models."""
    turns = [A.VerticalFlip(p=0.5), A.RandomRotate90(p=0.5)] if quarter_turns else []
    distortions = [
        CoarseElastic(0.02, p=1.0),
        A.GridDistortion(num_steps=5, distort_limit=0.05, p=1.0),
        A.OpticalDistortion(distort_limit=0.1, p=1.0),
    ]
    return [
        A.HorizontalFlip(p=0.5),
        *turns,
        A.RandomBrightnessContrast(p=0.5),
        A.OneOf(distortions, p=0.3),
        _shift_scale_rotate(0.1, 0.2, 10, p=0.5),
    ]


def _noise(largest: float, p: float = 0.5) -> A.GaussNoise:
    return A.GaussNoise(std_range=(largest / 5, largest), per_channel=True, p=p)


def _shift_scale_rotate(shift: float, zoom: float, angle: float, p: float) -> A.Affine:
    return A.Affine(
        translate_percent=(-shift, shift),
        scale=(1 - zoom, 1 + zoom),
        rotate=(-angle, angle),
        keep_ratio=True,
        balanced_scale=True,
        p=p,
    )


AUGMENTATIONS = {
    "none": Spec(none, "no augmentation"),
    "flips": Spec(flips, "[Hesene 2022]; a single flip is ±0 private in [abhivij 2025]"),
    "elastic_blur_noise": Spec(elastic_blur_noise, "[Xu 2022] section V.D; [Simard 2003]"),
    "mild": Spec(mild, "[Hengyi-Luo]: safe augmentation beats strong, .786 to .765 volume Dice"),
    "winner1": Spec(winner1, "[Carno 2022], 1st place"),
}


class Augmenter:
    """A preset, seeded anew for every batch so that the number of workers changes nothing."""

    def __init__(self, name: str = "none", **params: Any) -> None:
        """name, params: a row of AUGMENTATIONS and its keyword arguments."""
        self.compose = A.Compose(AUGMENTATIONS[name].build(**params))

    @property
    def changes(self) -> bool:
        """Whether images are changed at all."""
        return bool(self.compose.transforms)

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment a batch: images (B, S, H, W) float32 in [0, 1], labels (B, H, W) uint8.

        Labels may have a last axis of several maps. The shapes stay; values are clipped to
        [0, 1] again.
        """
        if not self.changes:
            return images, labels
        _reseed(self.compose, iter(np.random.SeedSequence(seed).generate_state(256)))
        out_images, out_labels = np.empty_like(images), np.empty_like(labels)
        for number, (stack, plane) in enumerate(zip(images, labels, strict=True)):
            channels_last = np.ascontiguousarray(stack.transpose(1, 2, 0))
            result = self.compose(image=channels_last, mask=plane)
            if result["mask"].shape != plane.shape:
                raise ValueError(
                    f"a quarter turn makes {plane.shape[1]}x{plane.shape[0]} of a "
                    f"{plane.shape[0]}x{plane.shape[1]} input; quarter_turns needs a square "
                    "geometry.size"
                )
            out_images[number] = result["image"].transpose(2, 0, 1).clip(0, 1)
            out_labels[number] = result["mask"]
        return out_images, out_labels


def _reseed(node: Any, seeds: Iterator[np.uint32]) -> None:
    # Compose.set_random_seed hands ONE seed to all its transforms: a horizontal and a vertical
    # flip of p = 0.5 would then always come together. Every node gets a seed of its own here.
    node.set_random_seed(int(next(seeds)))
    for child in getattr(node, "transforms", ()):
        _reseed(child, seeds)
