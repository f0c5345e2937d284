"""Surface measures beside MONAI's and DeepMind's: equal where definitions are, and where not.

docs/metric.md lists the differences that are tested here.
"""

import math
import warnings

import numpy as np
import pytest
import surface_distance as deepmind
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)

from gutseg.metrics import (
    average_surface_distance,
    hausdorff,
    hausdorff_percentile,
    surface_dice,
)

pytestmark = pytest.mark.filterwarnings("ignore")
SPACINGS = [(1.0, 1.0, 1.0), (3.0, 1.5, 1.5), (0.7, 2.0, 0.4)]


def blobs(seed: int, shape: tuple[int, ...] = (12, 20, 70)) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping boxes with ragged faces, touching the border in some; no tolerance below
    is a distance of theirs."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, *shape), bool)
    for mask in masks:
        low = [int(rng.integers(0, size // 3 + 1)) for size in shape]
        high = [int(rng.integers(size // 2 + 1, size + 1)) for size in shape]
        mask[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = True
        mask &= rng.random(shape) < 0.95
    return masks[0], masks[1]


def monai(call, a: np.ndarray, b: np.ndarray, *arguments, **options) -> float:
    tensors = [torch.from_numpy(mask[None, None]) for mask in (a, b)]
    return float(call(*tensors, *arguments, include_background=True, **options))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_monai(seed: int, spacing: tuple) -> None:
    for a, b in (blobs(seed), blobs(seed, (20, 70))):
        steps = spacing[3 - a.ndim :]
        for percent in (95, 50):
            theirs = monai(compute_hausdorff_distance, a, b, percentile=percent, spacing=steps)
            assert hausdorff_percentile(a, b, percent, spacing=steps) == pytest.approx(theirs, 1e-5)
        theirs = monai(compute_hausdorff_distance, a, b, spacing=steps)
        assert hausdorff(a, b, spacing=steps) == pytest.approx(theirs, 1e-5)
        for tolerance in (0.55, 1.72, 3.3):
            theirs = monai(compute_surface_dice, a, b, [tolerance], spacing=steps)
            assert surface_dice(a, b, tolerance, spacing=steps) == pytest.approx(theirs, 1e-5)
        theirs = monai(compute_average_surface_distance, a, b, symmetric=True, spacing=steps)
        assert average_surface_distance(a, b, spacing=steps) == pytest.approx(theirs, 1e-5)


def test_what_monai_does_otherwise() -> None:
    a, b = blobs(1)
    empty = np.zeros_like(a)
    # its percentile 0 is taken for none given, so for the maximum
    assert monai(compute_hausdorff_distance, a, b, percentile=0) == pytest.approx(hausdorff(a, b))
    assert hausdorff_percentile(a, b, 0) < hausdorff(a, b)
    # its mean distance is one-way unless asked
    one_way = monai(compute_average_surface_distance, a, b)
    assert one_way != pytest.approx(average_surface_distance(a, b), 1e-3)
    # empties are alike
    assert math.isnan(monai(compute_hausdorff_distance, empty, empty))
    assert monai(compute_hausdorff_distance, empty, b) == hausdorff(empty, b) == math.inf
    assert monai(compute_surface_dice, a, empty, [1.0]) == surface_dice(a, empty, 1.0) == 0
    assert math.isnan(monai(compute_surface_dice, empty, empty, [1.0]))


def by_deepmind(a: np.ndarray, b: np.ndarray, spacing: tuple, tolerance: float) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = deepmind.compute_surface_distances(a, b, spacing)
    return {
        "hd": float(deepmind.compute_robust_hausdorff(found, 100)),
        "hd95": float(deepmind.compute_robust_hausdorff(found, 95)),
        "nsd": float(deepmind.compute_surface_dice_at_tolerance(found, tolerance)),
        "means": deepmind.compute_average_surface_distance(found),
    }


@pytest.mark.parametrize("spacing", SPACINGS)
def test_equal_to_deepmind_where_definitions_coincide(spacing: tuple) -> None:
    """One mask moved along an axis, compared with itself, or out of reach: no grid matters."""
    a, b = np.zeros((2, 14, 20, 80), bool)
    a[2:6, 4:9, 3:30] = True
    for axis, steps in ((0, 5), (1, 7), (2, 40)):
        moved = np.roll(a, steps, axis)
        distance = steps * spacing[axis]
        theirs = by_deepmind(a, moved, spacing, distance)
        assert hausdorff(a, moved, spacing=spacing) == pytest.approx(theirs["hd"])
        assert hausdorff(a, moved, spacing=spacing) == pytest.approx(distance)
        assert surface_dice(a, moved, distance, spacing=spacing) == theirs["nsd"] == 1
    same = by_deepmind(a, a, spacing, 0.0)
    assert (same["hd"], same["nsd"], *same["means"]) == (0, 1, 0, 0)
    assert hausdorff(a, a) == average_surface_distance(a, a) == 0
    assert surface_dice(a, a, 0.0) == 1
    b[12:, 18:, 78:] = True
    assert by_deepmind(a, b, spacing, 0.3)["nsd"] == surface_dice(a, b, 0.3, spacing=spacing) == 0


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(6))
def test_hausdorff_is_at_most_a_voxels_diagonal_from_deepminds(seed: int, spacing: tuple) -> None:
    """Its points are the corners of voxels: half a diagonal from the centres, on both surfaces."""
    a, b = blobs(seed)
    theirs = by_deepmind(a, b, spacing, 1.0)["hd"]
    found = hausdorff(a, b, spacing=spacing)
    assert abs(found - theirs) <= math.hypot(*spacing) + 1e-9


def test_what_deepmind_does_otherwise() -> None:
    """Two single voxels, 4 columns apart: 8 corners each, from 3 to 5 columns apart."""
    a, b = np.zeros((2, 3, 3, 9), bool)
    a[1, 1, 1] = b[1, 1, 5] = True
    theirs = by_deepmind(a, b, (1.0, 1.0, 1.0), 3.5)
    assert theirs["hd"] == hausdorff(a, b) == 4
    # half of the corners are 3 away, and its two directions stay apart
    assert theirs["means"] == pytest.approx((3.5, 3.5))
    assert average_surface_distance(a, b) == 4
    assert theirs["nsd"] == pytest.approx(0.5)
    assert surface_dice(a, b, 3.5) == 0
    # its elements weigh by their area, ours are voxels
    plate, thick = np.zeros((2, 9, 12, 12), bool)
    plate[4, 1:11, 1:11] = thick[2:7, 1:11, 1:11] = True
    theirs = by_deepmind(plate, thick, (1.0, 1.0, 1.0), 1.0)
    assert theirs["nsd"] != pytest.approx(surface_dice(plate, thick, 1.0), 0.05)
