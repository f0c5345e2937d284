"""The search must score exactly what submit would write."""

import numpy as np
import pytest
from plain_postprocess import finish_plainly

from gutseg.inference.ensemble import weighted_mean
from gutseg.inference.postprocess import Cut, Rule, finish_scan, to_byte
from gutseg.inference.search import Search, Volume
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, compare, summarise

RULES = [
    Rule(0.5),
    Rule(0.3, min_component_size=4, gate=0.6),
    Rule(0.6, min_component_size=30),
    Rule(0.45, min_component_size=1000),
    Rule(0.2, gate=0.9),
    Rule(0.3, gate=0.6, gate_pixels=4),
    Rule(0.4, min_component_size=3, min_run=3),
    Rule(0.5, min_component_ml=0.05, fill_holes=6, hull=0.2),
]
VOXEL_MM = (3.0, 1.5, 1.5)


@pytest.fixture(scope="module")
def scans():
    """Blobs with specks: members (M, C, Z, H, W) uint8 and truth (C, Z, H, W) bool, per scan."""
    rng = np.random.default_rng(0)
    scans = []
    for shape in ((10, 30, 70), (8, 25, 25), (6, 20, 130)):
        z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
        truth, members = [], []
        for _ in range(3):
            centre = [rng.uniform(0.3, 0.7) * side for side in shape]
            far = sum(((a - c) / s) ** 2 for a, c, s in zip((z, y, x), centre, shape, strict=True))
            truth.append(far < 0.02)
            noisy = [np.exp(-far / 0.03) + rng.normal(0, 0.15, shape) for _ in range(2)]
            members.append([(p.clip(0, 1) * 255).astype(np.uint8) for p in noisy])
        truth[2][:] = False
        scans.append((np.swapaxes(np.array(members), 0, 1), np.array(truth)))
    return scans


@pytest.fixture
def search(scans):
    floor = to_byte(0.2)
    volumes = [
        [Volume.crop(m[:, c], t[c], floor, voxel_mm=VOXEL_MM) for m, t in scans] for c in range(3)
    ]
    return Search(volumes, METRICS["default"], threads=2)


def _plain(scans, weights, rules):
    results = []
    for members, truth in scans:
        mean = weighted_mean(members, weights)
        pairs = zip(mean, rules, strict=True)
        masks = np.stack([finish_plainly(p, rule, voxel_mm=VOXEL_MM) for p, rule in pairs])
        pair = BitRows.from_arrays(masks), BitRows.from_arrays(truth)
        results.append(compare("case1_day0", *pair, METRICS["default"]))
    return summarise(results, METRICS["default"]).score


@pytest.mark.parametrize("weights", [(1.0, 0.0), (1.0, 0.4)])
def test_search_and_plain_scoring_agree(scans, search, weights):
    for first in range(len(RULES)):
        rules = [RULES[(first + organ) % len(RULES)] for organ in range(3)]
        for _ in range(2):  # the second time from memory
            assert search.score(weights, rules) == pytest.approx(_plain(scans, weights, rules))


def test_cuts_of_other_weights_do_not_fill_the_memory(scans, search):
    for weights in ((1.0, 0.0), (1.0, 0.4), (1.0, 0.0), (0.3, 1.0)):
        for rules in (RULES[:3], RULES[1:4]):
            found = search.score(weights, rules)
            assert found == pytest.approx(_plain(scans, weights, rules))
    assert {len(volume.cuts) for volumes in search.volumes for volume in volumes} == {2}


def test_limits_are_kept_when_they_are_reached():
    probabilities = np.zeros((3, 4, 5), np.uint8)
    probabilities[:, 1, 2] = 50, 51, 52
    volume = Volume.crop(probabilities[None], np.zeros((3, 4, 5), bool), 51)
    assert volume.members[0, :, 0, 0].tolist() == [51, 52] and volume.first == 1
    cut = Cut(probabilities, 51)
    rules = (Rule(gate=gate / 255) for gate in (51, 52, 53))
    assert [int(np.bitwise_count(cut.apply(rule)).sum()) for rule in rules] == [2, 1, 0]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.gate_pixels == 1])
