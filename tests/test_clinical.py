"""`gutseg score --metric clinical` of a csv: every number worked out by hand."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from gutseg.constants import CLASSES
from gutseg.masks import rle_writing
from gutseg.metrics.clinical import Clinical, measure_organ
from gutseg.score import score

SHAPE = (4, 6, 8)
HEADER = "id,class,segmentation"


def box(*ends: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*pair) for pair in ends)] = True
    return mask


# stomach is two columns off, large bowel is missed in one scan and absent in the other, small
# bowel is invented in one and exact in the other
TRUTH = {
    "case1_day0": {
        "stomach": box((1, 3), (1, 5), (1, 4)),
        "large_bowel": box((0, 2), (0, 2), (0, 2)),
    },
    "case2_day3": {"small_bowel": box((0, 4), (2, 4), (2, 6))},
}
PREDICTED = {
    "case1_day0": {
        "stomach": box((1, 3), (1, 5), (3, 6)),
        "small_bowel": box((3, 4), (5, 6), (0, 1)),
    },
    "case2_day3": {"small_bowel": box((0, 4), (2, 4), (2, 6))},
}


def write(folder: Path, columns: str = ",spacing_y,spacing_x", values: str = ",2.0,1.0") -> dict:
    for name, scans in (("truth", TRUTH), ("submission", PREDICTED)):
        rows = [HEADER] + [
            f"{scan}_slice_{z + 1:04d},{organ},"
            + rle_writing.encode(masks.get(organ, np.zeros(SHAPE, bool))[z])
            for scan, masks in scans.items()
            for z in range(SHAPE[0])
            for organ in CLASSES
        ]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    rows = [f"id,width,height{columns}"] + [
        f"{scan}_slice_{z + 1:04d},8,6{values}" for scan in TRUTH for z in range(SHAPE[0])
    ]
    (folder / "slices.csv").write_text("\n".join(rows) + "\n")
    return {
        "source": folder / "submission.csv",
        "truth": folder / "truth.csv",
        "slices": folder / "slices.csv",
        "metric": "clinical",
    }


def test_a_csv_in_millimetres(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    score(**write(tmp_path), tolerance=1.0, json=tmp_path / "s.json", by="class,case,scan")
    found = json.loads((tmp_path / "s.json").read_text())
    # voxels of 3 x 2 x 1 mm; 2 x 4 x 3 of them, all edges, moved by 2 mm: one column is shared
    stomach = found["per_scan"]["case1_day0"]["stomach"]
    assert stomach["outcome"] == "found"
    assert stomach["dice"] == pytest.approx(8 / 24)
    assert stomach["hausdorff"] == stomach["hausdorff_95"] == 2
    # of three columns one lies on the other mask, one is 1 mm away and one 2 mm
    assert stomach["mean_distance"] == pytest.approx(1)
    assert stomach["surface_dice"] == pytest.approx(2 / 3)
    assert stomach["volume_error"] == 0
    assert stomach["truth_volume"] == pytest.approx(24 * 6 / 1000)
    diagonal = math.sqrt(12**2 + 12**2 + 8**2)
    missed = found["per_scan"]["case1_day0"]["large_bowel"]
    assert missed["outcome"] == "missed"
    assert missed["hausdorff"] == missed["mean_distance"] == pytest.approx(diagonal)
    assert (missed["dice"], missed["surface_dice"]) == (0, 0)
    assert missed["volume_error"] == pytest.approx(-8 * 6 / 1000)
    small = found["per_class"]["small_bowel"]
    assert (small["pairs"], small["found"], small["invented"], small["missed"]) == (2, 1, 1, 0)
    # exact in one scan and invented in the other
    assert small["mean"]["dice"] == small["median"]["dice"] == 0.5
    assert small["mean"]["hausdorff_95"] == pytest.approx(diagonal / 2)
    whole = found["all"]
    assert [whole[key] for key in ("pairs", "missed", "invented", "absent")] == [4, 1, 1, 2]
    assert found["per_scan"]["case2_day3"]["stomach"]["hausdorff"] is None
    shown = capsys.readouterr().out
    assert "case2 " in shown and shown.count("invented") > 2 and "NSD at 1 mm" in shown
    assert "(means over 4 pairs of scan and organ, 1 missed, 1 invented)" in shown
    assert f"{diagonal / 2:.1f} ({diagonal / 2:.1f})" in shown


def test_a_missed_organ_may_be_infinitely_far(tmp_path: Path) -> None:
    score(**write(tmp_path), one_empty="inf", json=tmp_path / "s.json")
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["per_class"]["large_bowel"]["mean"]["hausdorff"] is None
    assert found["per_class"]["stomach"]["mean"]["hausdorff"] == 2
    # 3 mm by default
    assert found["tolerance_mm"] == 3 and found["one_empty"] == "inf"


@pytest.mark.parametrize("columns, values, pixel", [
    (",file", ",train/x/slice_0001_8_6_0.50_0.50.png", 0.5),
    # an empty cell says nothing; neither does the name of another file
    (",spacing_y,spacing_x,file", ",,,train/x/slice_0001_8_6_0.50_0.50.png", 0.5),
    (",file", ",image.png", None),
    ("", "", None),
])  # fmt: skip
def test_where_the_size_of_pixels_is_from(
    tmp_path: Path, caplog, columns: str, values: str, pixel: float | None
) -> None:
    with caplog.at_level(logging.WARNING):
        score(**write(tmp_path, columns, values), json=tmp_path / "s.json")
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["per_class"]["stomach"]["mean"]["hausdorff"] == 2 * (pixel or 1.5)
    assumed = "voxels of 3 x 1.5 x 1.5 mm are assumed in 2 scans (case1_day0, case2_day3)"
    assert (assumed in caplog.text) == (pixel is None)


@pytest.mark.parametrize("values", [",0.0,1.0", ",1.5,nan", ",-1,1", ",1.5,1e3", ",1.5,"])
def test_pixels_of_no_size_are_refused(tmp_path: Path, values: str) -> None:
    with pytest.raises(ValueError, match="case1_day0 has pixels of .* mm; expected two numbers"):
        score(**write(tmp_path, values=values))


def test_options_of_clinical_alone(tmp_path: Path) -> None:
    files = write(tmp_path)
    for options, message in (
        ({"metric": "default", "tolerance": 2.0}, "--tolerance is for --metric clinical"),
        ({"metric": "default", "one_empty": "inf"}, "--one-empty is for --metric clinical"),
        ({"tolerance": -1.0}, "--tolerance -1.0; expected 0 to 1000 mm"),
        ({"tolerance": math.nan}, "--tolerance nan"),
    ):
        with pytest.raises(ValueError, match=message):
            score(**files | options)


def test_by_fold(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folds = tmp_path / "folds.csv"
    folds.write_text("case,fold\n1,1\n2,0\n")
    score(**write(tmp_path), by="fold", folds=folds)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        *(["fold", "0", "1"], ["fold", "1", "3"]),
        ["all", "4", "1"],
    ]
    folds.write_text("case,fold\n1,1\n3,0\n")
    with pytest.raises(ValueError, match="assigns no fold to case2"):
        score(**write(tmp_path), by="fold", folds=folds)


def test_nothing_to_measure(tmp_path: Path) -> None:
    files = write(tmp_path)
    for name in ("truth", "submission"):
        lines = (tmp_path / f"{name}.csv").read_text().splitlines()
        empty = [HEADER, *(line.rpartition(",")[0] + "," for line in lines[1:])]
        (tmp_path / f"{name}.csv").write_text("\n".join(empty) + "\n")
    with pytest.raises(ValueError, match="no scan shows an organ"):
        score(**files)


def test_volumes_count_before_distances() -> None:
    """An organ twice as large as it should be: ml come from the spacing."""
    words = np.zeros((2, 1, 4, 1), np.uint64)
    words[0, 0, :2], words[1, 0, :1] = 0b111, 0b111
    found = measure_organ("s", "o", tuple(words), (1, 4, 3), (10.0, 10.0, 10.0), Clinical())
    assert (found.volume_error, found.truth_volume) == (3, 3)
    assert found.dice == pytest.approx(6 / 9) and found.hausdorff == 10
