"""Augmentation presets, built on albumentations, which only this and peer_augment import."""

from collections.abc import Iterator
from typing import Any

import albumentations as A
import cv2
import numpy as np

from gutseg.data.peer_augment import auto3dseg, awsaf49, nnunet
from gutseg.registry import Spec

# OpenCV's fast remap kernels take 1, 3 or 4 channels; five channels fall back to a slow path.
FAST_CHANNELS = 4


class CoarseElastic(A.DualTransform):
    """Deform image and mask by one smooth random field, faster than with a blurred full one.

    A grid x grid lattice of normal numbers, resized bicubically to the image. The mask goes
    through nearest neighbour, so a plane that holds one bit per class stays valid. Source of the
    idea: [Simard 2003].
    """

    def __init__(self, displacement: float = 0.02, grid: int = 8, p: float = 0.5) -> None:
        """displacement: standard deviation at the lattice points, share of the shorter side."""
        super().__init__(p=p)
        if not 0 < displacement < 0.5:
            raise ValueError(f"displacement = {displacement}; expected a share between 0 and 0.5")
        if grid < 2:
            raise ValueError(f"grid = {grid}; expected at least 2 lattice points per side")
        self.displacement, self.grid = displacement, grid

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, np.ndarray]:
        """Draw the field: absolute source coordinates, (H, W) float32 each."""
        height, width = params["shape"][:2]
        lattice = self.random_generator.standard_normal((self.grid, self.grid, 2), np.float32)
        lattice *= self.displacement * min(height, width)
        field = cv2.resize(lattice, (width, height), interpolation=cv2.INTER_CUBIC)
        map_x, map_y = cv2.split(field)
        map_x += np.arange(width, dtype=np.float32)
        map_y += np.arange(height, dtype=np.float32)[:, None]
        return {"map_x": map_x, "map_y": map_y}

    def apply(
        self, img: np.ndarray, map_x: np.ndarray, map_y: np.ndarray, **params: Any
    ) -> np.ndarray:
        """Warp an image (H, W) or (H, W, C), linear, zeros from outside."""
        if img.ndim == 2:
            return cv2.remap(img, map_x, map_y, cv2.INTER_LINEAR)
        channels = img.shape[2]
        sizes = [min(FAST_CHANNELS, channels - at) for at in range(0, channels, FAST_CHANNELS)]
        groups = [np.empty((*img.shape[:2], size), img.dtype) for size in sizes]
        same = [number for channel in range(channels) for number in (channel, channel)]
        # OpenCV moves single channels five times faster than numpy's strided copies
        cv2.mixChannels([np.ascontiguousarray(img)], groups, same)
        moved = [cv2.remap(group, map_x, map_y, cv2.INTER_LINEAR) for group in groups]
        warped = np.empty_like(img, order="C")
        cv2.mixChannels(moved, [warped], same)
        return warped

    def apply_to_mask(
        self, mask: np.ndarray, map_x: np.ndarray, map_y: np.ndarray, **params: Any
    ) -> np.ndarray:
        """Warp a label plane (H, W), nearest neighbour, background from outside."""
        return cv2.remap(mask, map_x, map_y, cv2.INTER_NEAREST)


class StainStrength(A.ImageOnlyTransform):
    """Raise every channel of an image in [0, 1] to a power of its own.

    Light that a stain lets through falls exponentially with its amount (Beer-Lambert), so a power
    scales the optical density -log I of a channel; white stays white. Source of the idea, in the
    channels of the dyes instead: [Tellez 2019].
    """

    def __init__(self, strength: float = 0.4, p: float = 0.5) -> None:
        """strength: the powers are from 1 / (1 + strength) to 1 + strength, even in their log."""
        super().__init__(p=p)
        if strength < 0:
            raise ValueError(f"strength = {strength}; expected 0 (no change) or more")
        self.strength = strength

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, np.ndarray]:
        """Draw one power per channel, (C,) float32; a plane (H, W) has one."""
        channels = params["shape"][2] if len(params["shape"]) > 2 else 1
        largest = np.log1p(self.strength)
        drawn = self.random_generator.uniform(-largest, largest, channels)
        return {"powers": np.exp(drawn).astype(np.float32)}

    def apply(self, img: np.ndarray, powers: np.ndarray, **params: Any) -> np.ndarray:
        """Return the image (H, W) or (H, W, C) with its densities scaled."""
        # earlier transforms may leave values a little below 0, of which no power is defined
        return img.clip(0, 1) ** powers


def none() -> list:
    """Leave the images as they are."""
    return []


def elastic_blur_noise(*, displacement: float = 0.03, noise: float = 0.05) -> list:
    """Elastic deformation (a share of the side) and Gaussian blur or noise up to that deviation."""
    return [
        CoarseElastic(displacement, p=0.5),
        A.OneOf([A.GaussianBlur(sigma_limit=(0.3, 1.2)), _noise(noise)], p=0.5),
    ]


def flips(*, vertical: bool = False) -> list:
    """Mirror left-right, on request also up-down, and nothing else."""
    return [A.HorizontalFlip(p=0.5), *([A.VerticalFlip(p=0.5)] if vertical else [])]


def mild(*, shift: float = 0.06, angle: float = 8.0, noise: float = 0.03) -> list:
    """Small shifts, scales, rotations, brightness and noise; the stomach keeps its side."""
    return [
        _shift_scale_rotate(shift, 0.1, angle, p=0.7),
        A.RandomBrightnessContrast(0.1, 0.15, p=0.5),
        _noise(noise, p=0.3),
    ]


def mild_elastic(
    *, shift: float = 0.06, angle: float = 8.0, noise: float = 0.03, displacement: float = 0.03
) -> list:
    """Elastic deformation (a share of the side) of every other image, and `mild` of all."""
    return [CoarseElastic(displacement, p=0.5), *mild(shift=shift, angle=angle, noise=noise)]


def stain(*, strength: float = 0.4, zoom: float = 0.2, angle: float = 20.0) -> list:
    """Stains of other strengths, channel by channel, and small shifts, scales and rotations."""
    return [
        _shift_scale_rotate(0.03, zoom, angle, p=0.7),
        StainStrength(strength, p=0.8),
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
    "mild_elastic": Spec(mild_elastic, "mild and [Simard 2003]: docs/bench/recipe.md"),
    "stain": Spec(stain, "tissue under a microscope; after [Tellez 2019]"),
    "winner1": Spec(winner1, "[Carno 2022], 1st place"),
    "awsaf49": Spec(awsaf49, "[awsaf49 2022], a public notebook"),
    "nnunet": Spec(nnunet, "[Isensee 2021], release 2.8"),
    "auto3dseg": Spec(auto3dseg, "[Cardoso 2022], the template segresnet2d of Auto3DSeg"),
}


class Augmenter:
    """A preset, seeded for every batch so that the number of workers changes nothing."""

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
        """Augment images (B, S, H, W), clipped to [0, 1] again, and labels (B, H, W[, maps])."""
        if not self.changes:
            return images, labels
        _reseed(self.compose, iter(np.random.SeedSequence(seed).generate_state(256)))
        out_images, out_labels = np.empty_like(images), np.empty_like(labels)
        for number, (stack, plane) in enumerate(zip(images, labels, strict=True)):
            channels_last = np.ascontiguousarray(stack.transpose(1, 2, 0))
            result = self.compose(image=channels_last, mask=plane)
            if result["mask"].shape != plane.shape:
                height, width = plane.shape[:2]
                raise ValueError(
                    f"a quarter turn makes {width}x{height} of a {height}x{width} input; "
                    "quarter_turns needs a square geometry.size"
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
