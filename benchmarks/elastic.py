"""Elastic deformation of a five-slice stack with three classes beside albumentations'.

python -m benchmarks.elastic [--quick] [--out FILE]
"""

from functools import partial

import albumentations as A
import cv2
import numpy as np

from benchmarks.measure import geometric_mean, in_turn, machine, main, table
from gutseg.data.augment import CoarseElastic

# alpha and sigma of three common recipes, and what albumentations offers to make them faster
LIBRARY = {
    "ElasticTransform a50 s6 (default sigma)": {"alpha": 50, "sigma": 6},
    "ElasticTransform a120 s12": {"alpha": 120, "sigma": 12},
    "ElasticTransform a120 s12, approximate": {"alpha": 120, "sigma": 12, "approximate": True},
}
SIZES = (128, 320)


def displacement(alpha: float, sigma: float, size: int) -> float:
    """The displacement of ours with the standard deviation of a blurred unit noise field.

    Gaussian blur of white noise leaves the standard deviation 1 / (2 sigma sqrt(pi)).
    """
    return alpha / (2 * sigma * np.sqrt(np.pi)) / size


def run(quick: bool) -> str:
    """Measure uint8 and float32 stacks of two sizes; the library's mask has three channels."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    rows, ratios = [], []
    for size in SIZES:
        for dtype in (np.uint8, np.float32):
            top = 255 if dtype == np.uint8 else 1
            image = (rng.random((size, size, 5)) * top).astype(dtype)
            planes = (rng.random((size, size, 3)) > 0.8).astype(np.uint8)
            bits = (planes << np.arange(3, dtype=np.uint8)).sum(axis=2, dtype=np.uint8)
            ours = CoarseElastic(displacement(120, 12, size), p=1.0)
            calls = {"ours": partial(ours, image=image, mask=bits)}
            for name, settings in LIBRARY.items():
                calls[name] = partial(
                    A.ElasticTransform(**settings, p=1.0), image=image, mask=planes
                )
            timings = in_turn(calls, rounds=5 if quick else 30)
            own = timings["ours"].seconds
            default = timings["ElasticTransform a120 s12"].seconds / own
            ratios.append(default)
            rows += [
                [f"{size} {np.dtype(dtype).name}", name, 1 / timing.seconds, timing.seconds / own]
                for name, timing in timings.items()
            ]
    return (
        "## Elastic deformation\n\n"
        f"Five-slice image with three classes. {machine()}. At the same look (alpha 120, sigma "
        f"12): x{geometric_mean(ratios):.1f} on average over the four rows.\n\n"
        + table(["stack", "transform", "stacks/s", "time over ours"], rows)
    )


if __name__ == "__main__":
    main(run)
