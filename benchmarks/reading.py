"""Five-slice training samples from the cache beside reading five PNGs each.

python -m benchmarks.reading [--quick] [--out FILE]
"""

import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import in_turn, machine, main, table
from gutseg.constants import NATIVE_SIZES
from gutseg.data.inputs import Stack, gather, neighbours

BATCH = 32


def write_scan(folder: Path, depth: int, size: tuple[int, int]) -> tuple[list[Path], Path]:
    """Write smooth 16-bit slices of (width, height) with noise; return PNGs and a .npy."""
    rng = np.random.default_rng(0)
    width, height = size
    coarse = rng.gamma(2, 300, (depth, height // 8, width // 8)).astype(np.float32)
    volume = np.empty((depth, height, width), np.uint16)
    for plane, source in zip(volume, coarse, strict=True):
        smooth = cv2.resize(source, (width, height))
        plane[:] = (smooth + rng.normal(60, 20, (height, width))).clip(0)
    paths = [folder / f"slice_{z:04d}.png" for z in range(depth)]
    for path, plane in zip(paths, volume, strict=True):
        cv2.imwrite(str(path), plane)
    np.save(folder / "image.npy", volume)
    return paths, folder / "image.npy"


def from_pngs(paths: list[Path], z: np.ndarray) -> np.ndarray:
    """The loader of most notebooks: five files a sample."""
    planes = neighbours(z, len(paths), Stack())
    return np.stack(
        [[cv2.imread(str(paths[p]), cv2.IMREAD_UNCHANGED) for p in stack] for stack in planes]
    )


def from_cache(volume: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Ours: a whole batch out of the memory map."""
    return gather(volume, neighbours(z, len(volume), Stack()))


def run(quick: bool) -> str:
    """Measure all four native sizes; pages warm, one thread."""
    cv2.setNumThreads(1)
    rows = []
    for size in NATIVE_SIZES:
        depth = 80 if size == (276, 276) else 144
        with tempfile.TemporaryDirectory() as folder:
            paths, path = write_scan(Path(folder), depth, size)
            volume = np.load(path, mmap_mode="r")
            z = np.random.default_rng(1).permutation(depth)[:BATCH]
            calls = {
                "PNG": partial(from_pngs, paths, z),
                "cache": partial(from_cache, volume, z),
            }
            timings = in_turn(calls, rounds=3 if quick else 15)
            np.testing.assert_array_equal(timings["PNG"].value, timings["cache"].value)
        rates = {name: BATCH / timing.seconds for name, timing in timings.items()}
        rows.append([f"{size[0]}x{size[1]}", *rates.values(), rates["cache"] / rates["PNG"]])
    return (
        "## Reading 2.5-D samples\n\n"
        f"Batches of {BATCH} five-slice samples in random order, uint16, page cache warm. "
        f"{machine()}.\n\n"
        + table(["slice", "five PNGs, samples/s", "memory map, samples/s", "ratio"], rows)
    )


if __name__ == "__main__":
    main(run)
