"""Small competition folders, drawn and written so that every pixel is known."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from gutseg.constants import CLASSES
from gutseg.data.volume import decode_png, read_file
from gutseg.masks.rle_writing import encode


def png_path(root: Path, part: str, scan: str, number: int, height: int, width: int) -> Path:
    """Where Kaggle keeps a slice; the width comes first in the name."""
    folder = root / part / scan.split("_")[0] / scan / "scans"
    return folder / f"slice_{number:04d}_{width}_{height}_1.50_1.50.png"


def read_png(path: Path, height: int, width: int) -> np.ndarray:
    """Read one slice as `prepare` does: (H, W) uint16."""
    return decode_png(read_file(path), height, width)


def draw(depth: int, height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A body with three bright organs: image (Z, H, W) uint16, mask (Z, H, W) uint8 bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    body = ((y / height - 0.5) / 0.4) ** 2 + ((x / width - 0.5) / 0.45) ** 2 < 1
    image = np.zeros((depth, height, width))
    mask = np.zeros((depth, height, width), np.uint8)
    scale = rng.choice([1, 3, 10])
    for z in range(depth):
        image[z] = 120 * body + rng.normal(0, 6, (height, width)).clip(-6)
        for bit, (top, left) in enumerate(((0.55, 0.3), (0.5, 0.6), (0.3, 0.62))):
            first, last = (depth // 3 * (bit < 2), depth - depth // 4 * (bit == 2))
            if not first <= z < last:
                continue
            drift = (z / depth - 0.5) * 0.1 + rng.uniform(-0.01, 0.01)
            blob = np.hypot(y / height - top - drift, x / width - left) < 0.11
            mask[z] |= blob.astype(np.uint8) << bit
            image[z] += 90 * (bit + 1) * blob
    return (image.clip(0) * scale).astype(np.uint16), mask


def write_scan(
    root: Path, scan: str, image: np.ndarray, mask: np.ndarray, part: str = "train"
) -> list[tuple[str, str, str]]:
    """Write the PNGs of a scan; return its rows of train.csv."""
    rows = []
    for z in range(len(image)):
        path = png_path(root, part, scan, z + 1, *image.shape[1:])
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[z])
        for bit, organ in enumerate(CLASSES):
            rows.append((f"{scan}_slice_{z + 1:04d}", organ, encode(mask[z] >> bit & 1)))
    return rows


def write_csv(path: Path, rows: list[tuple[str, str, str]], column: str = "segmentation") -> None:
    """Write rows of (id, class, runs) under the header of train.csv or of a submission."""
    pd.DataFrame(rows, columns=["id", "class", column]).to_csv(path, index=False)
