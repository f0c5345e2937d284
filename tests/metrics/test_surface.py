"""Surface measures against their definitions, written out over tables of all distances."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gutseg.masks.bit_rows import BitRows
from gutseg.metrics import (
    average_surface_distance,
    hausdorff,
    hausdorff_percentile,
    surface,
    surface_dice,
    volume_error,
)

MEASURES = {
    "hausdorff": hausdorff,
    "hausdorff_percentile": hausdorff_percentile,
    "surface_dice": lambda *masks, **options: surface_dice(*masks, 1.0, **options),
    "average_surface_distance": average_surface_distance,
}
DISTANCES = [name for name in MEASURES if name != "surface_dice"]
SPACINGS = [(1.0, 1.0, 1.0), (3.0, 1.5, 1.5), (0.1, 2.0, 0.7), (5.0, 0.3, 0.3)]


def random_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two masks, volumes or slices: noise, boxes, single voxels; every seventh has an empty one."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, (6, 14, rng.choice([10, 90]))))
    masks = [_one(rng, shape) for _ in range(2)]
    if rng.random() < 0.3:
        masks[1] = masks[0] ^ (rng.random(shape) < 0.03)
    if seed % 7 == 0:
        masks[rng.integers(2)][:] = False
    return (masks[0][0], masks[1][0]) if seed % 5 == 0 else (masks[0], masks[1])


def _one(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    kind, mask = rng.integers(3), np.zeros(shape, bool)
    if kind == 0:
        return rng.random(shape) < rng.choice([0.02, 0.3, 0.9])
    if kind == 1:
        corners = np.sort([rng.integers(0, np.array(shape) + 1) for _ in range(2)], axis=0)
        mask[tuple(slice(*ends) for ends in corners.T)] = True
    else:
        mask[tuple(rng.integers(shape))] = True
    return mask


def edge_points(mask: np.ndarray, spacing: tuple) -> np.ndarray:
    """Centres (N, axes) of the voxels with a neighbour of a common face outside the mask, in mm."""
    walled = np.pad(mask, 1)
    hidden = np.ones_like(mask)
    for axis in range(mask.ndim):
        for step in (-1, 1):
            shifted = np.roll(walled, step, axis)
            hidden &= shifted[(slice(1, -1),) * mask.ndim]
    return np.argwhere(mask & ~hidden) * spacing


def by_definition(a: np.ndarray, b: np.ndarray, spacing: tuple, tolerance: float) -> list[float]:
    """HD, HD95, median, NSD, ASSD and volume error of two masks that are not both empty."""
    x, y = edge_points(a, spacing), edge_points(b, spacing)
    error = (int(a.sum()) - int(b.sum())) * math.prod(spacing) / 1000
    if not (len(x) and len(y)):
        return [math.inf] * 3 + [0.0, math.inf, error]
    table = cdist(x, y)
    ways = table.min(axis=1), table.min(axis=0)
    together = np.concatenate(ways)
    percentiles = [max(np.percentile(way, p) for way in ways) for p in (100, 95, 50)]
    near = (together <= tolerance + 1e-9).mean()
    return [*percentiles, near, together.mean(), error]


@pytest.mark.parametrize("block", range(10))
def test_exact_on_five_hundred_volumes(block: int) -> None:
    for seed in range(50 * block, 50 * block + 50):
        a, b = random_pair(seed)
        spacing = SPACINGS[seed % 4][3 - a.ndim :]
        tolerance = [0.3, 1.5, 2.0, 4.2][seed % 3]
        found = [
            hausdorff(a, b, spacing=spacing),
            *(hausdorff_percentile(a, b, p, spacing=spacing) for p in (95, 50)),
            surface_dice(a, b, tolerance, spacing=spacing),
            average_surface_distance(a, b, spacing=spacing),
            volume_error(a, b, spacing=spacing),
        ]
        if a.any() or b.any():
            expected = by_definition(a, b, spacing, tolerance)
        else:
            expected = [math.nan] * 5 + [0.0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6, err_msg=f"seed {seed}")


@pytest.mark.parametrize("seed", range(8))
def test_far_apart_and_wide(seed: int) -> None:
    """Beyond the offsets that whole words are compared at, and over several words."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, 30, 40, 300), bool)
    for mask in masks:
        for _ in range(3):
            z, y, x = rng.integers((26, 30, 280))
            mask[z : z + rng.integers(1, 5), y : y + 8, x : x + rng.integers(1, 20)] = True
    a, b = masks
    expected = by_definition(a, b, SPACINGS[seed % 4], 20.0)
    found = surface.surface_distances(a, b, spacing=SPACINGS[seed % 4])
    values = [*(found.percentile(p) for p in (100, 95, 50)), found.within(20.0), found.mean()]
    np.testing.assert_allclose(values, expected[:5], rtol=0, atol=1e-6)
    words = [BitRows.from_arrays(mask[None]).words[0] for mask in masks]
    same = surface.distances_of_words(*words, spacing=SPACINGS[seed % 4])
    assert same.mean() == found.mean() and same.shared == found.shared


