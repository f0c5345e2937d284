"""Scores by fold, patient and scan: the worst of them, and Dice against distance."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from gutseg.chapters.results.measuring import Measured
from gutseg.chapters.results.wording import columns, organ_name
from gutseg.constants import CLASSES
from gutseg.metrics.competition import Metric, ScanResult, of_class, summarise
from gutseg.metrics.intervals import intervals, patient_sums
from gutseg.reporting.figures import COLOURS
from gutseg.reporting.parts import Chart, Part, Series, Table
from gutseg.reporting.tables import group_by

SHOWN = 10


def people_parts(source: Measured, key: str, metric: Metric) -> list[Part]:
    """Return the parts about folds, patients and scans of one source; key: ends their names."""
    cases = case_frame(source.results, metric)
    parts: list[Part] = [
        _folds(source, key, metric),
        _cases(cases, key),
        _case_chart(cases, key),
        _worst_decile(cases, key),
        _scans(source, key, metric),
    ]
    return [*parts, scatter(source.results, key)]


def _folds(source: Measured, key: str, metric: Metric) -> Table:
    rows = []
    for fold, results in sorted(source.folds.items()):
        sums = patient_sums(results, metric)
        people = {"patients": len(sums), "scans": len(results)}
        rows.append({"fold": fold, **columns(intervals([*sums.values()])), **people})
    return Table(
        f"results_folds{key}",
        "Scores by fold",
        pd.DataFrame(rows),
        note="Intervals over the patients of the fold: with fewer than six they are of Student's "
        "t distribution, with one there is none.",
    )


def case_frame(results: Sequence[ScanResult], metric: Metric) -> pd.DataFrame:
    """Return a row per patient, the worst score first."""
    rows = []
    for case, group in group_by(results, "case").items():
        found = summarise(group, metric)
        row = {"case": case, "scans": len(group), "score": found.score, "Dice": found.dice}
        row["1 - Hausdorff"] = 1 - found.hausdorff
        for organ in CLASSES:
            part = summarise([of_class(one, organ) for one in group], metric)
            row[organ_name(organ)] = part.score
        rows.append(row)
    return pd.DataFrame(rows).sort_values("score", kind="stable", ignore_index=True)


def _cases(cases: pd.DataFrame, key: str) -> Table:
    return Table(
        f"results_cases{key}",
        "Scores by patient, the worst first; the last columns are the score of each class",
        cases,
        note="One patient has no interval: patients are what the intervals are taken over.",
    )


def _case_chart(cases: pd.DataFrame, key: str) -> Chart:
    scores = cases["score"]
    points = Series("patient", cases["case"].tolist(), scores.tolist(), "points")
    low, middle, high = scores.min(), scores.median(), scores.max()
    return Chart(
        f"results_cases_chart{key}",
        "Score of every patient, sorted",
        "patient",
        "score",
        [points],
        about=f"{len(cases)} patients score from {low:.3f} to {high:.3f}; half of them at least "
        f"{middle:.3f}.",
    )


def _worst_decile(cases: pd.DataFrame, key: str) -> Table:
    count = math.ceil(len(cases) / 10)
    worst, share = cases.head(count), cases["scans"].head(count).sum()
    return Table(
        f"results_worst_decile{key}",
        f"The worst tenth of the patients: {count} of {len(cases)}, with {share} of "
        f"{cases['scans'].sum()} scans",
        worst,
        note=f"Their mean score is {worst['score'].mean():.3f}, that of all patients "
        f"{cases['score'].mean():.3f} (means over patients).",
    )


def _scans(source: Measured, key: str, metric: Metric) -> Table:
    fold_of: dict[str, str] = {}
    for fold, results in sorted(source.folds.items()):
        for one in results:
            before = fold_of.get(one.scan)
            fold_of[one.scan] = str(fold) if before is None else f"{before}, {fold}"
    rows = []
    for one in source.results:
        found = summarise([one], metric)
        parts = {organ: summarise([of_class(one, organ)], metric).score for organ in CLASSES}
        known = {organ: score for organ, score in parts.items() if score == score}
        worst = organ_name(min(known, key=known.__getitem__)) if known else None
        row = {"scan": one.scan, "fold": fold_of[one.scan], "score": found.score}
        row |= {"Dice": found.dice, "1 - Hausdorff": 1 - found.hausdorff, "worst class": worst}
        rows.append(row)
    frame = pd.DataFrame(rows).sort_values("score", kind="stable", ignore_index=True)
    caption = "All scans, the worst first"
    if len(frame) > 2 * SHOWN:
        frame = pd.concat([frame.head(SHOWN), frame.tail(SHOWN)])
        caption = f"The {SHOWN} worst and the {SHOWN} best of {len(rows)} scans"
    return Table(f"results_scans{key}", caption, frame)


def scatter(results: Sequence[ScanResult], key: str) -> Chart:
    """Return the Dice of every scan and class against its Hausdorff distance."""
    series, every = [], []
    for place, organ in enumerate(CLASSES):
        points = [
            (float(np.nanmean(one.dice[place])), float(one.hausdorff[place]), one.scan)
            for one in results
            if np.isfinite(one.dice[place]).any() and np.isfinite(one.hausdorff[place])
        ]
        dice, distance, scans = zip(*points, strict=True) if points else ((), (), ())
        colour = COLOURS[organ]
        series.append(
            Series(organ_name(organ), dice, distance, "points", labels=scans, colour=colour)
        )
        every += points
    return Chart(
        f"results_dice_hausdorff{key}",
        "Dice against the normalised Hausdorff distance, a point per scan and class",
        "Dice, mean over the rows of the scan",
        "normalised Hausdorff distance",
        series,
        about=_correlation(every),
        note="Points at the top right overlap well and lose their score to one far voxel; a class "
        "that was missed or invented is at distance 1.",
    )


def _correlation(points: Sequence[tuple[float, float, str]]) -> str:
    lost = sum(distance >= 1 for _, distance, _ in points)
    said = f"{len(points)} pairs of a scan and a class, {lost} of them at distance 1"
    dice, distance = ([point[place] for point in points] for place in (0, 1))
    if len(set(dice)) < 2 or len(set(distance)) < 2:
        return f"{said}."
    return f"{said}; the rank correlation is {stats.spearmanr(dice, distance)[0]:.2f}."
