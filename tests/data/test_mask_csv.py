"""A csv against slices and truth: every issue is named, nothing is guessed."""

import logging
from pathlib import Path

import numpy as np
import pytest
from folders import write_csv
from hypothesis import given, settings
from hypothesis import strategies as st

from gutseg.constants import CLASSES
from gutseg.data.index import Issues, Slices
from gutseg.data.mask_csv import MaskCsv, _read_at_once, _read_line_by_line
from gutseg.masks import rle_writing
from gutseg.metrics.competition import METRICS, summarise
from gutseg.score import score_csv

METRIC = METRICS["default"]
HEIGHT, WIDTH, DEPTH = 20, 70, 4


def _rows(scan: str, seed: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    found = []
    for z in range(DEPTH):
        for organ in CLASSES:
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            top, left = rng.integers(2, 10, 2)
            mask[top : top + 6, left : left + 9] = 1
            found.append([f"{scan}_slice_{z + 1:04d}", organ, rle_writing.encode(mask)])
    return found


@pytest.fixture
def files(tmp_path: Path) -> tuple[list, Path, Path]:
    """Rows of two scans, their truth.csv and their slices.csv."""
    rows = _rows("case1_day0", 0) + _rows("case2_day3", 1)
    write_csv(tmp_path / "truth.csv", rows)
    ids = list(dict.fromkeys(row[0] for row in rows))
    lines = [f"{name},{WIDTH},{HEIGHT}" for name in ids]
    (tmp_path / "slices.csv").write_text("id,width,height\n" + "\n".join(lines) + "\n")
    return rows, tmp_path / "truth.csv", tmp_path / "slices.csv"


def _submission(truth: Path, rows: list) -> Path:
    path = truth.with_name("submission.csv")
    write_csv(path, rows, column="predicted")
    return path


def _refused(files: tuple, rows: list) -> str:
    _, truth, slices = files
    with pytest.raises(ValueError, match="is refused") as error:
        score_csv(_submission(truth, rows), truth, slices, METRIC)
    return str(error.value)


def test_truth_against_itself_is_exactly_one(files):
    rows, truth, slices = files
    found = summarise(score_csv(_submission(truth, rows), truth, slices, METRIC), METRIC)
    assert (found.score, found.dice, found.hausdorff) == (1.0, 1.0, 0.0)


def test_the_order_of_the_rows_does_not_matter(files):
    rows, truth, slices = files
    changed = [row[:2] + [rows[0][2]] for row in rows]
    one = summarise(score_csv(_submission(truth, changed), truth, slices, METRIC), METRIC)
    other = _submission(truth, changed[::-1])
    assert summarise(score_csv(other, truth, slices, METRIC), METRIC) == one
    assert one.score < 1


def test_all_faults_of_a_submission_are_listed_at_once(files):
    rows, *_ = files
    rows = [list(row) for row in rows]
    rows[3][2] = "1 5 x 3"
    rows[4][2] = f"{HEIGHT * WIDTH} 2"
    rows[5][1] = "liver"
    twice = list(rows[7])
    rows[8][0] = "case9_day9_slice_0001"
    message = _refused(files, [*rows, twice])
    for part in (
        "submission.csv row 5 (case1_day0_slice_0002, large_bowel)",
        "submission.csv row 6 (case1_day0_slice_0002, small_bowel)",
        "missing: truth.csv row 7 (case1_day0_slice_0002, stomach)",
        "not in the truth: submission.csv row 7 (case1_day0_slice_0002, liver)",
        "not in the truth: submission.csv row 10 (case9_day9_slice_0001, stomach)",
        "a second time: submission.csv row 26 (case1_day0_slice_0003, small_bowel)",
    ):
        assert part in message
    assert (
        "7 issues against " in message and "truth.csv (--missing empty" in message
    )  # the six above and the row that row 10 should have been


def test_missing_rows_of_a_whole_scan_share_a_line(files):
    rows, *_ = files
    message = _refused(files, rows[:12])
    assert message.count("missing: truth.csv row") == 5
    assert "missing: 7 more rows of case2_day3" in message


def test_missing_empty_scores_faulty_rows_as_empty(files, caplog):
    rows, truth, slices = files
    broken = [list(row) for row in rows[:-1]]
    broken[0][2] = "7"
    emptied = [list(row) for row in rows]
    emptied[0][2] = emptied[-1][2] = ""
    expected = score_csv(_submission(truth, emptied), truth, slices, METRIC)
    with caplog.at_level(logging.WARNING):
        found = score_csv(_submission(truth, broken), truth, slices, METRIC, "empty")
    assert summarise(found, METRIC) == summarise(expected, METRIC)
    assert caplog.text.count("taken for empty") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bad.csv is empty; give a csv of id, class"),
        ("\n", "bad.csv: header is empty; expected id,class,segmentation or id,class,predicted"),
        ("\0\0", "bad.csv is not a readable csv: it holds binary data; give a csv of id"),
        ("id,mask\na,b\n", "header is id,mask; expected id,class,segmentation"),
        (
            "id,class,predicted\na,stomach\n",
            "bad.csv row 2: has 2 fields; expected id,class,predicted; give",
        ),
    ],
)
def test_files_that_are_no_masks(tmp_path, files, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        MaskCsv(path, Slices.read(files[2]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("case1_day0_slice_1,70,20", "row 10: id 'case1_day0_slice_1' is not of the form"),
        ("case1_day0_slice_0001,70,20", "row 10: id 'case1_day0_slice_0001' is listed twice"),
        ("case1_day0_slice_0005,60,20", "case1_day0 has slices of two sizes"),
    ],
)
def test_slices_that_cannot_be(files, line, message):
    path = files[2]
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=message):
        Slices.read(path)