def test_columns_much_closer_than_rows() -> None:
    """The voxel 20 columns away is nearer than the one in the next row: 0.2 mm and 1 mm."""
    a, b = np.zeros((2, 3, 70), bool)
    a[1, 30] = b[1, 50] = b[2, 30] = True
    found = surface.surface_distances(a, b, spacing=(1.0, 0.01))
    assert found.prediction == pytest.approx([0.2])
    assert sorted(found.truth) == pytest.approx([0.2, 1.0])


def test_two_sheets_by_hand() -> None:
    """3 x 3 voxels each, two planes apart, all of them edges: 6 mm between every pair."""
    a, b = np.zeros((2, 4, 3, 3), bool)
    a[0] = b[2] = True
    spacing = (3.0, 1.5, 1.5)
    assert hausdorff(a, b, spacing=spacing) == 6
    assert hausdorff_percentile(a, b, spacing=spacing) == 6
    assert average_surface_distance(a, b, spacing=spacing) == 6
    assert surface_dice(a, b, 5.9, spacing=spacing) == 0
    assert surface_dice(a, b, 6.0, spacing=spacing) == 1
    b[3] = True
    assert volume_error(a, b, spacing=spacing) == pytest.approx(-9 * 6.75 / 1000)
    # 9 voxels at 6 mm from a; of b's 18 edge voxels 9 at 6 mm and 9 at 9 mm
    assert average_surface_distance(a, b, spacing=spacing) == (18 * 6 + 9 * 9) / 27
    assert surface_dice(a, b, 6.0, spacing=spacing) == pytest.approx(18 / 27)


def test_a_percentile_is_interpolated_between_ranks() -> None:
    """Distances of b: 0 (shared), 1 and 2; of a: 0."""
    a, b = np.zeros((2, 1, 1, 3), bool)
    a[0, 0, 0] = True
    b[:] = True
    assert [hausdorff_percentile(a, b, p) for p in (0, 25, 50, 75, 100)] == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize("name", MEASURES)
def test_empty_masks(name: str) -> None:
    measure = MEASURES[name]
    empty, some = np.zeros((2, 2, 3, 4), bool)
    some[0, 0, 0] = True
    assert math.isnan(measure(empty, empty))
    assert measure(empty, empty, both_empty=0.5) == 0.5
    assert volume_error(empty, empty) == 0
    for pair in ((empty, some), (some, empty)):
        assert measure(*pair) == (0 if name == "surface_dice" else np.inf)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_missed_organ_counts_as_the_user_says(name: str) -> None:
    empty, some = np.zeros((2, 2, 3, 4), bool)
    some[0, 0, 0] = True
    options = {"spacing": (3.0, 1.0, 2.0), "one_empty": "diagonal"}
    # sides of 6, 3 and 8 mm
    assert MEASURES[name](empty, some, **options) == pytest.approx(math.sqrt(36 + 9 + 64))
    assert MEASURES[name](some, empty, one_empty=40) == 40
    assert MEASURES[name](empty[0], some[0], one_empty="diagonal") == 5
    assert MEASURES[name](some, some, **options) == 0


def test_no_distance_is_above_the_diagonal() -> None:
    a, b = np.zeros((2, 5, 6, 7), bool)
    a[0, 0, 0] = b[-1, -1, -1] = True
    assert hausdorff(a, b) < surface.volume_diagonal(a.shape)


def test_integers_and_tensors_are_masks() -> None:
    torch = pytest.importorskip("torch")
    a, b = random_pair(11)
    expected = average_surface_distance(a, b)
    assert average_surface_distance(3 * a.astype(np.int64), b.astype(np.uint8)) == expected
    # a uint64 array of a user is a mask, not 64 voxels a word
    assert average_surface_distance(a.astype(np.uint64), b.astype(np.uint64)) == expected
    assert average_surface_distance(*map(torch.from_numpy, (a, b))) == expected


def test_what_is_refused() -> None:
    mask = np.ones((1, 2, 2), bool)
    for call, message in (
        (lambda: hausdorff_percentile(mask, mask, 101), "percent 101"),
        (lambda: surface_dice(mask, mask, -1), "tolerance -1"),
        (lambda: surface_dice(mask, mask, math.nan), "tolerance nan"),
        (lambda: hausdorff(mask, mask, spacing=(1.5, 1.5)), "a mask of 3 axes"),
        (lambda: hausdorff(mask, mask, spacing=(1.5, 0, 1.5)), "three positive numbers"),
        (lambda: hausdorff(mask, mask[None]), r"found bool \(1, 1, 2, 2\)"),
        (lambda: hausdorff(mask, mask * 0.5), "found float64"),
        (lambda: volume_error(mask, mask[:, :1]), "differ in shape"),
        (lambda: hausdorff(mask, mask[:, :1]), "differ in shape"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_the_module_is_light() -> None:
    """Users of nnU-Net or MONAI take it without waiting for anything else."""
    heavy = "{'torch', 'monai', 'pandas', 'matplotlib', 'gutseg.config'}"
    code = f"import sys, gutseg.metrics; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
