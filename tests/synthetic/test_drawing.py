"""The phantom against the calibration table of docs/phantom.md (27 real scans of 10 patients)."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from scipy import ndimage

from gutseg.constants import CLASSES, NATIVE_SIZES
from gutseg.synthetic import Visit, draw_labels, draw_scan, roster, voxels
from gutseg.synthetic.labels import draw_body
from gutseg.synthetic.scanner import draw_scanner
from gutseg.synthetic.shapes import draw_tube, smooth_path

# Statistic: (real mean, tolerance of the phantom's mean over 16 patients). A tolerance is two to
# three standard errors of 16 patients, so that an organ moved by 3 cm, doubled, halved or
# dropped leaves it.
TABLE = {
    "large_bowel": {
        "voxels": (79_900, 20_000),
        "first": (59, 7),
        "last": (113, 6),
        "slices": (55, 7),
        "components": (1.6, 0.6),
        "share": (0.90, 0.09),
        "centre_z": (0.62, 0.045),
        "centre_y": (0.36, 0.02),
        "centre_x": (0.49, 0.03),
        "height": (0.30, 0.03),
        "width": (0.66, 0.04),
        "runs": (60, 15),
    },
    "small_bowel": {
        "voxels": (69_600, 17_000),
        "first": (69, 7),
        "last": (113, 6),
        "slices": (44, 6),
        "components": (2.2, 0.8),
        "share": (0.94, 0.09),
        "centre_z": (0.65, 0.045),
        "centre_y": (0.39, 0.02),
        "centre_x": (0.57, 0.03),
        "height": (0.29, 0.03),
        "width": (0.49, 0.04),
        "runs": (82, 18),
    },
    "stomach": {
        "voxels": (32_400, 6_000),
        "first": (48, 7),
        "last": (82, 7),
        "slices": (34, 5),
        "components": (1.1, 0.3),
        "share": (0.999, 0.005),
        "centre_z": (0.43, 0.045),
        "centre_y": (0.38, 0.02),
        "centre_x": (0.59, 0.03),
        "height": (0.27, 0.03),
        "width": (0.28, 0.03),
        "runs": (33, 10),
    },
}
# Voxels, smallest and largest of the 27 real scans.
VOLUMES = {
    "large_bowel": (13_900, 169_200),
    "small_bowel": (18_300, 213_400),
    "stomach": (16_100, 53_600),
}


def measure(organ: np.ndarray) -> dict[str, float]:
    """The statistics of TABLE of one organ, (Z, H, W) bool; slices are numbered from 1."""
    along = [organ.any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    low, high = (np.array([np.flatnonzero(a)[end] for a in along]) for end in (0, -1))
    box = organ[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
    parts = np.bincount(ndimage.label(box, np.ones((3, 3, 3)))[0].ravel())[1:]
    profiles = (box.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    centre = [np.average(np.arange(len(p)) + 0.5, weights=p) for p in profiles]
    centre = (low + centre) / organ.shape
    extent = (high - low + 1) / organ.shape
    starts = box[:, :, 0].sum(1) + (box[:, :, 1:] > box[:, :, :-1]).sum((1, 2))
    return {
        "voxels": int(box.sum()),
        "first": low[0] + 1,
        "last": high[0] + 1,
        "slices": int(along[0].sum()),
        "components": len(parts),
        "share": parts.max() / parts.sum(),
        "centre_z": centre[0],
        "centre_y": centre[1],
        "centre_x": centre[2],
        "height": extent[1],
        "width": extent[2],
        "runs": float(np.median(starts[along[0][low[0] : high[0] + 1]])),
    }


def organs(mask: np.ndarray) -> dict[str, np.ndarray]:
    return {name: (mask >> bit & 1).astype(bool) for bit, name in enumerate(CLASSES)}


def full_scans(patients: int, seed: int = 0) -> list[Visit]:
    """The first 144-slice scan of every patient, as in the real sample: 266 or 360 wide."""
    firsts = {}
    for scan in roster(patients + 10, seed, "full")[0]:
        if scan.voxels.num_slices == 144 and scan.voxels.width in (266, 360):
            firsts.setdefault(scan.case, scan)
    return list(firsts.values())[:patients]


def small_scans(count: int) -> list[Visit]:
    """Scans of different patients on one grid, 133 x 133 x 48."""
    firsts = {}
    for scan in roster(60, 0, "small")[0]:
        if scan.voxels.shape == (48, 133, 133):
            firsts.setdefault(scan.case, scan)
    return list(firsts.values())[:count]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


@pytest.fixture(scope="module")
def masks() -> list[np.ndarray]:
    return [draw_labels(0, scan) for scan in full_scans(16)]


@pytest.fixture(scope="module")
def measured(masks: list[np.ndarray]) -> dict[str, list[dict[str, float]]]:
    return {name: [measure(organs(mask)[name]) for mask in masks] for name in CLASSES}


@pytest.mark.parametrize("name", CLASSES)
def test_means_match_the_real_table(name: str, measured: dict):
    rows = measured[name]
    found = {key: np.mean([row[key] for row in rows]) for key in TABLE[name]}
    off = {
        key: f"{found[key]:.3g}, real {real}"
        for key, (real, tolerance) in TABLE[name].items()
        if abs(found[key] - real) > tolerance
    }
    assert not off


@pytest.mark.parametrize("name", CLASSES)
def test_patients_vary_as_the_real_ones_do(name: str, measured: dict):
    volumes = [row["voxels"] for row in measured[name]]
    low, high = VOLUMES[name]
    assert 0.6 * low < min(volumes) and max(volumes) < 1.6 * high
    # Coefficients of variation of the real volumes: 0.50, 0.51 and 0.29.
    assert 0.15 < np.std(volumes) / np.mean(volumes) < 0.7
    for key in ("first", "last"):
        assert 6 < np.std([row[key] for row in measured[name]]) < 18, key


def test_labels_overlap_a_little(masks: list[np.ndarray]):
    # real, (scans with any, most voxels): .89 and 491, .67 and 1574, .11 and 25
    limits = (((0, 1), (0.7, 1.0), 1000), ((1, 2), (0.4, 0.9), 2000), ((0, 2), (0.0, 0.35), 200))
    for (a, b), (low, high), most in limits:
        common = np.array([((m >> a) & (m >> b) & 1).sum() for m in masks])
        assert low <= np.mean(common > 0) <= high, (CLASSES[a], CLASSES[b])
        assert common.max() < most


def test_no_crumbs_are_left_where_organs_were_cut(masks: list[np.ndarray]):
    for mask in masks:
        for name, organ in organs(mask).items():
            levels = np.flatnonzero(organ.any(axis=(1, 2)))
            span = organ[levels[0] : levels[-1] + 1]
            parts, _ = ndimage.label(span, np.ones((3, 3, 3)))
            # the end of the labels may cut a small piece off; above it none is below 0.4 ml
            above = np.setdiff1d(np.unique(parts[:-1]), np.unique(parts[-1]))
            sizes = np.bincount(parts.ravel())[above[above > 0]]
            assert (sizes * 3 * 1.5**2 >= 400).all(), name


def test_labels_keep_off_the_ends(masks: list[np.ndarray]):
    for mask in masks:
        assert not mask[0].any() and not mask[137:].any()
        assert not (mask[127:] & 4).any()
        assert mask.max() < 8


def test_both_bowels_end_on_the_same_slice(measured: dict):
    pairs = zip(measured["large_bowel"], measured["small_bowel"], strict=True)
    assert np.mean([abs(a["last"] - b["last"]) <= 1 for a, b in pairs]) > 0.8


@pytest.mark.slow
def test_means_match_for_other_patients():
    masks = [draw_labels(7, scan) for scan in full_scans(32, seed=7)]
    for name in CLASSES:
        rows = [measure(organs(mask)[name]) for mask in masks]
        for key, (real, tolerance) in TABLE[name].items():
            assert abs(np.mean([row[key] for row in rows]) - real) <= tolerance, (name, key)


def test_small_covers_the_same_millimetres():
    for size in NATIVE_SIZES:
        full, small = (voxels(size, preset) for preset in ("full", "small"))
        assert (small.width, small.height) == (size[0] // 2, size[1] // 2)
        for a, b in (
            (full.width * full.spacing_mm, small.width * small.spacing_mm),
            (full.num_slices * full.thickness_mm, small.num_slices * small.thickness_mm),
        ):
            assert a == pytest.approx(b, abs=3.3)
    scan = full_scans(1)[0]
    small = Visit(scan.case, scan.day, voxels((266, 266), "small"), scan.is_large)
    full = Visit(scan.case, scan.day, voxels((266, 266), "full"), scan.is_large)
    for name in CLASSES:
        a, b = (organs(draw_labels(0, s))[name].sum() for s in (full, small))
        # a voxel of the small preset is twelve of the full one
        assert 12 * b == pytest.approx(a, rel=0.12), name


def test_image_of_a_full_scan_looks_measured():
    scan = next(s for s in full_scans(8) if not s.is_large)
    drawn = draw_scan(0, scan)
    image = drawn.image.astype(float)
    assert drawn.image.dtype == np.uint16 and drawn.image.shape == (144, 266, 266)
    assert np.array_equal(drawn.mask, draw_labels(0, scan))
    # case2_day1, in units of its 95th percentile: 50 % .028, 75 % .30, 99 % 1.28, maximum 2.63
    quarter, half, most, bright = np.percentile(image, [25, 50, 75, 99]) / np.percentile(image, 95)
    assert quarter < 0.02 and 0.01 < half < 0.06
    assert 0.2 < most < 0.5 and 1.1 < bright < 1.7
    assert 1.6 < image.max() / np.percentile(image, 95) < 5
    # median of the organs, same units: .30, .39, .30
    middle = {name: np.median(image[organ]) for name, organ in organs(drawn.mask).items()}
    scale = np.percentile(image, 95)
    assert 0.15 < middle["large_bowel"] / scale < 0.45
    assert 0.25 < middle["small_bowel"] / scale < 0.6
    assert 0.15 < middle["stomach"] / scale < 0.45
    # noise, but only where the scanner sees; nothing is exactly zero inside the body
    assert not drawn.image[:, 0].any() and image[:, 20:30, 100:160].std() > 0
    inside = organs(drawn.mask)["large_bowel"]
    assert (image[inside] > 0).mean() > 0.99


def test_scans_differ_in_scale_more_than_tenfold():
    largest = []
    for scan in small_scans(12):
        largest.append(draw_scanner(0, scan.case, scan.day, draw_body(0, scan)).largest)
    assert min(largest) >= 200 and max(largest) <= 15_865
    assert max(largest) > 10 * min(largest)
    scan = small_scans(1)[0]
    assert draw_scan(0, scan).image.max() == largest[0]


def test_no_threshold_finds_an_organ():
    scan = small_scans(2)[1]
    drawn = draw_scan(0, scan)
    image = drawn.image / np.percentile(drawn.image, 99)
    edges = np.linspace(0, 1.2, 25)
    for name, organ in organs(drawn.mask).items():
        best = max(
            dice((image >= low) & (image < high), organ)
            for low in edges
            for high in edges
            if high > low
        )
        assert best < 0.35, name


def test_no_position_finds_an_organ():
    scans = small_scans(12)
    masks = np.stack([draw_labels(0, scan) for scan in scans])
    for name in CLASSES:
        truth = np.stack([organs(mask)[name] for mask in masks])
        # what the other patients have there, at the best of several thresholds
        others = (truth.sum(0) - truth) / (len(scans) - 1)
        best = max(
            np.mean([dice(o > share, t) for o, t in zip(others, truth, strict=True)])
            for share in (0.0, 0.1, 0.2, 0.3, 0.4)
        )
        assert best < 0.5, name


def test_a_patient_stays_the_same_between_days():
    visits = {}
    for scan in roster(20, 0, "small")[0]:
        if scan.voxels.shape == (48, 133, 133):
            visits.setdefault(scan.case, []).append(scan)
    pairs = [days[:2] for days in visits.values() if len(days) > 1][:6]
    drawn = [[draw_labels(0, scan) > 0 for scan in pair] for pair in pairs]
    same = np.mean([dice(first, second) for first, second in drawn])
    other = np.mean([dice(a[0], b[1]) for a, b in zip(drawn, drawn[1:] + drawn[:1], strict=True)])
    assert same > 1.5 * other
    assert same < 0.85


def test_a_scan_depends_on_seed_case_and_day_only():
    scan = small_scans(1)[0]
    first, again = draw_scan(0, scan), draw_scan(0, scan)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.mask, again.mask)
    later = Visit(scan.case, scan.day + 1, scan.voxels, scan.is_large)
    other = Visit(scan.case + 1, scan.day, scan.voxels, scan.is_large)
    for seed, changed in ((1, scan), (0, later), (0, other)):
        assert not np.array_equal(draw_labels(seed, changed), first.mask)


@pytest.mark.parametrize("preset", ["small", "full"])
def test_more_cases_leave_the_others_as_they_are(preset: str):
    few, many = roster(5, 3, preset), roster(30, 3, preset)
    assert many[0][: len(few[0])] == few[0]
    assert set(few[1]) <= set(many[1])
    assert not set(many[0]) & set(many[1])


def test_roster_has_the_real_shares():
    train, hidden = roster(85, 0, "full")
    days = Counter(Counter(scan.case for scan in train).values())
    assert days == {1: 9, 2: 8, 3: 45, 4: 2, 5: 20, 6: 1}
    # real: 180, 78, 15 and 1 of 274
    sizes = Counter((scan.voxels.width, scan.voxels.height) for scan in train)
    assert len(train) == 274 and set(sizes) == set(NATIVE_SIZES)
    assert 150 < sizes[266, 266] < 215 and 40 < sizes[360, 310] < 110
    assert 5 < sizes[276, 276] < 30 and sizes[234, 234] < 8
    assert 0.18 < len(hidden) / len(train) < 0.30
    for scan in train:
        assert scan.voxels.num_slices == (80 if scan.voxels.width == 276 else 144)


@pytest.mark.parametrize("seed", range(5))
def test_small_roster_is_small_and_has_everything(seed: int):
    train, hidden = roster(12, seed, "small")
    assert len(train) == 24
    assert len(roster(4, seed, "small")[0]) == 8
    sizes = {(scan.voxels.width, scan.voxels.height) for scan in roster(4, seed, "small")[0]}
    assert sizes == {(133, 133), (180, 155), (138, 138), (117, 117)}
    known = {scan.case for scan in train}
    last = {scan.case: scan.day for scan in train}
    later = [scan for scan in hidden if scan.case in known]
    assert later and len(later) < len(hidden)
    assert all(scan.day > last[scan.case] for scan in later)
    assert 5 <= len(hidden) <= 7


def test_names_put_the_width_first():
    scan = Visit(2, 1, voxels((360, 310), "full"), True)
    assert scan.name == "case2_day1"
    assert scan.file_name(1) == "slice_0001_360_310_1.50_1.50.png"
    assert scan.voxels.shape == (144, 310, 360)


def test_bad_arguments_name_the_choices():
    with pytest.raises(ValueError, match=r"preset 'tiny' is unknown; choices: small, full"):
        roster(3, 0, "tiny")
    with pytest.raises(ValueError, match="cases is 0; at least 1"):
        roster(0, 0, "small")
    with pytest.raises(ValueError, match="seed is -1"):
        roster(3, -1, "small")
    with pytest.raises(ValueError, match=r"size \(310, 360\) is not one of"):
        voxels((310, 360), "full")


def test_a_straight_tube_has_the_volume_of_a_cylinder_with_round_ends():
    grid = voxels((266, 266), "full")
    path = smooth_path(np.array([(200, 0, -60, 15), (200, 0, 0, 15), (200, 0, 60, 15)], float), 2.0)
    tube = draw_tube(grid, path)
    expected = np.pi * 15**2 * 120 + 4 / 3 * np.pi * 15**3
    assert (tube.distance < 0).sum() * 3 * 1.5**2 == pytest.approx(expected, rel=0.03)


def test_drawing_needs_no_torch():
    code = "import sys, gutseg.phantom; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
