"""Every statistic of the data chapter on a folder whose pixels were counted by hand."""

import numpy as np
import pandas as pd
import pytest

from gutseg.chapters.dataset import counts
from gutseg.chapters.dataset.examples import overlapping, typical
from gutseg.chapters.dataset.greys import grey_scales
from gutseg.chapters.dataset.measuring import measure
from gutseg.chapters.dataset.numbers import Numbers, gather
from gutseg.chapters.dataset.published import compare, found
from gutseg.chapters.dataset.reading import LabelledScan, open_data
from gutseg.constants import CLASSES
from gutseg.masks.bit_rows import BitRows
from gutseg.masks.rle_writing import encode
from tests.chapters.dataset.known import write_known


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    return gather(open_data(write_known(tmp_path_factory.mktemp("known"))))


@pytest.fixture(scope="module")
def planes(numbers: Numbers) -> pd.DataFrame:
    assert numbers.planes is not None
    return numbers.planes


def test_slices_scans_and_sizes(numbers):
    slices = numbers.slices
    assert counts.with_and_without(slices)["slices"].to_dict() == {
        "without": 3,
        "with": 5,
        "all": 8,
    }
    assert counts.with_and_without(slices)["%"].tolist() == [37.5, 62.5, 100]
    # case 3 has one scan, case 1 has two
    assert counts.scans_per_case(slices)["cases"].to_dict() == {1: 1, 2: 1}
    assert counts.slices_per_scan(slices)["scans"].to_dict() == {3: 2, 2: 1}
    sizes = counts.image_sizes(slices)
    assert sizes.to_numpy().tolist() == [[6, 4, 1.5, 1.5, 6, 2], [5, 5, 1.5, 1.5, 2, 1]]


def test_organs_of_a_slice(planes):
    assert counts.masks_per_slice(planes)["slices"].tolist() == [3, 2, 2, 1]
    table = counts.organ_combinations(planes).set_index("which")
    assert table["slices"].to_dict() == {
        **{"large bowel": 0, "small bowel": 1, "stomach": 1},
        **{"large bowel + small bowel": 1, "large bowel + stomach": 1},
        **{"small bowel + stomach": 0, "large bowel + small bowel + stomach": 1},
    }
    assert table.loc["small bowel", ["%", "% of slices with as many"]].tolist() == [12.5, 50]
    assert counts.cooccurrence(planes).to_numpy().tolist() == [[3, 2, 2], [2, 3, 1], [2, 1, 3]]


def test_areas_and_runs_of_masks(planes):
    table = counts.masks_per_organ(planes)
    # large bowel: 6, 8 and 4 pixels; 2 runs, 1 that goes on in the next line, 1
    assert table.loc["large bowel"].tolist() == [3, pytest.approx(100 / 3), 6, 8, 1, 2]
    # stomach: 1, 4 and 4 pixels
    assert table.loc["stomach", "median area, pixels"] == 4
    runs = counts.run_histogram(planes)
    assert runs.loc["1–9"].tolist() == [3, 3, 3]
    assert runs.to_numpy().sum() == 9


def test_overlaps_of_pairs_and_of_all_three(planes):
    table = counts.overlaps(planes)
    columns = ["slices together", "that overlap", "%", "median", "largest"]
    assert table[columns].to_numpy().tolist() == [
        [2, 2, 100, 2, 3],
        [2, 1, 50, 2, 2],
        [1, 1, 100, 3, 3],
        [1, 1, 100, 2, 2],
    ]
    bins = counts.overlap_histogram(planes)
    # 1 and 3 pixels; 2; 3; 2
    assert bins.loc["1–2"].tolist() == [1, 1, 0, 1]
    assert bins.loc["3–9"].tolist() == [1, 0, 1, 0]
    assert bins.to_numpy().sum() == 5


