"""Charts and heat maps as PNG and SVG, drawn by matplotlib: no browser is needed."""

from io import BytesIO
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gutseg.reporting.cells import text
from gutseg.reporting.colours import limits, of_series
from gutseg.reporting.parts import Chart, Heat, Series

MARKERS = "osD^PX*"
# inches; a heat map grows with its matrix
WIDTH, HEIGHT = 7.2, 4.0
DPI = 110
# so many bars, and words of so many letters in all, stand side by side without being turned
MOST_LETTERS = 70
# beyond this many columns the numbers of a heat map do not fit into its cells
MOST_COLUMNS = 16
# letters stay text, which can be searched and weighs little
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gutseg",
    "axes.titlesize": 10,
    "font.size": 9,
}


def draw(part: Chart | Heat) -> Figure:
    """Return a figure on white with its caption as the title."""
    if isinstance(part, Heat):
        return _heat(part)
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained", facecolor="white")
    axis = figure.subplots()
    _chart(axis, part)
    axis.set(xlabel=_literal(part.x), ylabel=_literal(part.y))
    axis.set_title(_literal(part.caption), wrap=True)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    if len(part.series) > 1:
        axis.legend(frameon=False, fontsize=8)
    return figure


def to_bytes(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """Return a figure as a file of this kind, the same bytes each time."""
    stream = BytesIO()
    # without a date, and without the version of matplotlib
    facts: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format=kind, dpi=DPI, metadata=facts)
    return stream.getvalue()


def _chart(axis: Axes, part: Chart) -> None:
    colours = of_series(part.series)
    places = _places(part)
    bars = [one for one in part.series if one.kind == "bar"]
    stack: dict[float, float] = {}
    for number, (one, colour) in enumerate(zip(part.series, colours, strict=True)):
        x = np.array([places[str(x)] if places else float(x) for x in one.x])
        y = np.array(one.y, float)
        if one.kind == "bar":
            width = 0.8 * _step(x)
            if part.stacked:
                below = np.array([stack.get(at, 0.0) for at in x])
                axis.bar(x, y, width, below, color=colour, label=_literal(one.name))
                stack |= dict(zip(x, below + np.nan_to_num(y), strict=True))
                continue
            width /= len(bars)
            x = x + (bars.index(one) - (len(bars) - 1) / 2) * width
            axis.bar(
                x,
                y,
                width,
                color=colour,
                label=_literal(one.name),
                yerr=_whiskers(one, y),
                capsize=2,
            )
        else:
            _line(axis, one, x, y, colour, MARKERS[number % len(MARKERS)])
    if part.log_y:
        axis.set_yscale("log")
    if places:
        turned = sum(map(len, places)) > MOST_LETTERS
        axis.set_xticks(list(places.values()), list(map(_literal, places)))
        if turned:
            axis.tick_params(axis="x", rotation=45)
    if part.x_range:
        axis.set_xlim(*part.x_range)
    if part.y_range:
        axis.set_ylim(*part.y_range)


def _literal(words: str) -> str:
    """Return words that matplotlib takes for nothing else: a folder may be called anything."""
    safe = words.replace("$", r"\$")
    return f" {safe}" if safe.startswith("_") else safe  # it hides such names


def _places(part: Chart) -> dict[str, float]:
    """Return the position of every word on the x axis; none where x is a number."""
    words = [x for one in part.series for x in one.x]
    if not any(isinstance(word, str) for word in words):
        return {}
    return {word: float(place) for place, word in enumerate(dict.fromkeys(map(str, words)))}


def _step(x: np.ndarray) -> float:
    """Return the least distance of bars."""
    steps = np.diff(np.unique(x))
    return float(steps.min()) if steps.size else 1.0


def _line(axis: Axes, one: Series, x: np.ndarray, y: np.ndarray, colour: str, marker: str) -> None:
    if one.kind == "points":
        axis.scatter(x, y, s=16, color=colour, marker=marker, alpha=0.8, label=_literal(one.name))
        if one.low is not None and one.high is not None:
            axis.errorbar(x, y, yerr=_whiskers(one, y), fmt="none", color=colour, capsize=2, lw=1)
        return
    style = "--" if one.dashed else "-"
    dots = marker if len(x) <= 12 else ""
    axis.plot(x, y, style, color=colour, marker=dots, ms=4, lw=1.6, label=_literal(one.name))
    if one.low is not None and one.high is not None:
        low, high = np.array(one.low, float), np.array(one.high, float)
        axis.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)


def _whiskers(one: Series, y: np.ndarray) -> np.ndarray | None:
    if one.low is None or one.high is None:
        return None
    low, high = np.array(one.low, float), np.array(one.high, float)
    return np.nan_to_num(np.maximum(np.stack([y - low, high - y]), 0))


def _heat(part: Heat) -> Figure:
    rows, columns = part.frame.shape
    size = (max(WIDTH, 0.45 * columns + 2.5), max(2.4, 0.28 * rows + 1.6))
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axis = figure.subplots()
    scale, low, high = limits(part.frame)
    values = part.frame.to_numpy(float)
    image = axis.imshow(values, cmap=scale, vmin=low, vmax=high, aspect="auto")
    if columns <= MOST_COLUMNS:
        middle = (low + high) / 2
        for row, column in np.argwhere(np.isfinite(values)):
            value = values[row, column]
            # both ends of the diverging scale are dark, of the other the lower half
            is_dark = abs(value) > 0.6 * high if low < 0 < high else value < middle
            colour = "white" if is_dark else "black"
            shown = text(float(value), part.digits)
            axis.text(column, row, shown, ha="center", va="center", color=colour, fontsize=8)
    axis.set_xticks(range(columns), [_literal(str(name)) for name in part.frame.columns])
    axis.set_yticks(range(rows), [_literal(str(name)) for name in part.frame.index])
    if sum(len(str(name)) for name in part.frame.columns) > MOST_LETTERS:
        axis.tick_params(axis="x", rotation=60)
    axis.set(xlabel=_literal(part.x), ylabel=_literal(part.y))
    axis.set_title(_literal(part.caption), wrap=True)
    figure.colorbar(image, ax=axis, pad=0.01)
    return figure
