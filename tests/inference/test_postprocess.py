import numpy as np
import pytest
from plain_postprocess import finish_plainly

from gutseg.inference.ensemble import weighted_mean
from gutseg.inference.postprocess import (
    Rule,
    beside_gaps,
    finish_scan,
    in_short_run,
    to_byte,
)
from gutseg.inference.prior import Prior

RULES = [
    Rule(0.3, gate=0.6, gate_pixels=13),
    Rule(0.6, gate=0.2, gate_pixels=3),
    Rule(0.7, min_run=3),
    Rule(0.5, 2, 0.9, min_component_ml=0.06, min_run=2),
    Rule(0.4, fill_holes=4),
    Rule(0.6, hull=0.5),
    Rule(0.5, 2, 0.9, gate_pixels=5, min_run=2, fill_holes=9, hull=0.1),
]


def finish(probabilities: np.ndarray, rule: Rule) -> np.ndarray:
    """The mask of one class: (Z, H, W) uint8 -> bool."""
    return finish_scan(probabilities[None], [rule]).to_arrays()[0]


@pytest.mark.parametrize("shape", [(9, 30, 70), (5, 12, 1), (1, 1, 1), (7, 1, 64), (1, 40, 129)])
@pytest.mark.parametrize("seed", range(3))
def test_masks_are_those_of_scipy_whatever_the_shape(shape, seed):
    rng = np.random.default_rng(seed)
    probabilities = (rng.random(shape) ** 2 * 256).astype(np.uint8)
    seen, size = rng.random(shape[0]) < 0.7, (3.0, 1.25, 2.0)
    probabilities[~seen] = 0
    for rule in (
        *RULES,
        Rule(),
        Rule(0.5, 3),
        Rule(0.4, 20, 0.9),
        Rule(0.7, 2, 0.995),
        Rule(1, 99),
    ):
        expected = finish_plainly(probabilities, rule, seen=seen, voxel_mm=size)
        found = finish_scan(probabilities[None], [rule], seen=seen, voxel_mm=size)
        np.testing.assert_array_equal(found.to_arrays()[0], expected)


def test_level_is_the_first_byte_that_reaches_the_probability():
    assert [to_byte(p) for p in (0, 0.4, 0.5, 1)] == [1, 102, 128, 255]
    for byte in range(1, 256):
        assert to_byte(byte / 255) == byte


@pytest.fixture
def volume():
    """A large block at .8, a speck of two voxels at 1, and a slice that reaches only .45."""
    probabilities = np.zeros((6, 12, 12), np.uint8)
    probabilities[1:4, 2:6, 2:6] = 204
    probabilities[5, 10, 10:12] = 255
    probabilities[4, 2:6, 2:6] = 115
    return probabilities


def test_threshold(volume):
    assert finish(volume, Rule(0.5)).sum() == 48 + 2
    assert finish(volume, Rule(0.4)).sum() == 64 + 2
    assert finish(volume, Rule(0.9)).sum() == 2


def test_small_components_go(volume):
    assert finish(volume, Rule(0.5, min_component_size=3)).sum() == 48
    assert finish(volume, Rule(0.5, min_component_size=2)).sum() == 50
    assert finish(volume, Rule(0.5, min_component_size=49)).sum() == 0


def test_two_voxels_are_the_smallest_that_can_be_asked_for(volume):
    volume[0, 0, 0] = 255
    assert (
        finish(volume, Rule(0.9)).sum()
        == finish(volume, Rule(0.9, min_component_size=1)).sum()
        == 3
    )
    assert finish(volume, Rule(0.9, min_component_size=2)).sum() == 2


def test_rules_may_reach_their_ends(volume):
    assert Rule() == Rule(threshold=0.5, min_component_size=0, gate=0.0)
    off = {"gate_pixels": 1, "min_component_ml": 0.0, "min_run": 1, "fill_holes": 0, "hull": 0.0}
    assert Rule() == Rule(**off)  # blends of earlier versions say none of these
    assert finish(volume, Rule(threshold=1, gate=1)).sum() == 2
    assert finish(volume, Rule(threshold=0, gate=0)).sum() == 48 + 16 + 2


