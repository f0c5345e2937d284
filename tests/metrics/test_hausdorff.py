"""The bit-row search against scipy, k-d trees and MONAI: exact, in every scaling and direction."""

import numpy as np
import pytest
from guarded import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.distance import directed_hausdorff

from gutseg.masks.bit_rows import BitRows
from gutseg.metrics import hausdorff_distance

VOXELS = 8000
seeds = st.integers(0, 2**32 - 1)
sides = st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70))


def pair(sides: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two masks, neither empty, at densities from one voxel to full; some nearly equal.

    Sides are cut from the right to VOXELS in all: scipy compares all with all.
    """
    rng = np.random.default_rng(seed)
    depth, height, width = sides
    height = max(1, min(height, VOXELS // depth))
    width = max(1, min(width, VOXELS // (depth * height)))
    shape = (depth, height, width)[:: rng.choice([-1, 1])]
    masks = [rng.random(shape) < 10 ** rng.uniform(-4, 0.1) for _ in range(2)]
    if rng.random() < 0.3:
        masks[1] = masks[0] ^ (rng.random(shape) < 0.01)
    if rng.random() < 0.3:
        masks[0] = ndimage.binary_dilation(masks[0], iterations=2)
    for mask in masks:
        mask[tuple(rng.integers(0, shape))] |= not mask.any()
    return masks[0], masks[1]


def spacings(shape: tuple[int, ...]) -> list[tuple[float, float, float]]:
    return [(1.0, 1.0, 1.0), (3.0, 1.5, 1.5), tuple(1.0 / np.array(shape))]


def words(mask: np.ndarray) -> np.ndarray:
    return BitRows.from_arrays(mask[None]).words[0]


def check_against_scipy(a: np.ndarray, b: np.ndarray) -> None:
    packed = words(a), words(b)
    for spacing in spacings(a.shape):
        x, y = np.argwhere(a) * spacing, np.argwhere(b) * spacing
        ways = directed_hausdorff(x, y)[0], directed_hausdorff(y, x)[0]
        assert hausdorff_distance.directed(a, b, spacing=spacing) == pytest.approx(
            ways[0], abs=1e-9
        )
        assert hausdorff_distance.directed(b, a, spacing=spacing) == pytest.approx(
            ways[1], abs=1e-9
        )
        assert hausdorff_distance.symmetric(*packed, spacing=spacing) == pytest.approx(
            max(ways), abs=1e-9
        )


@settings(max_examples=150, deadline=None)
@given(sides, seeds)
def test_equals_scipy(sides: tuple[int, int, int], seed: int) -> None:
    check_against_scipy(*pair(sides, seed))


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(sides, seeds)
def test_equals_scipy_on_two_thousand_volumes(sides: tuple[int, int, int], seed: int) -> None:
    check_against_scipy(*pair(sides, seed))


def far_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Blobs and specks further apart than the near rows and than 64 columns."""
    shape = tuple(rng.integers((1, 20, 65), (60, 120, 330)))
    masks = np.zeros((2, *shape), bool)
    for mask in masks:
        for _ in range(rng.integers(1, 5)):
            size = rng.integers(1, np.minimum(shape, 25) + 1)
            low = rng.integers(0, np.array(shape) - size + 1)
            box = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
            mask[box] |= rng.random(size) < rng.choice([0.05, 1.0])
        mask[tuple(rng.integers(0, shape))] = True
    return masks[0], masks[1]


@pytest.mark.parametrize("seed", range(40))
def test_far_apart_equals_a_tree_search(seed: int) -> None:
    a, b = far_pair(np.random.default_rng(seed))
    for spacing in [*spacings(a.shape), (0.1, 7.0, 1.0), (5.0, 0.3, 0.01)]:
        x, y = np.argwhere(a) * spacing, np.argwhere(b) * spacing
        ways = cKDTree(y).query(x)[0].max(), cKDTree(x).query(y)[0].max()
        assert hausdorff_distance.directed(a, b, spacing=spacing) == pytest.approx(
            ways[0], abs=1e-9
        )
        assert hausdorff_distance.symmetric(a, b, spacing=spacing) == pytest.approx(
            max(ways), abs=1e-9
        )


@pytest.mark.parametrize("width", [193, 256])
@pytest.mark.parametrize("step", [1, -1])
def test_a_far_row_covers_a_word_to_its_last_column(width: int, step: int) -> None:
    """63 columns covered are one short of a word: the voxel left over is 109 columns away."""
    source, target = np.zeros((2, 1, 2, width), bool)
    source[0, [0, 0, 1], [0, 36, 1]] = target[0, 0, 109] = True
    assert hausdorff_distance.directed(source[..., ::step], target[..., ::step]) == 109


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(65, 330), seeds)
def test_rows_of_several_words(depth: int, height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.random((depth, height, width)) < 10 ** rng.uniform(-3, -0.5) for _ in range(2))
    a[0, 0, rng.integers(width)] = b[-1, -1, rng.integers(width)] = True
    for spacing in [*spacings(a.shape), (9.0, 40.0, 1.0)]:
        x, y = np.argwhere(a) * spacing, np.argwhere(b) * spacing
        ways = cKDTree(y).query(x)[0].max(), cKDTree(x).query(y)[0].max()
        assert hausdorff_distance.directed(a, b, spacing=spacing) == pytest.approx(
            ways[0], abs=1e-9
        )
        assert hausdorff_distance.directed(b, a, spacing=spacing) == pytest.approx(
            ways[1], abs=1e-9
        )


