"""Plotly's JSON and matplotlib's figures say the same as the parts they are drawn from."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gutseg.reporting.colours import PALETTE, limits, of_series
from gutseg.reporting.drawing import draw, to_bytes
from gutseg.reporting.parts import Chart, Heat, Series
from gutseg.reporting.plotly_json import figure

BARS = [
    Series("stomach", ["a", "b"], [1, 2], "bar", low=[0.5, 2], high=[3, 2.5]),
    Series("other", ["a", "b"], [4, float("nan")], "bar"),
]
CHART = Chart("c", "A caption", "x", "y", BARS)


def test_bars_stand_side_by_side_or_on_top_of_each_other():
    drawn = figure(CHART)
    assert drawn["layout"]["barmode"] == "group" and drawn["layout"]["xaxis"]["type"] == "category"
    assert [trace["y"] for trace in drawn["data"]] == [[1, 2], [4, None]]
    whiskers = drawn["data"][0]["error_y"]
    assert (whiskers["array"], whiskers["arrayminus"]) == ([2, 0.5], [0.5, 0])
    json.dumps(drawn, allow_nan=False)
    places = [bar.get_x() + bar.get_width() / 2 for bar in draw(CHART).axes[0].patches]
    assert places == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    stack = [
        (bar.get_y(), bar.get_height())
        for bar in draw(replace(CHART, stacked=True)).axes[0].patches
    ]
    assert stack[:3] == [(0, 1), (0, 2), (1, 4)]
    assert figure(replace(CHART, stacked=True))["layout"]["barmode"] == "stack"


def test_ranges_of_a_logarithmic_axis_are_exponents_for_plotly():
    line = [Series("l", [1, 2], [0.1, 100.0])]
    chart = Chart("c", "", "x", "y", line, log_y=True, y_range=(0.01, 1000), x_range=(0, 3))
    layout = figure(chart)["layout"]
    assert layout["yaxis"]["range"] == [-2, 3] and layout["xaxis"]["range"] == [0, 3]
    assert layout["yaxis"]["dtick"] == "D2" and layout["showlegend"] is False
    axis = draw(chart).axes[0]
    assert axis.get_yscale() == "log" and axis.get_ylim() == (0.01, 1000)
    wide = figure(replace(chart, series=[Series("l", [1, 2], [0.001, 100.0])]))
    assert wide["layout"]["yaxis"]["dtick"] == 1


def test_a_band_leaves_out_what_is_unknown():
    nan = float("nan")
    line = Series("l", [1, 2, 3], [5, nan, 6], low=[4, nan, 5], high=[6, nan, 8])
    band, trace = figure(Chart("c", "", "x", "y", [line]))["data"]
    assert (band["x"], band["y"]) == ([1, 3, 3, 1], [6, 8, 5, 4])
    assert trace["y"] == [5, None, 6] and band["fillcolor"] == "rgba(0,114,178,0.2)"


def test_colours_are_of_the_organ_or_free_ones():
    series = [Series(name, [], []) for name in ("a", "large bowel", "stomach", "b")]
    series.append(Series("c", [], [], colour="#123456"))
    assert of_series(series) == [PALETTE[1], "#0072B2", "#D55E00", PALETTE[2], "#123456"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1, 3], [np.nan, 2]], ("cividis", 1, 3)),
        ([[-1, 3]], ("RdBu", -3, 3)),
        ([[2, 2]], ("cividis", 2, 3)),
        ([[np.nan]], ("cividis", 0, 1)),
    ],
)
def test_a_matrix_with_both_signs_is_centred(values, expected):
    assert limits(pd.DataFrame(values)) == expected


def test_a_matrix_shows_its_numbers_where_they_fit():
    small = Heat("h", "", "x", "y", pd.DataFrame([[0.5, np.nan]], ["r"], ["a", "b"]), digits=1)
    trace = figure(small)["data"][0]
    assert trace["z"] == [[0.5, None]] and trace["text"] == [["0.5", "–"]]
    assert [text.get_text() for text in draw(small).axes[0].texts] == ["0.5"]
    wide = Heat("h", "", "x", "y", pd.DataFrame(np.ones((1, 17))))
    assert "text" not in figure(wide)["data"][0] and not draw(wide).axes[0].texts


def test_a_picture_is_the_same_each_time():
    for kind in ("png", "svg"):
        assert to_bytes(draw(CHART), kind) == to_bytes(draw(CHART), kind)
    assert b"A caption" in to_bytes(draw(CHART), "svg"), "letters stay text"


def test_names_mean_nothing_to_matplotlib():
    """It takes $...$ for a formula, ends over one that does not read, and hides names with _."""
    series = [Series(name, ["$^$", "b"], [1, 2], "bar") for name in ("_base", "a$^$b")]
    made = draw(Chart("x", "cost $^$ of $", "x $^$", "y", series))
    svg = to_bytes(made, "svg").decode()
    shown = [one.get_text() for one in made.axes[0].get_legend().get_texts()]
    assert shown == [" _base", r"a\$^\$b"] and "cost $^$ of $" in svg
    heat = Heat("y", "$^$", "x", "y", pd.DataFrame([[1.0]], ["$_$"], ["$^$"]))
    assert to_bytes(draw(heat), "png").startswith(b"\x89PNG")
