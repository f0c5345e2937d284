"""Parts of a report as HTML: the page is made of them, and a notebook shows them."""

import base64
import json
import re
from html import escape
from typing import Any

from gutseg.reporting.cells import Grid, grid, numbers
from gutseg.reporting.parts import Chart, Heat, Html, Part, Picture, Section, Series, Table
from gutseg.reporting.plotly_json import figure

# rows that the page holds at most; the csv beside it has all of them
MOST_ROWS = 2000
# rows that are shown before "show all"
FIRST_ROWS = 20
# letters from which on a cell is broken into lines
LONG = 40


def as_json(content: Any) -> str:
    """Return JSON that can stand inside a script element."""
    dumped = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return dumped.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def words(text: str) -> str:
    """Return escaped text whose `words in backticks` are code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def table(part: Table) -> str:
    """Return a table element: names of rows as headers, numbers marked for the right side."""
    return rows_of(grid(part.frame, part.digits, MOST_ROWS))


def rows_of(shown: Grid) -> str:
    """Return a grid as a table element with a button in every header."""
    longest = [max(map(len, column), default=0) for column in zip(*shown.rows, strict=True)]
    kinds = [
        ' class="n"' if number else ' class="long"' if letters > LONG else ""
        for number, letters in zip(shown.is_number, longest or [0] * len(shown.header), strict=True)
    ]
    header = "".join(
        f'<th scope="col"{kind}><button type="button">{escape(name)}</button></th>'
        for name, kind in zip(shown.header, kinds, strict=True)
    )
    lines = ("".join(_cells(row, kinds, shown.names)) for row in shown.rows)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f"<table><thead><tr>{header}</tr></thead>\n<tbody>{body}</tbody></table>"


def _cells(row: list[str], kinds: list[str], names: int) -> list[str]:
    return [
        f'<th scope="row"{kind}>{escape(cell)}</th>'
        if place < names
        else f"<td{kind}>{escape(cell)}</td>"
        for place, (cell, kind) in enumerate(zip(row, kinds, strict=True))
    ]


def section(part: Section) -> str:
    """Return a section element with all of its parts."""
    key, title = escape(part.key), escape(part.title)
    wide = _wide(part)
    blocks = "\n".join(
        block(one, is_wide=is_wide) for one, is_wide in zip(part.parts, wide, strict=True)
    )
    return f"""<section id="{key}" aria-labelledby="{key}-title">
<h2 id="{key}-title">{title} {_anchor(key, title)}</h2>
<p class="lead">{words(part.about)}</p>
<div class="parts">
{blocks}
</div>
</section>"""


def block(part: Part, *, is_wide: bool = True) -> str:
    """Return one part as a figure element with its caption, notes and actions."""
    name, caption = escape(part.name), escape(part.caption)
    note = getattr(part, "note", "")
    below = f'<p class="note">{words(note)}</p>' if note else ""
    kind = type(part).__name__.lower()
    return f"""<figure id="{name}" class="part {kind}{" wide" if is_wide else ""}">
<figcaption id="{name}-caption">{words(part.caption)} {_anchor(name, caption)}</figcaption>
{_inside(part)}
{below}
</figure>"""


def _anchor(key: str, title: str) -> str:
    return f'<a class="anchor" href="#{key}" aria-label="Link to: {title}">#</a>'


def _inside(part: Part) -> str:
    name = escape(part.name)
    if isinstance(part, Html):
        return part.html
    if isinstance(part, Picture):
        code = base64.b64encode(part.png).decode()
        about = escape(part.about or part.caption)
        return f'<img src="data:image/png;base64,{code}" alt="{about}">'
    if isinstance(part, Table):
        return (
            f'{_scrolling(table(part), name)}\n<div class="actions">{_rest(len(part.frame))}</div>'
        )
    return _plot(part)


def _scrolling(content: str, name: str) -> str:
    """Return a box that scrolls by itself and can be reached by keyboard."""
    named = f'role="region" aria-labelledby="{name}-caption"'
    return f'<div class="scroll" tabindex="0" {named}>{content}</div>'


def _rest(rows: int) -> str:
    if rows <= MOST_ROWS:
        return ""
    return (
        f"<span>The first {MOST_ROWS:,} of {rows:,} rows; the csv beside the page has all.</span>"
    )


def _plot(part: Chart | Heat) -> str:
    name, about = escape(part.name), escape(part.about or part.caption)
    drawn = figure(part)
    shown = grid(numbers(part), None, MOST_ROWS)
    content = drawn | {"table": {"header": shown.header, "numbers": shown.is_number}}
    content["table"] |= {"rows": shown.rows, "names": shown.names}
    height = drawn["layout"]["height"]
    return f"""<div class="plot" data-height="{height}" role="group" aria-label="{about}"></div>
<script type="application/json" id="{name}-data">{as_json(content)}</script>
<details class="numbers"><summary>Table of the numbers</summary></details>"""


def _wide(part: Section) -> list[bool]:
    """Return which parts take the whole width; two small ones that follow each other share it."""
    small, found = [_is_small(one) for one in part.parts], list[bool]()
    while len(found) < len(small):
        pair = small[len(found) : len(found) + 2]
        found += [False, False] if pair == [True, True] else [True]
    return found


def _is_small(part: Part) -> bool:
    if isinstance(part, Table):
        return part.frame.shape[1] <= 4 and len(part.frame) <= FIRST_ROWS
    if isinstance(part, Heat):
        return part.frame.shape[1] <= 5 and len(part.frame) <= 8
    if isinstance(part, Chart):
        return len(part.series) <= 6 and max(map(_words, part.series), default=0) <= 12
    return False


def _words(series: Series) -> int:
    return len(series.x) if any(isinstance(x, str) for x in series.x) else 0
