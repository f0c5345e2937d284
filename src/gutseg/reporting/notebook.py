"""Parts of a report in a notebook: tables and pictures as HTML, figures as Plotly's."""

from base64 import b64encode
from functools import singledispatch
from html import escape
from typing import Any

import pandas as pd

from gutseg.reporting.cells import grid
from gutseg.reporting.drawing import draw, to_bytes
from gutseg.reporting.markup import FIRST_ROWS
from gutseg.reporting.parts import Chart, Heat, Html, Picture, Report, Section, Table
from gutseg.reporting.plotly_json import figure


def plotly_figure(part: Any) -> Any:
    """Return a chart or a heat map as a plotly.graph_objects.Figure with its caption."""
    from plotly.graph_objects import Figure  # a second to import, and the page needs none of it

    drawn = Figure(figure(part), layout={"template": "plotly_white"})
    return drawn.update_layout(title={"text": escape(part.caption, quote=False)})


@singledispatch
def html(part: Any) -> str:
    """Return markup without scripts, which every notebook shows."""
    raise TypeError(f"{type(part).__name__} is not a part of a report")


@html.register
def _(part: Table) -> str:
    shown = grid(part.frame, part.digits, FIRST_ROWS)
    frame = pd.DataFrame(shown.rows, columns=pd.Index(shown.header))
    rest = len(part.frame) - len(frame)
    more = f"<p>… and {rest:,} more rows</p>" if rest > 0 else ""
    return _titled(part.caption, frame.to_html(index=False) + more, part.note)


@html.register
def _(part: Picture) -> str:
    return _titled(part.caption, _image(part.png, part.about or part.caption), part.note)


@html.register(Chart)
@html.register(Heat)
def _(part: Chart | Heat) -> str:
    # of a section: a figure for each would need Plotly's script in every cell
    image = _image(to_bytes(draw(part), "png"), part.about or part.caption)
    return f"<div>{image}{_small(part.note)}</div>"


@html.register
def _(part: Html) -> str:
    return _titled(part.caption, "<p>Only the page shows this.</p>", "")


@html.register
def _(part: Section) -> str:
    shown = "\n".join(html(one) for one in part.parts)
    return f"<h2>{escape(part.title)}</h2><p>{escape(part.about)}</p>{shown}"


@html.register
def _(part: Report) -> str:
    shown = "\n".join(html(one) for one in part.sections)
    return f"<h1>{escape(part.title)}</h1><p>{escape(part.about)}</p>{shown}"


def _titled(caption: str, content: str, note: str) -> str:
    return f"<div><p><b>{escape(caption)}</b></p>{content}{_small(note)}</div>"


def _small(note: str) -> str:
    return f"<p><small>{escape(note)}</small></p>" if note else ""


def _image(png: bytes, about: str) -> str:
    code = b64encode(png).decode()
    return f'<img src="data:image/png;base64,{code}" alt="{escape(about)}">'
