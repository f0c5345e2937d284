"""What a report is made of: sections of tables, charts and pictures, drawn later by a writer.

Nothing here draws. A section is written once and becomes HTML, CSV, PNG, SVG or Markdown. In a
notebook tables, sections and reports show themselves; charts and heat maps become Plotly's figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd


class _Shown:
    """What shows itself as HTML in a notebook."""

    def _repr_html_(self) -> str:
        from gutseg.reporting import notebook  # it imports this module

        return notebook.html(self)


class _Plotted:
    """What shows itself as a figure of Plotly in a notebook."""

    def to_plotly(self) -> Any:
        """Return a plotly.graph_objects.Figure."""
        from gutseg.reporting import notebook

        return notebook.plotly_figure(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return self.to_plotly()._repr_mimebundle_(include, exclude)


@dataclass(frozen=True)
class Table(_Shown):
    """A table: what stands in the cells is a number, text or None, never formatted here."""

    # of the csv, unique in the report: words joined by _
    name: str
    # one sentence over the table
    caption: str
    # the index is shown as the first column when it has a name
    frame: pd.DataFrame
    # digits behind the point of floats
    digits: int = 3
    # one sentence below it: how it was made, what it does not show
    note: str = ""


@dataclass(frozen=True)
class Series:
    """One line, set of points or set of bars of a chart."""

    # in the legend
    name: str
    x: Sequence[float] | Sequence[str]
    # NaN and None leave a gap
    y: Sequence[float]
    kind: Literal["line", "points", "bar"] = "line"
    # ends of an interval around y, as long as y
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    # what the pointer shows, as long as y
    labels: Sequence[str] | None = None
    # #rrggbb, by default the next of the palette
    colour: str | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Chart(_Plotted):
    """A figure with axes."""

    # of the PNG and the SVG, unique in the report: words joined by _
    name: str
    caption: str
    x: str
    y: str
    series: Sequence[Series]
    # bars on top of each other instead of side by side
    stacked: bool = False
    log_y: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    # what a person who cannot see it should know: one sentence with the main numbers
    about: str = ""
    note: str = ""


@dataclass(frozen=True)
class Heat(_Plotted):
    """A matrix as colours, with its numbers written into the cells where they fit."""

    name: str
    caption: str
    x: str
    y: str
    # the index names the rows, the columns the columns
    frame: pd.DataFrame
    digits: int = 2
    about: str = ""
    note: str = ""


@dataclass(frozen=True)
class Picture(_Shown):
    """A finished picture."""

    name: str
    caption: str
    png: bytes
    about: str = ""
    note: str = ""


@dataclass(frozen=True)
class Html:
    """Markup of our own that only the page shows, like the viewer; text in it is escaped."""

    name: str
    caption: str
    html: str
    note: str = ""


Part = Table | Chart | Heat | Picture | Html


@dataclass(frozen=True)
class Section(_Shown):
    """One chapter of a report."""

    # in links: words joined by -
    key: str
    title: str
    # one to three sentences: what is shown, of which data, how it was measured
    about: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Report(_Shown):
    """A whole report."""

    title: str
    # version, commit, data, date, command
    about: str
    sections: Sequence[Section]
