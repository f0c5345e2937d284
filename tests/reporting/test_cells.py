"""What cells say, what the numbers of a figure are, what files are called."""

import numpy as np
import pandas as pd
import pytest

from gutseg.reporting.cells import grid, numbers, text, with_unique_names
from gutseg.reporting.parts import Chart, Heat, Report, Section, Series, Table


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (None, 2, "–"),
        (float("nan"), 2, "–"),
        (pd.NA, 2, "–"),
        (0.12345, 3, "0.123"),
        (np.float32(2), 1, "2.0"),
        (12345.678, 1, "12,345.7"),
        (-1234, 3, "-1,234"),
        (999, 3, "999"),
        (np.int64(38496), 0, "38,496"),
        (True, 3, "yes"),
        (np.False_, 3, "no"),
        (0.000012345, None, "1.234e-05"),
        (38496.0, None, "38,496"),
        (2e15, None, "2e+15"),
        ("1234", 0, "1234"),
    ],
)
def test_a_cell(value, digits, shown):
    assert text(value, digits) == shown


def test_a_named_index_comes_first_and_gaps_do_not_make_words():
    columns = {"score": [0.5, None], "kept": [True, False], "days": [3, 4], "empty": [None] * 2}
    frame = pd.DataFrame(columns, index=pd.Index(["a", "b"], name="scan"))
    found = grid(frame, 1)
    assert found.header == ["scan", "score", "kept", "days", "empty"]
    assert found.is_number == [False, True, False, True, False]
    assert found.rows == [["a", "0.5", "yes", "3", "–"], ["b", "–", "no", "4", "–"]]
    assert found.names == 1 and grid(frame.reset_index(drop=True), 1).names == 0
    assert grid(frame, 1, rows=1).rows == found.rows[:1]


def test_numbers_of_lines_share_their_x():
    lines = [
        Series("b", [3, 1], [0.3, 0.1], low=[0.2, 0.0], high=[0.4, 0.2]),
        Series("a", [1, 2], [10, 20]),
    ]
    found = numbers(Chart("c", "", "epoch", "loss", lines))
    assert found.index.name == "epoch" and found.index.tolist() == [1, 2, 3]
    assert found.columns.tolist() == ["b", "b, low", "b, high", "a"]
    assert found["b, high"].tolist()[::2] == [0.2, 0.4] and np.isnan(found["b"][2])
    assert found["a"].tolist()[:2] == [10, 20] and np.isnan(found["a"][3])


def test_numbers_of_points_keep_points_that_share_an_x():
    points = [Series("s", [1, 1], [2, 3], "points", labels=["p", "q"]), Series("t", [0], [9])]
    found = numbers(Chart("c", "", "x", "y", points))
    assert found.columns.tolist() == ["series", "point", "x", "y"]
    rows = found.fillna("").to_numpy().tolist()
    assert rows == [["s", "p", 1, 2], ["s", "q", 1, 3], ["t", "", 0, 9]]


def test_numbers_of_a_matrix_name_its_rows():
    found = numbers(Heat("h", "", "x", "organ", pd.DataFrame([[1.0]], ["a"], ["b"])))
    assert found.index.name == "organ" and found.loc["a", "b"] == 1


def test_names_are_files_and_anchors_once_each():
    frame = pd.DataFrame({"a": [1]})
    parts = [Table(name, "", frame) for name in ("Dice", "dice", "../x y", "éé")]
    report = Report("", "", [Section("dice", "", "", parts), Section("Run a/b", "", "", parts[:1])])
    first, second = with_unique_names(report).sections
    assert [first.key, second.key] == ["dice", "run-a-b"]
    assert [part.name for part in first.parts] == ["dice_2", "dice_3", "x_y", "part"]
    assert [part.name for part in second.parts] == ["dice_4"]
