"""Charts and heat maps as Plotly's JSON: what the page draws and a notebook shows.

Colours of text, grid and background are left to whoever draws: the page has two themes.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from gutseg.reporting.cells import text
from gutseg.reporting.colours import limits, of_series
from gutseg.reporting.parts import Chart, Heat, Series

# px a row of a heat map, and what its title and axes need
ROW, AROUND, LEAST = 30, 130, 300
CHART_HEIGHT = 380
# beyond this many columns the numbers of a heat map do not fit into its cells
MOST_COLUMNS = 16
# of the largest to the smallest value, for ticks between the powers of ten
MOST_RATIO = 1000
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x")


def figure(part: Chart | Heat) -> dict[str, Any]:
    """Return {"data": ..., "layout": ...} of JSON's own types."""
    return _heat(part) if isinstance(part, Heat) else _chart(part)


def _chart(part: Chart) -> dict[str, Any]:
    colours = of_series(part.series)
    data: list[dict[str, Any]] = []
    for place, (one, colour) in enumerate(zip(part.series, colours, strict=True)):
        data += _traces(one, colour, SYMBOLS[place % len(SYMBOLS)])
    words = any(isinstance(x, str) for one in part.series for x in one.x)
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": escape(part.x, quote=False)}, "automargin": True},
        "yaxis": {"title": {"text": escape(part.y, quote=False)}, "automargin": True},
        "barmode": "stack" if part.stacked else "group",
        "showlegend": len(part.series) > 1,
        "height": CHART_HEIGHT,
        "hovermode": "closest",
    }
    if words:
        layout["xaxis"] |= {"type": "category", "showgrid": False}
    if part.log_y:
        layout["yaxis"] |= {"type": "log", "dtick": _log_step(part)}
    if part.x_range:
        layout["xaxis"]["range"] = [float(end) for end in part.x_range]
    if part.y_range:
        ends = np.asarray(part.y_range, float)
        layout["yaxis"]["range"] = (np.log10(ends) if part.log_y else ends).tolist()
    return {"data": data, "layout": layout}


def _log_step(part: Chart) -> int | str:
    """Return what Plotly calls ticks at 1, 2 and 5, or at powers of ten where there are many."""
    known = [y for one in part.series for y in one.y if y is not None and y == y and y > 0]
    return 1 if known and max(known) / min(known) > MOST_RATIO else "D2"


def _traces(one: Series, colour: str, symbol: str) -> list[dict[str, Any]]:
    name = escape(one.name, quote=False)
    trace: dict[str, Any] = {"name": name, "x": _plain(one.x), "y": _plain(one.y)}
    trace["legendgroup"] = name
    is_banded = one.low is not None and one.high is not None
    if one.kind == "bar":
        trace |= {"type": "bar", "marker": {"color": colour}}
    else:
        trace |= {"type": "scatter", "mode": "markers" if one.kind == "points" else "lines"}
        trace["marker"] = {"color": colour, "symbol": symbol, "size": 7, "opacity": 0.8}
        trace["line"] = {"color": colour, "width": 2, "dash": "dash" if one.dashed else "solid"}
        if one.kind == "line" and len(one.x) <= 12:
            trace["mode"] = "lines+markers"
    if one.labels is not None:
        trace["text"] = [escape(label, quote=False) for label in one.labels]
        trace["hovertemplate"] = "%{text}<br>%{x}, %{y}<extra>" + name + "</extra>"
    if is_banded and one.kind == "line":
        return [_band(one, colour), trace]
    if is_banded:
        trace["error_y"] = _whiskers(one, colour)
    return [trace]


def _band(one: Series, colour: str) -> dict[str, Any]:
    """Return the area between the ends of an interval, drawn below its line."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    known = [
        (x, low, high)
        for x, low, high in zip(one.x, one.low or (), one.high or (), strict=True)
        if low is not None and high is not None and low == low and high == high
    ]
    there, back = known, known[::-1]
    return {
        "type": "scatter",
        "x": _plain([x for x, _, _ in there] + [x for x, _, _ in back]),
        "y": _plain([high for _, _, high in there] + [low for _, low, _ in back]),
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.2)",
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": escape(one.name, quote=False),
    }


def _whiskers(one: Series, colour: str) -> dict[str, Any]:
    y = np.array(one.y, float)
    low, high = np.array(one.low, float), np.array(one.high, float)
    return {
        "type": "data",
        "symmetric": False,
        "array": _plain(high - y),
        "arrayminus": _plain(y - low),
        # bars hide whiskers of their own colour
        "color": "#7F7F7F" if one.kind == "bar" else colour,
        "thickness": 1.5,
        "width": 4,
    }


def _heat(part: Heat) -> dict[str, Any]:
    scale, low, high = limits(part.frame)
    values = part.frame.to_numpy(float)
    rows, columns = (
        [escape(str(name), quote=False) for name in names] for names in part.frame.axes
    )
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": [_plain(row) for row in values],
        "x": columns,
        "y": rows,
        "zmin": low,
        "zmax": high,
        "colorscale": "Cividis" if scale == "cividis" else "RdBu",
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{y}, %{x}: %{z}<extra></extra>",
        "colorbar": {"thickness": 12, "outlinewidth": 0},
    }
    if len(columns) <= MOST_COLUMNS:
        trace["text"] = [[text(value, part.digits) for value in row] for row in values.tolist()]
        trace["texttemplate"] = "%{text}"
    layout = {
        "xaxis": {
            "title": {"text": escape(part.x, quote=False)},
            "automargin": True,
            "type": "category",
        },
        "yaxis": {
            "title": {"text": escape(part.y, quote=False), "standoff": 10},
            "automargin": True,
            "type": "category",
            "autorange": "reversed",
        },
        "height": max(LEAST, ROW * len(rows) + AROUND),
    }
    return {"data": [trace], "layout": layout}


def _plain(values: Sequence[Any] | np.ndarray) -> list[Any]:
    """Return values of JSON: words escaped, NaN and None as null, numbers of six digits."""
    return [_value(value) for value in values]


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value, quote=False)
    if value is None or not np.isfinite(value):
        return None
    number = float(value)
    return int(number) if number.is_integer() else float(f"{number:.6g}")
