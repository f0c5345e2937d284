"""gutseg validate: what Kaggle would refuse, found row by row, and nothing else."""

import random

import pandas as pd
import pytest
from folders import draw, write_csv, write_scan

from gutseg.constants import CLASSES
from gutseg.data.submission_issues import in_order
from gutseg.validate import validate

IDS = [f"case7_day0_slice_{number:04d}" for number in (3, 1, 2)]
ROWS = [(slice_id, organ, "1 3 10 2") for slice_id in IDS for organ in CLASSES]


@pytest.fixture
def check(tmp_path, capsys):
    """A function that validates rows, or a whole text, and returns the lines that it prints."""
    sample = tmp_path / "sample_submission.csv"
    write_csv(sample, [(slice_id, organ, "") for slice_id, organ, _ in ROWS], "predicted")

    def run(content, refused=True, **options):
        path = tmp_path / "submission.csv"
        if isinstance(content, str):
            path.write_text(content)
        else:
            write_csv(path, content, "predicted")
        if refused:
            with pytest.raises(ValueError, match=r"submission.csv has \d+ faults? in \d+ rows"):
                validate(path, sample, **options)
        else:
            validate(path, sample, **options)
        return capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()

    return run


def _with(place, value, column=2):
    rows = [list(row) for row in ROWS]
    rows[place][column] = value
    return rows


def test_a_submission_in_the_order_of_the_sample_is_valid(check):
    assert check(ROWS, refused=False) == ["submission.csv: valid, 9 rows, 9 not empty"]
    assert check(_with(4, ""), refused=False) == ["submission.csv: valid, 9 rows, 8 not empty"]


RUNS = {
    "5": "predicted, pair 1: start 5 has no length; expected `start length` pairs, found 1 numbers",
    "0 4": "predicted, pair 1: start 0 length 4 is not positive; starts and lengths count from 1",
    "7 0": "predicted, pair 1: start 7 length 0 is not positive; starts and lengths count from 1",
    "9 2 3 1": "predicted, pair 2: start 3 length 1 begins before pair 1 ends at 10; "
    "runs must be sorted",
    "3 4 5 2": "predicted, pair 2: start 5 length 2 begins before pair 1 ends at 6; "
    "runs must be sorted",
    "111600 2": "predicted, pair 1: start 111600 length 2 runs past the end of a 310x360 slice "
    "(111600 pixels)",
    "1 2 nan": "predicted, pair 2: expected a whole number, found 'nan'",
    "-1 2": "predicted, pair 1: expected a whole number, found '-1'",
    "[[0, 1]]": "predicted, pair 1: expected a whole number, found '[[0,'",
}


@pytest.mark.parametrize("text", RUNS)
def test_runs(check, text):
    assert check(_with(4, text)) == [f"submission.csv row 6: {RUNS[text]}"]


def test_the_last_pixel_may_be_set(check):
    check(_with(4, "111600 1"), refused=False)
    check(_with(4, "1 111600"), refused=False)


def test_ids_classes_and_duplicates(check):
    assert check(_with(0, "case7", 0)) == [
        "submission.csv row 2: id 'case7' is not of the form case123_day20_slice_0001",
        "submission.csv: row 2 of the sample is missing: case7_day0_slice_0003, large_bowel",
    ]
    assert check(_with(1, "liver", 1))[0] == (
        "submission.csv row 3: class 'liver' is not one of large_bowel, small_bowel, stomach"
    )
    assert check([*ROWS, ROWS[4]]) == [
        "submission.csv row 11: id 'case7_day0_slice_0001' is listed twice with this class"
    ]
    assert check([*ROWS, ("case8_day0_slice_0001", "stomach", "")]) == [
        "submission.csv row 11: case8_day0_slice_0001, stomach is not in the sample"
    ]


def test_a_row_that_moved_is_one_fault_and_not_all_rows_after_it(check):
    moved = [*ROWS[1:], ROWS[0]]
    assert check(moved) == [
        "submission.csv row 10: case7_day0_slice_0003, large_bowel is out of order: "
        "it is row 2 of the sample"
    ]
    assert check(ROWS[:4] + ROWS[5:]) == [
        "submission.csv: row 6 of the sample is missing: case7_day0_slice_0001, small_bowel"
    ]
    assert len(check(ROWS[::-1])) == len(ROWS) - 1


