"""A report as Markdown with pictures beside it, for a write-up on Kaggle or GitHub."""

import re

from gutseg.reporting.cells import grid
from gutseg.reporting.markup import FIRST_ROWS
from gutseg.reporting.parts import Html, Part, Report, Section, Table

BEGINS = b"<!-- gutseg report -->"


def markdown_page(report: Report) -> str:
    """Return the page; pictures are links to figures/NAME.png, long tables to tables/NAME.csv."""
    lines = [BEGINS.decode(), f"# {_plain(report.title)}", _plain(report.about)]
    for section in report.sections:
        lines += _section(section)
    lines.append("Not for clinical use.")
    return "\n\n".join(line for line in lines if line) + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {_plain(section.title)}", _plain(section.about)]
    # only a browser shows the viewer
    shown = [part for part in section.parts if not isinstance(part, Html)]
    if section.parts and not shown:
        return []
    for part in shown:
        lines += [_shown(part), _plain(part.note)]
    return lines


def _shown(part: Part) -> str:
    caption = _plain(part.caption)
    if not isinstance(part, Table):
        about = getattr(part, "about", "") or part.caption
        about = _plain(about.replace("[", "(").replace("]", ")"))
        return f"**{caption}**\n\n![{about}](figures/{part.name}.png)"
    shown = grid(part.frame, part.digits, FIRST_ROWS)
    sides = ["---:" if number else "---" for number in shown.is_number]
    rows = [[_cell(cell) for cell in row] for row in [shown.header, *shown.rows]]
    lines = (f"| {' | '.join(row)} |" for row in [rows[0], sides, *rows[1:]])
    drawn = "\n".join(lines)
    rest = len(part.frame) - len(shown.rows)
    more = f"\n\n… and {rest:,} more rows in [{part.name}.csv](tables/{part.name}.csv)"
    return f"**{caption}**\n\n{drawn}{more if rest > 0 else ''}"


def _cell(words: str) -> str:
    """Return words of a table: a bare | ends a cell even inside `code`."""
    return re.sub(r"(?<!\\)\|", r"\\|", _plain(words))


def _plain(words: str) -> str:
    """Return words on one line that Markdown takes for nothing else but `code` in backticks."""
    pieces = " ".join(words.split()).split("`")
    if len(pieces) % 2 == 0:  # a lone backtick
        return _escaped("`".join(pieces))
    pieces[::2] = map(_escaped, pieces[::2])
    return "`".join(pieces)


def _escaped(words: str) -> str:
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\*_|`\[\]])", r"\\\1", words)
