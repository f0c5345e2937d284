"""Scores of all sources by class, and paired differences between them."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from gutseg.chapters.results.measuring import Measured
from gutseg.chapters.results.wording import columns, organ_name, part_columns, with_ends
from gutseg.metrics.competition import Metric, ScanResult
from gutseg.metrics.intervals import Interval, differences, patient_of, patient_sums
from gutseg.reporting.parts import Chart, Part, Series, Table
from gutseg.reporting.tables import by_class, class_intervals

PATIENTS = (
    "Intervals of 95 % are from a studentised bootstrap over patients (docs/metric.md): how the "
    "score would change with other patients, for the same weights."
)

# that a chart can tell apart
MOST_PAIRS = 10


def overview(sources: Sequence[Measured], metric: Metric) -> list[Part]:
    """Return scores by class, and differences where there are several sources."""
    parts: list[Part] = [*_by_class(sources, metric), _chart(sources, metric)]
    if len(sources) > 1:
        table = difference_table(sources, metric)
        parts.append(table)
        if table.frame["pair"].nunique() <= MOST_PAIRS:
            parts.append(_difference_chart(table.frame))
    return parts


def _by_class(sources: Sequence[Measured], metric: Metric) -> list[Part]:
    scores, parts = [], []
    for source in sources:
        people = len({patient_of(one.scan) for one in source.results})
        counts = {"patients": people, "scans": len(source.results)}
        for organ, found in class_intervals(source.results, metric).items():
            row = {"source": source.name, "class": organ_name(organ)}
            scores.append({**row, **columns(found), **counts})
            parts.append({**row, **part_columns(found)})
    frames = [pd.DataFrame(rows) for rows in (scores, parts)]
    if len(sources) == 1:
        frames = [frame.drop(columns="source") for frame in frames]
    score, part = frames
    return [
        Table("results_scores", "Scores by class", score, note=PATIENTS),
        Table("results_score_parts", "Dice and distance by class, with intervals", part),
    ]


def _chart(sources: Sequence[Measured], metric: Metric) -> Chart:
    series, said = [], []
    for source in sources:
        found = {
            organ_name(organ): one["score"]
            for organ, one in class_intervals(source.results, metric).items()
        }
        value, low, high = zip(*found.values(), strict=True)
        bars = _known(low, value), _known(high, value)
        series.append(Series(source.name, [*found], value, "points", *bars))
        said.append(f"{source.name} {with_ends(found['all'])}")
    return Chart(
        "results_scores_chart",
        "Score by class with its 95 % interval",
        "class",
        "score",
        series,
        about=f"Score of all classes: {'; '.join(said)}.",
    )


def _known(ends: Sequence[float], values: Sequence[float]) -> Sequence[float] | None:
    """Return ends of intervals, the value itself where there is none; None where none has any."""
    known = np.isfinite(ends)
    return np.where(known, ends, values).tolist() if known.any() else None


def difference_table(sources: Sequence[Measured], metric: Metric) -> Table:
    """Return the differences of every pair of sources on the scans that both predicted."""
    rows = []
    for one, other in combinations(sources, 2):
        ours, theirs = common(one.results, other.results)
        mine, yours = by_class(ours), by_class(theirs)
        for organ in mine:
            sums, others = (patient_sums(part[organ], metric) for part in (mine, yours))
            found = differences([*sums.values()], [*others.values()])
            gain, dice, distance = (found[key] for key in ("score", "dice", "hausdorff"))
            rows.append(
                {
                    "pair": f"{one.name} minus {other.name}",
                    "class": organ_name(organ),
                    "score": gain.value,
                    "from": gain.low,
                    "to": gain.high,
                    "differs": _differs(gain.low, gain.high),
                    "Dice": dice.value,
                    "1 - Hausdorff": -distance.value,
                    "patients": len(sums),
                    "scans": len(ours),
                }
            )
    return Table(
        "results_differences",
        "Paired differences: the same patients drawn for both",
        pd.DataFrame(rows),
        note="The pair differs where the interval of the score leaves out 0. Intervals are not "
        "corrected for the number of pairs: of twenty that do not differ, one will seem to.",
    )


def _difference_chart(frame: pd.DataFrame) -> Chart:
    series, said = [], []
    for pair, rows in frame.groupby("pair", sort=False):
        columns = (rows[name].tolist() for name in ("class", "score", "from", "to"))
        names, values, low, high = columns
        bars = _known(low, values), _known(high, values)
        series.append(Series(str(pair), names, values, "points", *bars))
        # all classes come last
        said.append(f"{pair} {with_ends(Interval(values[-1], low[-1], high[-1]))}")
    return Chart(
        "results_differences_chart",
        "Paired differences of the score with their 95 % intervals",
        "class",
        "difference of the score",
        series,
        about=f"All classes: {'; '.join(said)}.",
    )


def common(
    ours: Sequence[ScanResult], theirs: Sequence[ScanResult]
) -> tuple[list[ScanResult], list[ScanResult]]:
    """Return the results of both on the scans that both have with the same truth."""
    other = {one.scan: one for one in theirs}
    pairs = [
        (one, other[one.scan])
        for one in ours
        if one.scan in other and np.array_equal(one.truth, other[one.scan].truth)
    ]
    return [one for one, _ in pairs], [one for _, one in pairs]


def _differs(low: float, high: float) -> str | None:
    if low != low:
        return None
    # equal sums leave 1e-18
    return "yes" if low > 1e-9 or high < -1e-9 else "no"