def test_a_cut_gives_the_mask_of_finish_plainly(scans, rule):
    for members, _ in scans:
        for probabilities in members[0]:
            words = Cut(probabilities, to_byte(rule.threshold)).apply(rule, voxel_ml=0.00675)
            found = finish_plainly(probabilities, rule, voxel_mm=VOXEL_MM)
            expected = BitRows.from_arrays(found[None])
            np.testing.assert_array_equal(words, expected.words[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["default", "one_sided", "no_sqrt3_clip", "page_text"])
def test_a_crop_adds_what_the_whole_volume_does(seed, name):
    """The organ fills a corner of the volume: slices outside the crop count, too."""
    rng = np.random.default_rng(seed)
    shape = (9, 14, 150)
    low = rng.integers(0, (4, 6, 80))
    box = tuple(slice(a, a + n) for a, n in zip(low, (4, 7, 40), strict=True))
    members, truth = np.zeros((2, *shape), np.uint8), np.zeros(shape, bool)
    members[:, *box] = rng.integers(60, 256, (2, 4, 7, 40))
    truth[box] = rng.random((4, 7, 40)) < 0.5
    volume, rule = (
        Volume.crop(members, truth, to_byte(0.2)),
        Rule(0.5, min_component_size=2, gate=0.9),
    )
    assert volume.members.shape == (2, 4, 7, 40) and volume.first == low[0]
    found = volume.evaluate((3.0, 1.0), rule, METRICS[name])
    mask = finish_plainly(weighted_mean(members, [3.0, 1.0]), rule)
    pair = BitRows.from_arrays(mask[None]), BitRows.from_arrays(truth[None])
    plain = compare("s", *pair, METRICS[name])
    assert found.rows == np.isfinite(plain.dice).sum() and found.volumes == 1
    assert found.dice == pytest.approx(np.nansum(plain.dice))
    assert found.hausdorff == pytest.approx(plain.hausdorff[0])
    assert found.score() == pytest.approx(summarise([plain], METRICS[name]).score)


def test_a_crop_knows_which_slices_nobody_predicted():
    """The run of slices 2 and 3 touches slice 4, which is unseen; that of 6 and 7 does not."""
    members, truth = np.zeros((1, 9, 5, 5), np.uint8), np.zeros((9, 5, 5), bool)
    truth[[2, 3, 6, 7], 2, 2] = True
    members[0] = truth * 255
    for unseen, rows in ((4, 2), (1, 2), (8, 2), (0, 0), (None, 0)):
        seen = np.arange(9) != unseen
        volume = Volume.crop(members, truth, 1, seen=seen)
        found = volume.evaluate((1.0,), Rule(min_run=3), METRICS["default"])
        assert (volume.first, found.dice, found.rows) == (2, rows, 4)


@pytest.mark.parametrize("rule", [Rule(0.3, gate=0.6), Rule(0.3, 4, 0.4, gate_pixels=9), Rule(0.4)])
def test_a_crop_is_gated_by_another_run_as_the_whole_scan_is(scans, rule):
    for members, truth in scans:
        ours, theirs = members[:, 1]  # of one class, two runs
        volume = Volume.crop(ours[None], truth[1], to_byte(0.2), gate=theirs)
        found = volume.evaluate((1.0,), rule, METRICS["default"])
        mask = finish_scan(ours[None], [rule], gate=theirs[None])
        plain = compare("s", mask, BitRows.from_arrays(truth[1][None]), METRICS["default"])
        assert found.dice == pytest.approx(np.nansum(plain.dice))
        assert found.rows == np.isfinite(plain.dice).sum()


def test_a_gate_by_area_asks_for_the_mean_once(scans, search, monkeypatch):
    asked = []
    made = weighted_mean
    monkeypatch.setattr(
        "gutseg.inference.search.weighted_mean", lambda *one: asked.append(1) or made(*one)
    )
    volume = search.volumes[0][0]
    for pixels in (2, 3, 4):
        for size in (0, 9):
            volume.evaluate((1.0, 0.4), Rule(0.3, size, 0.6, gate_pixels=pixels), search.metric)
    assert len(asked) == 1 and list(volume.reached) == [to_byte(0.6)]
    volume.evaluate((1.0, 0.4), Rule(0.3, 0, 0.7, gate_pixels=2), search.metric)
    volume.evaluate((1.0, 0.4), Rule(0.4, 0, 0.7, gate_pixels=2), search.metric)
    assert len(asked) == 3


def test_an_empty_volume(scans):
    blank = np.zeros((1, 4, 5, 6), np.uint8)
    volume = Volume.crop(blank, np.zeros((4, 5, 6), bool), 1)
    sums = volume.evaluate((1.0,), Rule(), METRICS["default"])
    assert sums.rows == sums.volumes == 0


@pytest.mark.parametrize("name", ["mle_bench", "slice_2d", "voxel_diagonal", "carno_april"])
def test_metrics_that_mix_classes_are_refused(name):
    with pytest.raises(ValueError, match="choices: default, one_sided"):
        Search([], METRICS[name], threads=1)


@pytest.mark.parametrize(("name", "rows"), [("default", 1), ("page_text", 3)])
def test_slices_that_were_not_predicted_are_no_rows(name, rows):
    """Five slices, three of them predicted, one of those with an organ."""
    seen = np.array([True, False, True, False, True])
    truth = np.zeros((5, 6, 6), bool)
    truth[2, 1:3, 1:3] = True
    members = truth[None].astype(np.uint8) * 255
    volume = Volume.crop(members, truth, 51, seen=seen)
    found = volume.evaluate((1.0,), Rule(), METRICS[name])
    assert (found.rows, found.dice) == (rows, 1.0)
