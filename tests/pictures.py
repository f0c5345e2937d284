"""Small folders of images that stand alone, with round objects on a grey ground."""

from pathlib import Path

import cv2
import numpy as np

# What is small about every training of them.
SMALL = """
geometry: {kind: native}
crop: {size: [32, 32]}
model: {name: unet, params: {widths: [8, 16], norm: batch}}
optim: {lr: 1e-2}
train: {steps: 30, batch_size: 4, monitor: pooled.iou, tensorboard: false}
"""


def draw(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) uint8 and its class numbers (H, W): discs of two kinds."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.uint8)
    for number in range(6):
        top, left = random.uniform(0, height), random.uniform(0, width)
        labels[np.hypot(y - top, x - left) < random.uniform(4, 8)] = 1 + number % 2
    image = np.stack([60 + 80 * (labels == number) for number in range(3)], axis=-1)
    return (image + random.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8), labels


def write_nuclei(folder: Path, count: int = 6) -> Path:
    """Write RGB images of two sizes and label maps; a corner of every map is unknown, 255."""
    for number in range(count):
        image, labels = draw(number, 40 + 8 * (number % 2), 56)
        labels[:8, :8] = 255
        _write(folder / "images" / f"{number}.png", image)
        _write(folder / "labels" / f"{number}.png", labels)
    return folder


def write_isbi(folder: Path, count: int = 6) -> Path:
    """Write grey sections whose discs are the membrane."""
    for number in range(count):
        image, labels = draw(number, 48, 48)
        _write(folder / "train" / "image" / f"{number}.png", image[..., 0])
        _write(folder / "train" / "label" / f"{number}.png", (labels == 0) * np.uint8(255))
    return folder


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
