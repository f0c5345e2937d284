"""Small competition folders, written by hand so that every pixel is known."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from gutseg.constants import CLASSES
from gutseg.data import rle

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans beside the checkout; tests that need it are skipped elsewhere."""
    if not REAL.is_dir():
        pytest.skip("no ../shared/data beside the checkout: real data is not redistributed")
    return REAL


def png_path(root: Path, part: str, scan: str, number: int, height: int, width: int) -> Path:
    """Where Kaggle keeps a slice; the width comes first in the name."""
    folder = root / part / scan.split("_")[0] / scan / "scans"
    return folder / f"slice_{number:04d}_{width}_{height}_1.50_1.50.png"


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
            rows.append((f"{scan}_slice_{z + 1:04d}", organ, rle.encode(mask[z] >> bit & 1)))
    return rows


def write_csv(path: Path, rows: list[tuple[str, str, str]], column: str = "segmentation") -> None:
    """Write rows of (id, class, runs) under the header of train.csv or of a submission."""
    pd.DataFrame(rows, columns=["id", "class", column]).to_csv(path, index=False)


@pytest.fixture(scope="session")
def write_raw() -> Callable[..., Path]:
    """A function that writes a competition folder: scan names to shapes (Z, H, W)."""

    def write(root: Path, scans: dict[str, tuple[int, int, int]]) -> Path:
        rows = []
        for seed, (scan, shape) in enumerate(scans.items()):
            rows += write_scan(root, scan, *draw(*shape, seed))
        write_csv(root / "train.csv", rows)
        (root / "sample_submission.csv").write_text("id,class,predicted\n")
        return root

    return write


@pytest.fixture
def raw(tmp_path: Path, write_raw: Callable[..., Path]) -> Path:
    """Two patients, three scans, two slice sizes of which one is not square."""
    shapes = {"case2_day1": (9, 40, 48), "case2_day9": (6, 40, 40), "case10_day0": (7, 40, 48)}
    return write_raw(tmp_path / "raw", shapes)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, write_raw: Callable[..., Path]) -> Path:
    """A prepared cache of five patients, read-only for the tests."""
    from gutseg.prepare import prepare

    root = tmp_path_factory.mktemp("competition")
    shapes = {f"case{n}_day{d}": (8, 40, 48) for n, d in ((1, 0), (1, 5), (2, 0), (3, 0), (4, 2))}
    write_raw(root / "raw", shapes | {"case5_day0": (6, 36, 36)})
    prepare(root / "raw", root / "cache", workers=1)
    return root / "cache"


@pytest.fixture(scope="session")
def trained(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """The whole job once: trained folds, predictions and a blend; read-only for the tests."""
    from pipeline import run_all

    return run_all(cache, tmp_path_factory.mktemp("trained"))