def test_a_truth_of_other_slices_is_named(files):
    rows, truth, slices = files
    lines = slices.read_text().splitlines()
    slices.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(ValueError, match="case2_day3_slice_0004.* no such slice in"):
        score_csv(_submission(truth, rows), truth, slices, METRIC)


@pytest.mark.parametrize("bad", ["id,class,segmentation", "case1_day0_slice_1,stomach,", "x,y,"])
def test_a_malformed_id_of_the_truth_is_no_scan_to_leave_out(files, bad):
    rows, truth, slices = files
    ours = _submission(truth, rows)
    truth.write_text(truth.read_text() + f"{bad}\n")
    with pytest.raises(ValueError, match=f"truth.csv row .*{bad.split(',')[0]}.* id is not of"):
        score_csv(ours, truth, slices, METRIC)


def test_scans_that_the_slices_do_not_list_are_left_out(files, caplog):
    """As the real train.csv: 13 of its scans have no PNG beside it."""
    rows, truth, slices = files
    lines = slices.read_text().splitlines()
    slices.write_text("\n".join(line for line in lines if "case2" not in line) + "\n")
    with caplog.at_level(logging.WARNING):
        found = score_csv(_submission(truth, rows), truth, slices, METRIC)
    assert [result.scan for result in found] == ["case1_day0"]
    assert "1 scans that" in caplog.text and "left out: case2_day3" in caplog.text
    alone = score_csv(_submission(truth, rows[: 3 * DEPTH]), truth, slices, METRIC)
    assert summarise(alone, METRIC).counts["rows"] == 3 * DEPTH


LINES = st.sampled_from(
    [
        *("a,b,c", "case1_day0_slice_0001,stomach,1 2", ",,", "a,b,", " a , b,c ", "é,日本,x"),
        *("", "   ", "a,b", "a,b,c,d", "a,b,'c'", '"a",b,c', '"a,b,c', "a,b\t,c\0", "a\x0bb,c,d"),
    ]
)


@given(
    lines=st.lists(LINES, max_size=6),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    last=st.booleans(),
    spoilt=st.booleans(),
)
@settings(max_examples=400)
def test_what_is_read_at_once_is_what_is_read_line_by_line(lines, ends, last, spoilt):
    names = ["id", "class", "predicted"]
    content = ends.join([",".join(names), *lines]).encode() + ends.encode() * last
    content += b"\xe9,1,1" * spoilt
    fast, issues = _read_at_once(content, names), Issues(collect=True)
    slow = _read_line_by_line(content, names, Path("s.csv"), issues)
    regular = all(line.count(",") == 2 and '"' not in line and line[0] != "," for line in lines)
    assert fast is not None or not lines or spoilt or not regular
    assert fast is None or (fast.equals(slow) and not issues.rows)


def test_rows_are_named_by_their_line_in_the_file(files):
    rows, truth, slices = files
    path = _submission(truth, rows)
    text = path.read_text().replace("\n", "\n\n", 2)
    path.write_text(text + "case1_day0_slice_0001,stomach,\n")
    with pytest.raises(ValueError, match=r"a second time: submission.csv row 28 \(case1_day0_sl"):
        score_csv(path, truth, slices, METRIC)


def test_slices_of_the_real_folder(real_data):
    root = real_data / "uwmgi" / "uw-madison-gi-tract-image-segmentation"
    known = Slices.read(root)
    assert dict(zip(known.names, known.shapes, strict=True)) == {
        "case2_day1": (3, 144, 266, 266),
        "case85_day0": (3, 1, 310, 360),
    }