@pytest.mark.parametrize("density", [0.2, 0.9, 1.0])
def test_runs_are_those_of_the_text(density):
    mask = (np.random.default_rng(1).random((3, 4, 65)) < density).astype(np.uint8)
    masks = BitRows.from_class_bits(mask, len(CLASSES))
    ids = np.array(["case1_day0_slice_0007", "case1_day0_slice_0009"])
    scan = LabelledScan("case1_day0", masks, np.array([0, 2]), ids, 7, (3.0, 1.5, 1.5))
    planes, organs = measure(scan)
    assert planes["large_bowel runs"].tolist() == [
        len(encode(mask[z]).split()) // 2 for z in (0, 2)
    ]
    assert (organs[0]["first"], organs[0]["last"]) == (7, 9)


def test_positions_and_their_peaks(planes):
    table = counts.positions(planes)
    assert table.index.tolist() == [1, 2, 3]
    assert table["large bowel"].tolist() == [0, 2, 1]
    assert table["small bowel"].tolist() == [0, 3, 0]
    assert table["any organ"].tolist() == [1, 3, 1]
    # slices before the first one listed count as empty
    assert counts.positions(planes[planes["slice"] > 1])["small bowel"].tolist() == [0, 3, 0]
    peaks = counts.peaks(table)
    assert peaks.loc["large bowel"].tolist() == [2, 2, 2, 3]
    assert peaks.loc["stomach"].tolist() == [1, 1, 1, 3]


def test_measurements_of_an_organ(numbers):
    organs = numbers.organs.set_index(["scan", "organ"])
    row = organs.loc["case1_day0", "large_bowel"]
    # 14 pixels of 1.5 x 1.5 x 3 mm
    assert row["ml"] == pytest.approx(14 * 6.75 / 1000)
    assert (row["first"], row["last"], row["missing"], row["components"]) == (2, 3, 0, 1)
    # 6 of 8 pixels in its first slice; the last one ends the scan
    assert row["head"] == 0.75
    assert np.isnan(row["foot"])
    # columns 3 to 5 come and column 2 of the next line goes: 4 of 8 pixels
    assert (row["jump"], row["jump_slice"]) == (0.5, 3)
    assert row["shared"] == pytest.approx(1 / 14)
    stomach = organs.loc["case1_day2", "stomach"]
    assert np.isnan(stomach["head"])
    assert stomach["foot"] == 1
    # 4 pixels of a square go and 4 beside it come; a corner connects them
    assert stomach["jump"] == 8 / 4
    assert stomach["components"] == 1
    assert organs.loc["case3_day1", "stomach"].isna().sum() == 12


def test_examples_are_the_fullest_slice_and_the_largest_overlap_of_each_patient(planes):
    assert typical(planes) == ["case1_day2_slice_0002"]
    # in slice 2 of day 0 the smaller organ has 4 pixels, in slice 3 it has 1
    others = planes[planes["scan"] != "case1_day2"]
    assert typical(others) == ["case1_day0_slice_0002"]
    assert typical(planes[planes["case"] == 3]) == ["case3_day1_slice_0002"]
    assert typical(planes[~planes["has_mask"]]) == []
    # 8 shared pixels against 1 on the other day of the same patient
    assert overlapping(planes) == ["case1_day2_slice_0002"]
    assert overlapping(others) == ["case1_day0_slice_0002"]


def test_grey_scales_of_a_histogram():
    table = grey_scales([("case1_day0", np.array([2, 0, 3, 5, 0], np.uint32))])
    assert table.loc["case1_day0"].tolist() == [0, 2, 3, 3, 3, 20]


def test_the_papers_numbers_are_compared_by_name(numbers):
    here = found(numbers.slices, numbers.planes)
    assert here["slices 6 x 4"] == 6
    assert here["only small bowel"] == 1
    assert here["two organs"] == 2
    assert here["large bowel and stomach"] == 2
    assert (here["peak of small bowel"], here["peak of small bowel, slice"]) == (3, 2)
    table = compare({"cases": 85, "scans of 3 slices": 2, "slices 234 x 234": 144}, here)
    assert table.to_numpy().tolist() == [[85, 2, -83], [2, 2, 0]]