def test_lines_that_are_not_rows(check):
    lines = ["id,class,predicted", *(",".join(row) for row in ROWS)]
    assert check("\n".join([*lines[:3], "", *lines[3:]]) + "\n", refused=False)
    lines[4] += ",7"
    assert check("\n".join(lines) + "\n")[0] == (
        "submission.csv row 5: has 4 fields; expected id,class,predicted"
    )


def test_faults_come_by_row_and_only_so_many_are_printed(check):
    rows = [(f"{slice_id}0", organ, "1 0") for slice_id, organ, _ in ROWS]
    lines = check(rows, max_faults=3)
    assert [line.split(":")[0] for line in lines[:3]] == [
        *("submission.csv row 2", "submission.csv row 2", "submission.csv row 3")
    ]
    # of every row the id and the runs, and every row of the sample
    assert lines[3:] == ["... and 24 more (--max-faults 0 prints all)"]
    assert len(check(rows, max_faults=0)) == 27


def test_the_images_say_how_long_a_slice_is(check, tmp_path):
    write_scan(tmp_path / "raw", "case7_day0", *draw(3, 20, 30, 0), part="test")
    (tmp_path / "raw" / "sample_submission.csv").write_text("id,class,predicted\n")
    check(_with(4, "600 1"), refused=False, images=tmp_path / "raw")
    assert check(_with(4, "600 2"), images=tmp_path / "raw") == [
        "submission.csv row 6: predicted, pair 1: start 600 length 2 runs past the end of a "
        "20x30 slice (600 pixels)"
    ]


def test_the_public_view_asks_for_no_rows(check, tmp_path, caplog):
    (tmp_path / "sample_submission.csv").write_text("id,class,predicted\n")
    assert check(ROWS[::-1], refused=False)[-1] == "submission.csv: valid, 9 rows, 9 not empty"
    assert "is only a header (Kaggle's public view)" in caplog.text
    assert check("id,class,predicted\n", refused=False)
    write_scan(tmp_path / "raw", "case7_day0", *draw(2, 20, 30, 0))
    write_csv(tmp_path / "raw" / "train.csv", [])
    lines = check(_with(4, "1 0"), images=tmp_path / "raw")
    assert [line[15:62] for line in lines] == [
        "row 2: id 'case7_day0_slice_0003' has no PNG am",
        "row 3: id 'case7_day0_slice_0003' has no PNG am",
        "row 4: id 'case7_day0_slice_0003' has no PNG am",
        "row 6: predicted, pair 1: start 1 length 0 is n",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "submission.csv is empty"),
        ("id,class,segmentation\n", "header is id,class,segmentation; expected id,class,predicted"),
        ("id,predicted,class\n", "header is id,predicted,class; expected id,class,predicted"),
    ],
)
def test_another_header_is_refused(tmp_path, content, message):
    for name in ("submission.csv", "sample.csv"):
        (tmp_path / name).write_text("id,class,predicted\n")
    (tmp_path / "submission.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        validate(tmp_path / "submission.csv", tmp_path / "sample.csv")


def test_a_sample_that_is_none_is_named(check, tmp_path):
    with pytest.raises(
        ValueError, match=r"sample_submission.csv row 4: .*twice.*download it again"
    ):
        pd.DataFrame([ROWS[0], ROWS[1], ROWS[0]], columns=["id", "class", "predicted"]).to_csv(
            tmp_path / "sample_submission.csv", index=False
        )
        validate(tmp_path / "sample_submission.csv", tmp_path / "sample_submission.csv")


def test_the_longest_part_that_is_in_order():
    assert in_order([]) == []
    assert in_order([4, 0, 1, 2, 3]) == [1, 2, 3, 4]
    numbers = random.Random(0).sample(range(9), 9)
    kept = [numbers[n] for n in in_order(numbers)]
    assert kept == sorted(kept)
    longest = max(
        bin(chosen).count("1")
        for chosen in range(2**9)
        if (part := [number for n, number in enumerate(numbers) if chosen >> n & 1]) == sorted(part)
    )
    assert len(kept) == longest
