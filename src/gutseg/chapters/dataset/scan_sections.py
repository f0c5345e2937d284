"""The sections on scans: organ volumes over days, grey scales, and scans to look at first."""

import numpy as np
import pandas as pd

from gutseg.chapters.dataset import suspicion
from gutseg.chapters.dataset.counts import words
from gutseg.chapters.dataset.volumes import against_other_days, by_day
from gutseg.constants import BLACKLISTS, CLASSES, SLICE_MM
from gutseg.reporting.figures import COLOURS
from gutseg.reporting.parts import Chart, Part, Section, Series, Table

# who left out the scans of a list: a key of docs/references.md, or the competition's host
LISTED_BY = {"winners2": "[Carno 2022]", "third5": "[Hesene 2022]", "host12": "the host"}


def volume_section(organs: pd.DataFrame) -> Section:
    """Organ volumes in ml per scan, and over the days of each patient."""
    about = (
        f"Voxels of each organ times the volume of a voxel; slices are taken as {SLICE_MM:g} mm "
        "apart, which file names do not say (9 mm in a small phantom). Stomach and bowel fill and "
        "empty, so real volumes differ between days too."
    )
    table = by_day(organs).rename(columns=words)
    parts: list[Part] = [_volume_summary(organs)]
    parts += [_over_days(organs[organs["organ"] == organ], organ) for organ in CLASSES]
    parts.append(
        Table("volumes_by_day", "Organ volumes in ml, by patient and day", table, digits=0)
    )
    return Section("data-volumes", "Data: organ volumes", about, parts)


def _volume_summary(organs: pd.DataFrame) -> Table:
    ml = organs.groupby("organ", sort=False)["ml"]
    factors = 2 ** against_other_days(organs)["change"].abs()
    frame = pd.DataFrame(
        {
            "median, ml": ml.median(),
            "5th percentile": ml.quantile(0.05),
            "95th percentile": ml.quantile(0.95),
            "median factor between days": factors.groupby(organs["organ"]).median(),
            "largest factor": factors.groupby(organs["organ"]).max(),
        }
    )
    return Table(
        "volumes",
        "Organ volumes over all scans, and how much they differ between days of a patient",
        frame.rename(index=words).rename_axis("organ"),
        digits=1,
        note=(
            "Factor: a scan against the median of the patient's other days, at most 16; an organ "
            "that is missing counts as 16."
        ),
    )


def _over_days(rows: pd.DataFrame, organ: str) -> Chart:
    rows = rows.sort_values(["case", "day"])
    x: list[float] = []
    y: list[float] = []
    for _, visits in rows.groupby("case"):
        # the gap keeps patients apart
        x += [*visits["day"].tolist(), float(visits["day"].iloc[-1])]
        y += [*visits["ml"].tolist(), np.nan]
    days, ml, names = (rows[column].tolist() for column in ("day", "ml", "scan"))
    low, middle, high = rows["ml"].quantile([0.05, 0.5, 0.95])
    return Chart(
        f"volume_{organ}",
        f"Volume of the {words(organ)} over the days of each patient",
        "day",
        "ml",
        [
            Series("same patient", x, y, colour=COLOURS[organ]),
            Series("scan", days, ml, "points", labels=names, colour=COLOURS[organ]),
        ],
        about=(
            f"The {words(organ)} has a median of {middle:.0f} ml; nine of ten scans lie between "
            f"{low:.0f} and {high:.0f} ml."
        ),
    )


def grey_section(greys: pd.DataFrame) -> Section:
    """Grey values per scan."""
    high = greys["99.5 %"]
    ordered = greys.sort_values("99.5 %")
    x, labels = list(range(1, len(greys) + 1)), list(map(str, ordered.index))
    about = (
        f"The 99.5th percentile of a scan's grey values runs from {high.min():,} to "
        f"{high.max():,}, a factor of {high.max() / max(high.min(), 1):.1f}; half of the scans "
        f"lie below {high.median():,.0f}."
    )
    chart = Chart(
        "grey_scales_chart",
        "Grey scale of each scan, in ascending order",
        "scan",
        "grey value",
        [
            Series("99.5th percentile", x, ordered["99.5 %"].tolist(), "points", labels=labels),
            Series("largest value", x, ordered["largest"].tolist(), "points", labels=labels),
        ],
        log_y=True,
        about=about,
    )
    table = Table(
        "grey_scales",
        "Percentiles of grey values, the largest value, and voxels that are 0",
        greys,
        digits=1,
    )
    return Section(
        "data-grey",
        "Data: grey values",
        "MR has no fixed grey scale: each scan has its own and is scaled before a network sees it.",
        [chart, table],
    )


def suspicious_section(organs: pd.DataFrame) -> Section:
    """Scans whose labels to look at first, and why."""
    table = suspicion.suspicious(organs)
    table["left out by"] = [_listed(scan) for scan in table["scan"]]
    table.index = pd.RangeIndex(1, len(table) + 1, name="rank")
    about = (
        "Score: how far the scan's most unusual measurement lies from what is usual in this data, "
        "where 0 is the median of all scans and 1 is what nine of ten scans stay below. It says "
        "where to look, not that a label is wrong."
    )
    known = table[table["left out by"] != ""]
    ranks = ", ".join(f"{row['scan']} {rank}" for rank, row in known.iterrows())
    note = (
        f"Ranks of the scans that public solutions left out: {ranks}; a synthetic folder may use "
        "the same names."
    )
    parts: list[Part] = [
        Table("suspicious_scans", "Scans to look at first", table, 1, note if ranks else ""),
        _scores(table),
        *_checks(organs),
    ]
    return Section("data-suspicious", "Data: suspicious scans", about, parts)


def _listed(scan: str) -> str:
    return ", ".join(LISTED_BY[name] for name, scans in BLACKLISTS.items() if scan in scans)


def _scores(table: pd.DataFrame) -> Chart:
    is_known, series = table["left out by"] != "", []
    for name, rows in (("scan", table[~is_known]), ("left out elsewhere", table[is_known])):
        if len(rows):
            x, y, labels = (rows.index.tolist(), rows["score"].tolist(), rows["scan"].tolist())
            series.append(Series(name, x, y, "points", labels=labels))
    high = int((table["score"] >= suspicion.NAMED_FROM).sum())
    return Chart(
        "suspicion_scores",
        "Suspicion of all scans, by rank",
        "rank",
        "score",
        series,
        about=(
            f"{high} of {len(table)} scans have a score of {suspicion.NAMED_FROM:g} or more; the "
            f"highest is {table['score'].max():.1f} ({table['scan'].iloc[0]})."
        ),
    )


def _checks(organs: pd.DataFrame) -> list[Part]:
    return [
        Table("suspicion_checks", "What is measured", suspicion.explained(), digits=2),
        Table(
            "suspicion_limits",
            "What is usual in this data, and what is high",
            suspicion.limits(organs),
            digits=2,
            note=(
                "Usual: the median of all scans. High: what nine of ten stay below, but at least "
                "the stated distance from usual."
            ),
        ),
    ]
