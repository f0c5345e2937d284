"""The section on slices and scans, which needs no masks."""

import pandas as pd

from gutseg.chapters.dataset import counts
from gutseg.chapters.dataset.numbers import Numbers
from gutseg.reporting.parts import Chart, Part, Section, Series, Table


def slice_section(numbers: Numbers) -> Section:
    """Cases, scans, slices, sizes; of those whose masks are known also where masks are."""
    slices = numbers.slices
    cases, scans = slices["case"].nunique(), slices["scan"].nunique()
    about = (
        f"{len(slices):,} slices of {scans:,} scans of {cases:,} patients (cases), read from "
        f"{numbers.kind}. A scan is one patient on one day."
    )
    parts: list[Part] = []
    if slices["has_mask"].notna().all():
        parts.append(_with_and_without(slices))
    parts += [*_scans_per_case(slices), _slices_per_scan(slices), _sizes(slices)]
    if slices["has_mask"].notna().all() and numbers.planes is None:
        parts.append(positions_chart(slices))
    if numbers.notes:
        frame = pd.DataFrame({"what": numbers.notes})
        parts.append(Table("data_left_out", "Input that was left out", frame))
    return Section("data", "Data: slices and scans", about, parts)


def _with_and_without(slices: pd.DataFrame) -> Table:
    return Table(
        "slices_with_masks",
        "Slices with and without any mask",
        counts.with_and_without(slices),
        digits=2,
    )


def _scans_per_case(slices: pd.DataFrame) -> list[Part]:
    table = counts.scans_per_case(slices)
    most = table["cases"].idxmax()
    about = (
        f"{table['cases'].max()} of {table['cases'].sum()} cases have {most} scans; the fewest "
        f"have {table.index.min()}, the most {table.index.max()}."
    )
    bars = Series("cases", list(map(str, table.index)), table["cases"].tolist(), kind="bar")
    return [
        Table("scans_per_case", "How many cases have so many scans (days)", table),
        Chart("scans_per_case_chart", "Scans per case", "scans", "cases", [bars], about=about),
    ]


def _slices_per_scan(slices: pd.DataFrame) -> Table:
    table = counts.slices_per_scan(slices)
    return Table("slices_per_scan", "How many scans have so many slices", table)


def _sizes(slices: pd.DataFrame) -> Table:
    note = "File names give the width first. Slices are 3 mm apart by the competition's page."
    if slices["spacing_x"].isna().any():
        note += " Where the list has no file names, the edges of a pixel are unknown."
    table = counts.image_sizes(slices)
    return Table("image_sizes", "Sizes of slices and of their pixels", table, digits=2, note=note)


def positions_chart(planes: pd.DataFrame) -> Chart:
    """How many scans show an organ in each slice number, and where most do."""
    table = counts.positions(planes)
    series = [
        Series(str(name), table.index.tolist(), table[name].tolist())
        for name in table
        # the sum of all would hide the three
        if name != "any organ" or len(table.columns) == 1
    ]
    shown = counts.peaks(table).drop(index="any organ" if len(series) > 1 else [], errors="ignore")
    tops = [
        f"{name} in slice {row['peak at slice']} ({row['scans there']} scans)"
        for name, row in shown.iterrows()
    ]
    about = f"Most scans show {', '.join(tops)}." if tops else "No slice has a mask."
    return Chart(
        "slice_positions",
        "Scans that show an organ, by slice number",
        "slice number",
        "scans",
        series,
        about=about,
        note="Slice 1 is at the head. Shorter scans have fewer numbers and cover another part.",
    )
