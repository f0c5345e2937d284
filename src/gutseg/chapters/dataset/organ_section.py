"""The section on organs: which slices show them, which share a slice or a pixel."""

from collections.abc import Sequence

import pandas as pd

from gutseg.chapters.dataset import counts
from gutseg.chapters.dataset.slice_section import positions_chart
from gutseg.reporting.parts import Chart, Heat, Part, Picture, Section, Series, Table

NO_MASK = "no organ"
# of combinations; single organs have colours of their own
MIXED = {
    NO_MASK: "#7F7F7F",
    "large bowel + small bowel": "#009E73",
    "large bowel + stomach": "#CC79A7",
    "small bowel + stomach": "#56B4E9",
    "large bowel + small bowel + stomach": "#9467BD",
}


def organ_section(planes: pd.DataFrame, pictures: Sequence[Picture] = ()) -> Section:
    """Combinations, co-occurrence, overlaps, positions and run-length strings, then pictures."""
    masks = int(counts.masks_per_organ(planes)["masks"].sum())
    about = (
        f"The {masks:,} masks that are not empty, one per slice and organ. Organs are labelled "
        "independently of each other, so a pixel may belong to several."
    )
    parts: list[Part] = [
        *_combinations(planes),
        _together(planes),
        positions_chart(planes),
        _peaks(planes),
        *_overlaps(planes),
        *_masks(planes),
        *pictures,
    ]
    return Section("data-organs", "Data: organs", about, parts)


def _combinations(planes: pd.DataFrame) -> list[Part]:
    number, which = counts.masks_per_slice(planes), counts.organ_combinations(planes)
    x = list(map(str, number.index))
    none = [int(number["slices"][0]), 0, 0, 0]
    bars = [Series(NO_MASK, x, none, "bar", colour=MIXED[NO_MASK])]
    for _, row in which.iterrows():
        heights = [int(row["slices"]) if n == row["organs"] else 0 for n in number.index]
        bars.append(Series(row["which"], x, heights, "bar", colour=MIXED.get(row["which"])))
    shares = [f"{row['%']:.1f} % show {n or 'none'}" for n, row in number.iterrows()]
    return [
        Table("organs_per_slice", "How many organs a slice shows", number, digits=2),
        Table("organ_combinations", "Which organs a slice shows, and no others", which, digits=2),
        Chart(
            "organs_per_slice_chart",
            "Slices by the organs that they show",
            "organs in the slice",
            "slices",
            bars,
            stacked=True,
            about=f"Of {len(planes):,} slices, {', '.join(shares)} of the three organs.",
        ),
    ]


def _together(planes: pd.DataFrame) -> Heat:
    table = counts.cooccurrence(planes)
    names = list(table.columns)
    pairs = [
        f"{a} and {b} {table.loc[a, b]:,}" for i, a in enumerate(names) for b in names[i + 1 :]
    ]
    return Heat(
        "cooccurrence",
        "Slices that show both organs",
        "organ",
        "and",
        table,
        digits=0,
        about=f"Slices that show both: {', '.join(pairs)}.",
        note="On the diagonal: all slices that show the organ.",
    )


def _peaks(planes: pd.DataFrame) -> Table:
    return Table(
        "slice_position_peaks",
        "In which slice most scans show an organ, and in which slices it occurs at all",
        counts.peaks(counts.positions(planes)),
        note="Of equal peaks the first is given.",
    )


def _overlaps(planes: pd.DataFrame) -> list[Part]:
    table, bins = counts.overlaps(planes), counts.overlap_histogram(planes)
    largest = [
        f"{name} {row['largest']:.0f} pixels"
        for name, row in table.iterrows()
        if row["largest"] > 0
    ]
    about = f"Largest overlap in a slice: {', '.join(largest) or 'none'}."
    bars = [Series(str(name), list(bins.index), bins[name].tolist(), kind="bar") for name in bins]
    return [
        Table(
            "overlaps",
            "Pixels that belong to several organs, per slice that shows them together",
            table,
            digits=1,
            note="Median, percentile and largest area are in pixels, of the slices that overlap.",
        ),
        Chart(
            "overlap_areas",
            "Slices by the area that organs share",
            "shared area in the slice, pixels",
            "slices",
            bars,
            log_y=True,
            about=about,
            note="Slices without overlap are left out.",
        ),
    ]


def _masks(planes: pd.DataFrame) -> list[Part]:
    table, bins = counts.masks_per_organ(planes), counts.run_histogram(planes)
    bars = [Series(str(name), list(bins.index), bins[name].tolist(), kind="bar") for name in bins]
    runs = [f"{name} {row['median runs']:.0f}" for name, row in table.iterrows() if row["masks"]]
    return [
        Table(
            "masks_per_organ",
            "Masks that are not empty, their areas and the runs of their run-length strings",
            table,
            digits=2,
        ),
        Chart(
            "runs_per_string",
            "Masks by the number of runs of their string",
            "runs",
            "masks",
            bars,
            about=f"Median number of runs per string: {', '.join(runs) or 'no masks'}.",
            note="Counted from the pixels: runs that touch each other count as one.",
        ),
    ]
