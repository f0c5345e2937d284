"""Which scans to look at first: measurements far from what is usual, with the reason in words."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from gutseg.chapters.dataset.volumes import against_other_days

# what nine of ten scans stay below
HIGH = 0.9
# reasons that are named: from this score on, and always the highest
NAMED_FROM = 2.0


@dataclass(frozen=True)
class Check:
    """A measurement of an organ that is high where labels went wrong."""

    # what it looks for
    about: str
    # least distance from usual to high: below it, differences mean nothing
    least: float
    # the column that is measured, from a row per organ
    value: Callable[[pd.DataFrame], pd.Series]
    # words about a row
    words: Callable[[pd.Series], str]


def _volume_words(row: pd.Series) -> str:
    if not row["ml"]:
        return f"no {_organ(row)} (usually {row['usual_ml']:.0f} ml)"
    return f"{_organ(row)} of {row['ml']:.0f} ml, {row['usual_ml']:.0f} ml on other days"


def _organ(row: pd.Series) -> str:
    return str(row["organ"]).replace("_", " ")


# name of a check: what it measures; `organs` has the columns of measuring._organ and of volumes
CHECKS = {
    "volume": Check(
        "volume against the median of the patient's other days, in doublings or halvings",
        0.5,
        lambda organs: organs["blamed"].abs(),
        _volume_words,
    ),
    "far part": Check(
        "distance of a connected part from all larger ones",
        20.0,
        lambda organs: organs["far_mm"],
        lambda row: (
            f"a part of {_organ(row)} ({row['far_voxels']:.0f} voxels) lies {row['far_mm']:.0f} mm "
            f"from the rest, slice {row['far_slice']:.0f}"
        ),
    ),
    "missing": Check(
        "slices without the organ between two that have it",
        1.0,
        lambda organs: organs["missing"],
        lambda row: (
            f"{row['missing']:.0f} slices without {_organ(row)} between {row['first']:.0f} and "
            f"{row['last']:.0f}"
        ),
    ),
    "abrupt head end": Check(
        "area of the first slice with the organ, as a share of its largest slice",
        0.2,
        lambda organs: organs["head"],
        lambda row: (
            f"{_organ(row)} begins in slice {row['first']:.0f} with {row['head']:.0%} of its "
            "largest area"
        ),
    ),
    "abrupt foot end": Check(
        "area of the last slice with the organ, as a share of its largest slice",
        0.2,
        lambda organs: organs["foot"],
        lambda row: (
            f"{_organ(row)} ends in slice {row['last']:.0f} with {row['foot']:.0%} of its "
            "largest area"
        ),
    ),
    "jump": Check(
        "pixels that change from one slice to the next, as a share of the largest slice",
        0.2,
        lambda organs: organs["jump"],
        lambda row: (
            f"{_organ(row)} changes by {row['jump']:.0%} of its largest area at slice "
            f"{row['jump_slice']:.0f}"
        ),
    ),
    "overlap": Check(
        "share of the organ that is labelled as another organ too",
        0.05,
        lambda organs: organs["shared"],
        lambda row: f"{row['shared']:.0%} of {_organ(row)} is labelled as another organ too",
    ),
}


def explained() -> pd.DataFrame:
    """Return what each check measures and the least distance from usual to high."""
    rows = [(name, check.about, check.least) for name, check in CHECKS.items()]
    return pd.DataFrame(rows, columns=["check", "what it measures", "least distance"])


def limits(organs: pd.DataFrame) -> pd.DataFrame:
    """Return per check and organ what is usual and what is high."""
    organs = pd.concat([organs, against_other_days(organs)], axis=1)
    rows = []
    for name, check in CHECKS.items():
        values = check.value(organs).astype(float)
        for organ, own in values.groupby(organs["organ"], sort=False):
            usual, high = own.median(), own.quantile(HIGH)
            rows.append((name, str(organ).replace("_", " "), usual, max(high, usual + check.least)))
    return pd.DataFrame(rows, columns=["check", "organ", "usual", "high"])


def steps(organs: pd.DataFrame) -> pd.DataFrame:
    """Return every check of every row of organs in steps from what is usual, NaN where unknown.

    0 is the median of the organ over all scans, 1 is what nine of ten stay below, or the median
    plus the least difference that counts.
    """
    columns = {}
    for name, check in CHECKS.items():
        values = check.value(organs).astype(float)
        grouped = values.groupby(organs["organ"])
        usual = grouped.transform("median")
        columns[name] = (values - usual) / (grouped.transform("quantile", HIGH) - usual).clip(
            lower=check.least
        )
    return pd.DataFrame(columns)


def suspicious(organs: pd.DataFrame) -> pd.DataFrame:
    """Rank scans: scan, score, check and reasons, the most suspicious first.

    organs: rows of `measure` with case. The score is the highest of the scan's steps and check
    its name; reasons are all from NAMED_FROM on, and the highest.
    """
    organs = pd.concat([organs, against_other_days(organs)], axis=1)
    found = []
    for scan, rows in steps(organs).groupby(organs["scan"], sort=False):
        ordered = rows.stack().sort_values(ascending=False, kind="stable")
        named = [
            CHECKS[check].words(organs.loc[row])
            for place, ((row, check), value) in enumerate(ordered.items())
            if value >= NAMED_FROM or (place == 0 and value > 0)
        ]
        score = max(ordered.max(), 0.0) if len(ordered) else 0.0
        check = ordered.index[0][1] if score > 0 else ""
        found.append((scan, score, check, "; ".join(named)))
    table = pd.DataFrame(found, columns=["scan", "score", "check", "reasons"])
    return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)