@pytest.mark.parametrize("width", [*range(1, 201, 7), 63, 64, 65, 127, 128, 129, 192])
def test_every_width_from_border_to_border(width: int) -> None:
    a, b = np.zeros((2, 2, 3, width), bool)
    a[0, 0, 0] = b[1, 2, width - 1] = True
    assert hausdorff_distance.symmetric(a, b) == pytest.approx(
        np.sqrt(1 + 4 + (width - 1) ** 2), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("end", [True, False])
def test_nothing_outside_the_words_is_read(seed: int, end: bool) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((2, *rng.integers((1, 1, 1), (4, 7, 300)))) < 10 ** rng.uniform(-3, 0)
    masks[0, 0, 0, 0] = masks[1, -1, -1, -1] = True
    packed = [guarded(words(mask), end=end) for mask in masks]
    x, y = (np.argwhere(mask) for mask in masks)
    expected = max(cKDTree(y).query(x)[0].max(), cKDTree(x).query(y)[0].max())
    assert hausdorff_distance.symmetric(*packed) == pytest.approx(expected, abs=1e-9)
    assert hausdorff_distance.symmetric(*packed, surface=True) <= expected + sum(masks[0].shape)


@pytest.mark.parametrize("measure", [hausdorff_distance.directed, hausdorff_distance.symmetric])
@pytest.mark.parametrize("surface", [False, True])
def test_empty_and_equal_masks(measure, surface: bool) -> None:
    empty, some = np.zeros((2, 4, 5, 66), bool)
    some[1, 2, 65] = True
    options = {"surface": surface}
    assert measure(empty, empty, **options) == 0
    assert measure(some, some, **options) == 0
    assert measure(some, empty, **options) == np.inf
    expected = 0 if measure is hausdorff_distance.directed else np.inf
    assert measure(empty, some, **options) == expected


def test_strided_and_read_only_input() -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.random((2, 12, 20, 150)) < 0.01)[:, ::-2, ::3, 5::2]
    b.flags.writeable = False
    assert hausdorff_distance.symmetric(a, b) == hausdorff_distance.symmetric(a.copy(), b.copy())
    assert hausdorff_distance.symmetric(a.astype(np.uint8), b) == hausdorff_distance.symmetric(a, b)
    assert hausdorff_distance.symmetric(
        words(a)[::-1], words(b)[::-1]
    ) == hausdorff_distance.symmetric(a, b)


def test_surface_sees_a_hole_that_voxels_do_not() -> None:
    ball = np.linalg.norm(np.mgrid[-12:13, -12:13, -12:13], axis=0)
    solid, hollow = ball <= 11, (ball <= 11) & (ball > 2)
    assert hausdorff_distance.symmetric(solid, hollow) == pytest.approx(np.sqrt(5), abs=1e-9)
    assert hausdorff_distance.symmetric(solid, hollow, surface=True) == pytest.approx(8.0)


@pytest.mark.parametrize("seed", range(40))
def test_surface_of_rows_of_several_words(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers((1, 1, 60), (6, 7, 270)))
    a, b = (rng.random(shape) < share for share in (0.97, 0.9))
    x, y = (np.argwhere(m & ~ndimage.binary_erosion(m)) for m in (a, b))
    expected = max(cKDTree(y).query(x)[0].max(), cKDTree(x).query(y)[0].max())
    assert hausdorff_distance.symmetric(a, b, surface=True) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_surface_equals_monai(seed: int) -> None:
    metrics = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    a, b = pair(tuple(rng.integers(2, 40, 3)), seed)
    spacing = [(1.0, 1.0, 1.0), (3.0, 1.5, 1.5)][seed % 2]
    tensors = [torch.from_numpy(mask[None, None]) for mask in (a, b)]
    for directed, measure in (
        (True, hausdorff_distance.directed),
        (False, hausdorff_distance.symmetric),
    ):
        expected = metrics.compute_hausdorff_distance(
            *tensors, include_background=True, directed=directed, spacing=list(spacing)
        )
        found = measure(a, b, spacing=spacing, surface=True)
        assert found == pytest.approx(float(expected), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_the_surface_of_a_slice_is_its_outline_as_in_monai(seed: int) -> None:
    metrics, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers((3, 60), (30, 200)))
    a, b = (ndimage.binary_opening(rng.random(shape) < 0.8) for _ in range(2))
    a[1, 1] = b[-1, -1] = True
    tensors = [torch.from_numpy(mask[None, None]) for mask in (a, b)]
    expected = float(metrics.compute_hausdorff_distance(*tensors, include_background=True))
    packed = words(a[None])[0], words(b[None])[0]
    assert hausdorff_distance.symmetric(a, b, surface=True) == pytest.approx(expected, rel=1e-6)
    assert hausdorff_distance.symmetric(*packed, surface=True) == pytest.approx(expected, rel=1e-6)
    assert hausdorff_distance.symmetric(a, b) == hausdorff_distance.symmetric(
        a[None], b[None], surface=True
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b: hausdorff_distance.symmetric(a, b[:, :2]), "differ in shape"),
        (lambda a, b: hausdorff_distance.symmetric(a, words(b)), "packed"),
        (lambda a, b: hausdorff_distance.symmetric(a[0, 0], b[0, 0]), r"\(Z, H, W\)"),
        (lambda a, b: hausdorff_distance.symmetric(a * 1.0, b * 1.0), "float64"),
        (lambda a, b: hausdorff_distance.symmetric(a, b, spacing=(1, 0, 1)), "positive"),
        (lambda a, b: hausdorff_distance.symmetric(a, b, spacing=(1, 1)), "three"),
    ],
)
def test_what_is_refused(call, message: str) -> None:
    masks = np.ones((2, 3, 4, 5), bool)
    with pytest.raises(ValueError, match=message):
        call(*masks)