def test_diagonal_neighbours_belong_together():
    probabilities = np.zeros((3, 3, 3), np.uint8)
    probabilities[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = 255
    assert finish(probabilities, Rule(0.5, min_component_size=3)).sum() == 3


def test_gate_empties_slices_without_a_sure_voxel(volume):
    assert finish(volume, Rule(0.4, gate=0.5))[4].sum() == 0
    assert finish(volume, Rule(0.4, gate=0.45))[4].sum() == 16


def test_gate_counts_the_pixels_that_reach_gate_and_threshold(volume):
    """Slices 1 to 3 have 16 pixels of .8, slice 4 has 16 of .45, slice 5 has 2 of 1."""

    def areas(**rule):
        return finish(volume, Rule(**rule)).sum(axis=(1, 2)).tolist()

    assert areas(threshold=0.4, gate=0.6, gate_pixels=2) == [0, 16, 16, 16, 0, 2]
    assert areas(threshold=0.4, gate=0.6, gate_pixels=3) == [0, 16, 16, 16, 0, 0]
    assert areas(threshold=0.4, gate=0.6, gate_pixels=17) == [0] * 6
    # below the threshold a pixel proves nothing: .45 reaches the gate, and only 2 the threshold
    volume[4, 0, :2] = 200
    assert areas(threshold=0.5, gate=0.4, gate_pixels=2)[4] == 2
    assert areas(threshold=0.5, gate=0.4, gate_pixels=3)[4] == 0


def test_gates_may_look_at_what_another_run_says():
    """Three slices of 4 pixels at .6; the other run has 0, 1 and 4 pixels of .8 in them."""
    ours, theirs = np.zeros((1, 3, 5, 5), np.uint8), np.zeros((1, 3, 5, 5), np.uint8)
    ours[0, :, 1:3, 1:3] = 153
    theirs[0, 1, 4, 4] = theirs[0, 2, 1:3, 1:3] = 204

    def areas(**rule):
        found = finish_scan(ours, [Rule(**rule)], gate=theirs)
        return found.slice_counts()[0].tolist()

    assert areas(gate=0.8) == [0, 4, 4]
    assert areas(gate=0.8, gate_pixels=2) == [0, 0, 4]
    assert areas(gate=0.81) == [0, 0, 0]
    assert areas(gate=0, gate_pixels=9) == [4, 4, 4]  # this class is not gated
    assert areas(threshold=0.61, gate=0.8) == [0, 0, 0]
    # by our own probabilities no slice passes
    assert not finish_scan(ours, [Rule(gate=0.8)]).words.any()


def test_slices_keep_a_class_in_runs_that_are_long_enough():
    shown = np.array([1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1], bool)

    def kept(least, gaps=None):
        return (shown & ~in_short_run(shown, least, gaps)).astype(int).tolist()

    assert kept(1) == shown.astype(int).tolist()
    assert kept(2) == [1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    assert kept(3) == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]  # the ends of the scan are ends
    assert kept(4) == [0] * 11
    seen = np.array([1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1], bool)
    assert beside_gaps(seen).astype(int).tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0]
    # beside slices 6 and 8, which nobody predicted, runs may go on; the first one may not
    assert kept(4, beside_gaps(seen)) == [0, 0, 0, 1, 1, 1, 0, 1, 0, 1, 1]


def test_components_are_measured_in_ml():
    probabilities = np.zeros((1, 4, 20, 20), np.uint8)
    probabilities[0, 1, 2:7, 2:6] = 255  # 20 voxels: .135 ml of 6.75 mm3, .24 ml of 12 mm3
    for size, limit, left in (
        ((3, 1.5, 1.5), 0.135, 20),
        ((3, 1.5, 1.5), 0.136, 0),
        ((3, 2, 2), 0.24, 20),
        ((3, 2, 2), 0.241, 0),
    ):
        rule = Rule(min_component_ml=limit)
        assert finish_scan(probabilities, [rule], voxel_mm=size).slice_counts().sum() == left
    both = Rule(min_component_size=21, min_component_ml=0.1)
    assert not finish_scan(probabilities, [both], voxel_mm=(3, 1.5, 1.5)).words.any()
    with pytest.raises(ValueError, match=r"min_component_ml: 0.1, but nothing says how large a vo"):
        finish_scan(probabilities, [Rule(min_component_ml=0.1)])


