"""What a clinician asks for: surface distances in mm and volumes in ml, with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gutseg.chapters.results.wording import organ_name
from gutseg.metrics.clinical import Clinical, OrganResult
from gutseg.metrics.intervals import patient_of, ratio_intervals
from gutseg.reporting.clinical import COLUMNS, by_class, frame_of, legend, summary
from gutseg.reporting.parts import Part, Table

# what a measure can be; the others are 0 or more
LIMITS = {"dice": (0.0, 1.0), "surface_dice": (0.0, 1.0), "volume_error": (-np.inf, np.inf)}


def clinical_parts(organs: Sequence[OrganResult], how: Clinical, key: str) -> list[Part]:
    """Return means by class, and each with its median and its interval over patients."""
    means, ends = [], []
    for name, results in by_class(organs).items():
        found, shown = summary(results), organ_name(name)
        counts = {one: found[one] for one in ("pairs", "missed", "invented")}
        values = {head: found["mean"][column] for column, (head, _) in COLUMNS.items()}
        means.append({"class": shown, **counts, **values})
        for row in _intervals(results):
            ends.append({"class": shown, **row})
    return [
        Table(
            f"results_clinical{key}",
            "Overlap, surface distances and volumes by class, means",
            pd.DataFrame(means),
            digits=2,
            note=f"Averaged {legend(how).removeprefix('mean (median) ')}.",
        ),
        Table(
            f"results_clinical_intervals{key}",
            "The same with 95 % intervals over patients, and medians",
            pd.DataFrame(ends),
            digits=2,
        ),
    ]


def _intervals(results: Sequence[OrganResult]) -> list[dict[str, float | str]]:
    """Return a row per measure: mean over pairs, its interval over patients, and the median."""
    table = frame_of(results)
    table = table[table["outcome"] != "absent"]
    patients = table["scan"].map(patient_of)
    groups = [part for _, part in table[list(COLUMNS)].groupby(patients, sort=False)]
    sums = np.array([np.stack([one.sum(), one.count()], axis=-1) for one in groups], float)
    found = ratio_intervals(sums.reshape(-1, len(COLUMNS), 2), np.eye(len(COLUMNS)))
    rows: list[dict[str, float | str]] = []
    for (name, (head, _)), one in zip(COLUMNS.items(), found, strict=True):
        value, low, high = one.within(*LIMITS.get(name, (0.0, np.inf)))
        row: dict[str, float | str]
        row = {"measure": head, "mean": value, "from": low, "to": high}
        rows.append(row | {"median": float(table[name].median())})
    return rows
