"""Surface distances against a table of all distances between edge voxels."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from gutseg.masks.bit_rows import BitRows
from gutseg.metrics import hausdorff, surface


def _pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of one random shape, from sparse to almost full, neither of them empty."""
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, *rng.integers(1, 20, 3))) < rng.choice([0.02, 0.3, 0.9], (2, 1, 1, 1))
    a[tuple(rng.integers(a.shape))] = b[tuple(rng.integers(b.shape))] = True
    return a, b


def _edges(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask & ~ndimage.binary_erosion(mask))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.5, 1.5), (0.1, 2.0, 0.7)])
@pytest.mark.parametrize("seed", range(30))
def test_percentile_and_mean_surface_distance(seed: int, spacing: tuple) -> None:
    a, b = _pair(seed)
    table = cdist(_edges(a) * spacing, _edges(b) * spacing)
    ways = table.min(axis=1), table.min(axis=0)
    for percent in (50.0, 95.0):
        expected = max(np.percentile(way, percent) for way in ways)
        found = surface.percentile(a, b, percent=percent, spacing=spacing)
        assert found == pytest.approx(expected, abs=1e-9)
    words = (BitRows.from_arrays(mask[None]).words[0] for mask in (a, b))
    found = surface.mean_surface_distance(*words, spacing=spacing)
    assert found == pytest.approx(np.concatenate(ways).mean(), abs=1e-9)
    full = surface.percentile(a, b, percent=100, spacing=spacing)
    exact = hausdorff.symmetric(a, b, spacing=spacing, surface=True)
    assert full == pytest.approx(exact, abs=1e-9)
    assert len(surface.surface_distances(a, b)) == len(_edges(a))


def test_reports_of_empty_masks() -> None:
    empty, some = np.zeros((2, 2, 3, 4), bool)
    some[0, 0, 0] = True
    for report in (surface.percentile, surface.mean_surface_distance):
        assert report(empty, empty) == 0
        assert report(empty, some) == report(some, empty) == np.inf


def test_a_percentile_beyond_100_is_refused() -> None:
    mask = np.ones((1, 2, 2), bool)
    with pytest.raises(ValueError, match="101"):
        surface.percentile(mask, mask, percent=101)
