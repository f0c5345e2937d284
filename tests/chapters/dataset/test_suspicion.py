"""A damaged scan comes first among good ones, with its damage as the first reason."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from gutseg.chapters.dataset.measuring import ORGAN_COLUMNS, measure
from gutseg.chapters.dataset.outlying import farthest_part
from gutseg.chapters.dataset.reading import LabelledScan
from gutseg.chapters.dataset.scan_sections import suspicious_section
from gutseg.chapters.dataset.suspicion import limits, steps, suspicious
from gutseg.chapters.dataset.volumes import against_other_days
from gutseg.constants import CLASSES
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.components import Components
from gutseg.synthetic import Visit, draw_labels, roster

# bits of the classes
LARGE, SMALL, STOMACH = 1, 2, 4


def _measured(visit: Visit, mask: np.ndarray) -> pd.DataFrame:
    grid = visit.voxels
    masks = BitRows.from_class_bits(mask, len(CLASSES))
    spacing = (grid.thickness_mm, grid.spacing_mm, grid.spacing_mm)
    ids = np.array([f"{visit.name}_slice_{z + 1:04d}" for z in range(len(mask))])
    scan = LabelledScan(visit.name, masks, np.arange(len(mask)), ids, 1, spacing)
    return pd.DataFrame(measure(scan)[1], columns=ORGAN_COLUMNS).assign(case=visit.case)


@pytest.fixture(scope="module")
def good() -> dict[Visit, np.ndarray]:
    visits, _ = roster(6, 0, "small")
    return {visit: draw_labels(0, visit) for visit in visits}


def _planes(mask: np.ndarray, bit: int) -> np.ndarray:
    return np.flatnonzero((mask & bit).any(axis=(1, 2)))


def _erase(mask: np.ndarray, bit: int, planes: np.ndarray) -> None:
    mask[planes] &= ~np.uint8(bit)


def _lost_organ(mask):
    _erase(mask, LARGE, _planes(mask, LARGE))


def _grown(mask):
    mask |= STOMACH * ndimage.binary_dilation((mask & STOMACH) > 0, iterations=6).astype(np.uint8)
    # what it grew into is no longer the other organs'
    mask[(mask & STOMACH) > 0] = STOMACH


def _cut_at_the_head(mask):
    planes = _planes(mask, STOMACH)
    _erase(mask, STOMACH, planes[: len(planes) // 2])


def _cut_at_the_foot(mask):
    planes = _planes(mask, STOMACH)
    _erase(mask, STOMACH, planes[len(planes) // 2 :])


def _speck(mask):
    mask[_planes(mask, STOMACH)[0], :3, :3] |= STOMACH


def _skipped(mask):
    planes = _planes(mask, LARGE)
    middle = len(planes) // 2
    _erase(mask, LARGE, planes[middle - 2 : middle + 2])


def _shifted(mask):
    planes = _planes(mask, LARGE)
    z = planes[len(planes) // 2]
    moved = np.roll(mask[z] & LARGE, 40, axis=0)
    _erase(mask, LARGE, [z])
    mask[z] |= moved


def _labelled_twice(mask):
    mask |= LARGE * ((mask & STOMACH) > 0).astype(np.uint8)


DAMAGES: dict[str, tuple[Callable[[np.ndarray], None], str]] = {
    "lost organ": (_lost_organ, "no large bowel (usually"),
    "grown": (_grown, "ml on other days"),
    "cut at the head": (_cut_at_the_head, "stomach begins in slice"),
    "cut at the foot": (_cut_at_the_foot, "stomach ends in slice"),
    "speck": (_speck, "a part of stomach (9 voxels) lies"),
    "skipped slices": (_skipped, "4 slices without large bowel between"),
    "shifted slice": (_shifted, "large bowel changes by"),
    "labelled twice": (_labelled_twice, "of stomach is labelled as another organ too"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_scan_comes_first_with_its_damage_as_a_reason(good, name):
    damage, reason = DAMAGES[name]
    measured = {visit.name: _measured(visit, mask) for visit, mask in good.items()}
    before = suspicious(pd.concat(measured.values(), ignore_index=True)).set_index("scan")
    visit = next(v for v in good if v.name == "case2_day2")
    assert before.loc[visit.name, "score"] < 1.5
    mask = good[visit].copy()
    damage(mask)
    measured[visit.name] = _measured(visit, mask)
    table = suspicious(pd.concat(measured.values(), ignore_index=True))
    assert table["scan"][0] == visit.name
    assert reason in table["reasons"][0]


def test_steps_are_counted_from_the_median_to_the_ninth_tenth():
    organs = pd.DataFrame(index=range(11), columns=ORGAN_COLUMNS)
    organs = organs.assign(scan=[f"case{n}_day0" for n in range(11)], organ="stomach")
    organs = organs.assign(ml=100.0, far_mm=np.arange(0.0, 110.0, 10.0), blamed=0.0)
    found = steps(organs)
    # median 50, nine of ten below 90
    assert found["far part"].tolist() == pytest.approx(((organs["far_mm"] - 50) / 40).tolist())
    # all the same: the least difference counts
    assert (found["volume"] == 0).all()
    table = limits(organs.drop(columns="blamed").assign(case=1)).set_index("check")
    assert table.loc["far part", ["usual", "high"]].tolist() == [50, 90]
    assert table.loc["volume", ["usual", "high"]].tolist() == [0, 0.5]


def _alike(count: int) -> pd.DataFrame:
    """Measurements of stomachs that are all the same; the cases are known from elsewhere."""
    organs = pd.DataFrame(0.0, index=range(count), columns=ORGAN_COLUMNS)
    scans = [f"case{n}_day0" for n in range(count)]
    return organs.assign(scan=scans, organ="stomach", ml=100.0, case=range(count), day=0)


def test_all_high_measurements_are_reasons_the_highest_first():
    organs = _alike(20)
    organs.loc[7, ["far_mm", "far_voxels", "far_slice"]] = [60, 5, 12]
    organs.loc[7, ["missing", "first", "last"]] = [9, 20, 40]
    table = suspicious(organs)
    assert table["score"][0] == 9
    assert table["reasons"][0] == (
        "9 slices without stomach between 20 and 40; "
        "a part of stomach (5 voxels) lies 60 mm from the rest, slice 12"
    )
    assert table["score"][1] == 0
    assert table["reasons"][1] == ""


def test_the_section_shows_the_highest_and_where_known_bad_scans_stand():
    organs = _alike(31)
    organs.loc[7, "missing"] = 9
    organs.loc[13, "missing"] = 2
    section = suspicious_section(organs)
    table, chart, *_ = section.parts
    assert table.frame["scan"].tolist()[:2] == ["case7_day0", "case13_day0"]
    assert table.frame["left out by"].tolist()[:3] == [
        *("[Carno 2022], [Hesene 2022], the host", "the host", "")
    ]
    assert table.frame["check"].tolist()[:3] == ["missing", "missing", ""]
    assert "case7_day0 1, case13_day0 2;" in table.note
    assert [len(series.x) for series in chart.series] == [29, 2]
    assert "2 of 31 scans have a score of 2 or more; the highest is 9.0 (case7_day0)" in chart.about


def test_volumes_are_compared_with_the_patients_other_days():
    days = {1: [100.0, 100.0, 400.0], 2: [100.0, 200.0], 3: [150.0], 4: [0.0, 100.0, 100.0]}
    rows = [(case, "stomach", ml) for case, some in days.items() for ml in some]
    organs = pd.DataFrame([*rows, (5, "stomach", 0.0)], columns=["case", "organ", "ml"])
    found = against_other_days(organs)
    change = found["change"].round(3).tolist()
    assert change[:3] == [round(np.log2(100 / 250), 3)] * 2 + [2]
    # of two days the one farther from the median of all (100) is blamed
    assert change[3:5] == [-1, 1]
    assert found["blamed"][3:5].tolist() == [0, 1]
    assert np.isnan(change[5])
    # gone: 16 times less, not infinitely
    assert change[6] == -4
    assert (found["usual_ml"][9], change[9]) == (100, -4)


def test_the_farthest_part_worked_by_hand():
    mask = np.zeros((4, 6, 9), bool)
    mask[0, 0:2, 0:5] = True
    mask[2, 1, 7] = True  # two planes down, three columns on: (6, 0, 4.5) mm
    mask[0, 3, 1] = True  # two rows on
    parts = Components.of(BitRows.from_arrays(mask[None]).words[0])
    far = farthest_part(parts, 6, (3.0, 1.5, 1.5))
    assert (far.components, far.mm, far.voxels, far.plane) == (3, 7.5, 1, 2)


@pytest.mark.parametrize("seed", range(6))
def test_the_farthest_part_is_that_of_all_pairs_of_voxels(seed):
    mask = np.random.default_rng(seed).random((5, 9, 70)) < 0.03
    spacing = (3.0, 1.5, 1.63)
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    points = [np.argwhere(labels == n) * spacing for n in range(1, count + 1)]
    points.sort(key=len, reverse=True)
    gaps = [cdist(own, np.concatenate(points[:n])).min() for n, own in enumerate(points[:32]) if n]
    parts = Components.of(BitRows.from_arrays(mask[None]).words[0])
    far = farthest_part(parts, 9, spacing)
    assert far.components == count
    assert far.mm == pytest.approx(max(gaps))
