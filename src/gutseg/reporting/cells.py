"""The numbers of a report's parts as data frames and as text, the same for every writer."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, NamedTuple

import pandas as pd

from gutseg.reporting.parts import Chart, Heat, Part, Report, Section, Series, Table

DASH = "–"
# from this size on, digits of whole numbers are grouped by commas
GROUPED = 1000
# from this size on, numbers have powers of ten
LARGEST = 1e15


class Grid(NamedTuple):
    """A table as text."""

    header: list[str]
    # whether a column holds numbers, which stand at the right
    is_number: list[bool]
    rows: list[list[str]]
    # the first columns, which name the row
    names: int


def grid(frame: pd.DataFrame, digits: int | None, rows: int | None = None) -> Grid:
    """Return the first `rows` rows as text, all of them for None; a named index comes first."""
    flat = with_index(frame)
    shown = flat.head(rows) if rows is not None else flat
    columns = [list(shown.iloc[:, place]) for place in range(shown.shape[1])]
    texts = [[text(value, digits) for value in column] for column in columns]
    return Grid(
        [_header(name) for name in flat.columns],
        [_holds_numbers(column) for column in columns],
        [list(row) for row in zip(*texts, strict=True)],
        flat.shape[1] - frame.shape[1],
    )


def with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose named index levels are its first columns."""
    levels = [name for name in frame.index.names if name is not None]
    if not levels:
        return frame.reset_index(drop=True)
    names = pd.DataFrame({name: frame.index.get_level_values(name) for name in levels})
    return pd.concat([names, frame.reset_index(drop=True)], axis=1)


def text(value: Any, digits: int | None) -> str:
    """Return what a cell shows: a dash for None and NaN, `digits` behind the point of a float.

    digits: None for four significant ones.
    """
    if value is None or value is pd.NA or value != value:
        return DASH
    if isinstance(value, str):
        return value
    if str(value) in ("True", "False"):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}" if abs(int(value)) >= GROUPED else str(int(value))
    if isinstance(value, Real):
        number = float(value)
        comma = "," if abs(number) >= GROUPED else ""
        if digits is None:
            whole = GROUPED <= abs(number) < LARGEST
            return f"{number:,.0f}" if whole else f"{number:.4g}"
        return f"{number:{comma}.{digits}f}"
    return str(value)


def _header(name: Any) -> str:
    words = name if isinstance(name, tuple) else (name,)
    return " · ".join(str(word) for word in words if str(word))


def _holds_numbers(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None and value == value]
    return bool(known) and all(
        isinstance(value, Real) and str(value) not in ("True", "False") for value in known
    )


def numbers(part: Chart | Heat) -> pd.DataFrame:
    """Return the numbers of a figure: of a chart a row per x and a column per series.

    Where a series has two points at one x, a row per point, with the name of its series.
    """
    if isinstance(part, Heat):
        return part.frame.rename_axis(part.frame.index.name or part.y)
    if any(len(set(one.x)) < len(one.x) or one.labels for one in part.series):
        return _by_point(part)
    columns: dict[str, pd.Series] = {}
    for one in part.series:
        for name, values in _columns(one).items():
            columns[name] = pd.Series(list(values), index=list(one.x), dtype=object)
    order = list(dict.fromkeys(x for one in part.series for x in one.x))
    if order and all(isinstance(x, Real) for x in order):
        order.sort()
    frame = pd.DataFrame(columns, index=pd.Index(order, name=part.x))
    return frame.infer_objects()


def _columns(one: Series) -> dict[str, Iterable]:
    columns: dict[str, Iterable] = {one.name: one.y}
    if one.low is not None and one.high is not None:
        columns |= {f"{one.name}, low": one.low, f"{one.name}, high": one.high}
    return columns


def _by_point(part: Chart) -> pd.DataFrame:
    rows = []
    for one in part.series:
        for place, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
            label = one.labels[place] if one.labels else None
            rows.append({"series": one.name, "point": label, part.x: x, part.y: y})
    frame = pd.DataFrame(rows)
    return frame.dropna(axis=1, how="all") if rows else frame


def with_unique_names(report: Report) -> Report:
    """Return a report whose keys and names can be anchors and names of files, each once."""
    taken: set[str] = set()
    sections = []
    for section in report.sections:
        key = _unique(section.key, "-", taken)
        parts: list[Part] = []
        for part in section.parts:
            parts.append(replace(part, name=_unique(part.name, "_", taken)))
        sections.append(Section(key, section.title, section.about, parts))
    return replace(report, sections=sections)


def _unique(name: str, joint: str, taken: set[str]) -> str:
    # letters and digits alone: a name of a run may hold anything
    clean = re.sub(r"[^a-z0-9]+", joint, name.lower()).strip(joint)[:80] or "part"
    found, number = clean, 1
    while found in taken:
        number += 1
        found = f"{clean}{joint}{number}"
    taken.add(found)
    return found


def tables(report: Report) -> list[Table]:
    """Return the tables of a report, and the numbers of its figures as tables of their names."""
    found = []
    for section in report.sections:
        for part in section.parts:
            if isinstance(part, Table):
                found.append(part)
            elif isinstance(part, Chart | Heat):
                found.append(Table(part.name, part.caption, numbers(part), note=part.note))
    return found
