import numpy as np
import pytest

from gutseg.data.inputs import Scaling, scale
from gutseg.data.volume import describe


@pytest.fixture
def scan():
    image = np.random.default_rng(0).gamma(2, 400, (6, 20, 22)).astype(np.uint16)
    image[5] //= 4
    return describe("case1_day0", image)


def test_stack_divides_each_stack_by_its_own_maximum(scan):
    stacks = scan.image[[[0, 1, 2], [5, 5, 5]]]
    scaled = scale(stacks, scan, Scaling(kind="stack"))
    assert scaled.dtype == np.float32
    assert scaled[0].max() == scaled[1].max() == 1
    np.testing.assert_allclose(scaled[1, 0], scan.image[5] / scan.image[5].max(), rtol=1e-6)


def test_scan_keeps_the_ratio_between_stacks(scan):
    scaled = scale(scan.image[[[0], [5]]], scan, Scaling(kind="scan"))
    assert scaled.max() == pytest.approx(scan.image[0].max() / scan.image.max())
    assert scaled[1].max() < 0.5


def test_percentiles_map_to_zero_and_one(scan):
    scaled = scale(scan.image[:, None], scan, Scaling(low=5, high=90))
    low, high = np.percentile(scan.image, [5, 90], method="inverted_cdf")
    expected = (scan.image[:, None].astype(float) - low) / (high - low)
    np.testing.assert_allclose(scaled, expected.clip(0, 1), 1e-5, 1e-6)
    assert (scaled == 1).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("deviations", [0.5, 2])
def test_mean_and_deviations_map_to_the_ends(scan, deviations):
    """Mean minus two deviations of this scan is below black: 0 stays black, as padding is."""
    grey = scan.image.astype(float)
    scaled = scale(scan.image[:, None], scan, Scaling(kind="zscore", deviations=deviations))
    low = max(grey.mean() - deviations * grey.std(), 0)
    high = grey.mean() + deviations * grey.std()
    assert (low > 0) == (deviations == 0.5)
    expected = (grey[:, None] - low) / (high - low)
    np.testing.assert_allclose(scaled, expected.clip(0, 1), 1e-4, 1e-5)


def test_the_body_is_what_is_brighter_than_air():
    """Of a hundred voxels 90 are air (0 to 3): the others' mean is 150 and their deviation 50."""
    image = np.zeros((1, 10, 10), np.uint16)
    image[0, :9] = np.arange(90).reshape(9, 10) % 4
    image[0, 9] = [100, 200] * 5
    scan = describe("case1_day0", image)
    assert scan.air == pytest.approx(16)  # 8 % of 200
    assert scan.moments(body=True) == pytest.approx((150, 50))
    assert scan.moments() == pytest.approx((image.mean(), image.std()))
    ends = Scaling(kind="zscore_body", deviations=3)
    scaled = scale(image[:, None], scan, ends)
    assert scaled[0, 0, 9, :2] == pytest.approx([1 / 3, 2 / 3])


def test_scale_does_not_depend_on_the_scanners_gain(scan):
    louder = describe("case1_day0", scan.image * 9)
    for kind in ("stack", "scan", "percentile", "zscore", "zscore_body"):
        ours, theirs = (scale(s.image[:, None], s, Scaling(kind=kind)) for s in (scan, louder))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_black_scan_stays_black():
    black = describe("case1_day0", np.zeros((2, 4, 4), np.uint16))
    for kind in ("stack", "scan", "percentile", "zscore", "zscore_body"):
        assert not scale(black.image[:, None], black, Scaling(kind=kind)).any()


def test_percentiles_in_the_wrong_order(scan):
    with pytest.raises(ValueError, match="low = 99, high = 1; expected low < high"):
        scale(scan.image[:, None], scan, Scaling(low=99, high=1))