def test_an_organ_that_loses_all_slices_needs_no_closing(volume):
    assert finish(volume, Rule(0.5, min_component_size=99, fill_holes=5, hull=1)).sum() == 0


def test_every_class_has_its_own_rule(volume):
    scan = finish_scan(
        np.stack([volume] * 3), [Rule(0.5), Rule(0.9), Rule(0.5, min_component_size=3)]
    )
    assert scan.slice_counts().sum(axis=1).tolist() == [50, 2, 48]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.5}, "threshold\\n.*less than or equal to 1 "),
        ({"gate": -1}, "gate\\n.*greater than or equal to 0 "),
        ({"min_component_size": -2}, "input_value=-2"),
        ({"gate_pixels": 0}, "gate_pixels\\n.*greater than or equal to 1 "),
        ({"min_run": 0}, "min_run\\n.*greater than or equal to 1 "),
        ({"hull": 1.5}, "hull\\n.*less than or equal to 1 "),
    ],
)
def test_rules_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Rule(**settings)


def test_weighted_mean():
    members = [np.array([0, 100, 255], np.uint8), np.array([255, 200, 255], np.uint8)]
    assert weighted_mean(members, [3, 1]).tolist() == [64, 125, 255]
    assert weighted_mean(iter(members), [1, 1]).tolist() == [128, 150, 255]
    assert weighted_mean(members, [1, 0]).tolist() == [0, 100, 255]


@pytest.mark.parametrize("weights", [[0, 0], [2, -1], [float("inf"), 1], [float("nan"), 1]])
def test_weights_of_a_mean_are_finite_and_one_is_above_zero(weights):
    members = [np.array([0, 100, 255], np.uint8), np.array([255, 200, 255], np.uint8)]
    with pytest.raises(ValueError, match=r"weights \[.*\]; expected finite ones"):
        weighted_mean(members, weights)


def test_prior_bins_slices_by_their_middles_and_pixels_by_their_area():
    assert Prior().sums.shape == (48, 3, 96, 96) and Prior().counts.shape == (48,)
    mask = np.zeros((4, 8, 8), np.uint8)
    mask[2:, 0, 0] = 0b010
    found = Prior(positions=4, size=2).fit([mask]).predict((8, 2, 2))
    assert found.dtype == np.uint8
    assert found[1, :, 0, 0].tolist() == [0, 0, 0, 0, 16, 16, 16, 16]  # 255 / 16 of a corner
    assert found[1, :, 0, 1:].max() == found[1, :, 1].max() == 0
    four = Prior(positions=4, size=2).fit([np.full((8, 2, 2), 1, np.uint8)])
    assert four.counts.tolist() == [2, 2, 2, 2] and four.sums[:, 0].tolist() == [[[2, 2]] * 2] * 4


def test_prior_is_the_mean_mask_of_the_place():
    """Two scans of other sizes, an organ in both of them and one in the longer alone."""
    one, two = np.zeros((10, 40, 48), np.uint8), np.zeros((20, 80, 80), np.uint8)
    one[5:, 10:20, 12:24] = 0b001
    two[10:, 20:40, 20:40] = 0b001
    two[:, 60:, 60:] = 0b100
    prior = Prior(positions=10, size=40).fit([one, two])
    found = prior.predict((10, 40, 40))
    assert found.shape == (3, 10, 40, 40)
    assert found[0, 7, 14, 14] == 255 and found[0, 2].max() == 0
    assert found[2, 7, 35, 35] == 170  # two slices of the longer scan, one of the other
    assert found[1].max() == 0
