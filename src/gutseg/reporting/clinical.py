"""Tables of what a clinician asks for, in mm and ml, and the same for a JSON file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

import pandas as pd

from gutseg.metrics.clinical import Clinical, OrganResult
from gutseg.reporting.tables import number

# field of OrganResult -> head of its column, digits
COLUMNS = {
    "dice": ("Dice", 3),
    "surface_dice": ("NSD", 3),
    "hausdorff": ("HD mm", 1),
    "hausdorff_95": ("HD95 mm", 1),
    "mean_distance": ("ASSD mm", 2),
    "volume_error": ("error ml", 1),
    "volume_error_size": ("|error| ml", 1),
}
COUNTED = ("found", "missed", "invented")


def frame_of(results: Sequence[OrganResult]) -> pd.DataFrame:
    """Return a row per scan and organ, with the fields of OrganResult and |volume_error|."""
    names = [field.name for field in fields(OrganResult)]
    table = pd.DataFrame([asdict(result) for result in results], columns=names)
    return table.assign(volume_error_size=table["volume_error"].abs())


def summary(results: Sequence[OrganResult]) -> dict:
    """Return pairs of scan and organ by outcome, and mean and median of every measure over them.

    Organs that are absent on both sides are counted and not averaged.
    """
    table = frame_of(results)
    outcome = table["outcome"].value_counts()
    kept = table[table["outcome"] != "absent"][list(COLUMNS)]
    return {
        "pairs": len(kept),
        **{name: int(outcome.get(name, 0)) for name in (*COUNTED, "absent")},
        "mean": kept.mean().to_dict(),
        "median": kept.median().to_dict(),
    }


def by_class(results: Sequence[OrganResult]) -> dict[str, list[OrganResult]]:
    """Group results by organ, in the order in which organs come, and `all` last."""
    return {**grouped(results, lambda result: result.organ), "all": list(results)}


def grouped(results: Sequence[OrganResult], key) -> dict[str, list[OrganResult]]:
    """Group results by what `key` returns, in the order in which it comes."""
    groups: dict[str, list[OrganResult]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups


def clinical_text(groups: Mapping[str, Sequence[OrganResult]]) -> str:
    """Return a table for a terminal, a row per group: counts, then mean (median)."""
    rows = {}
    for name, results in groups.items():
        found = summary(results)
        rows[name] = {
            "pairs": found["pairs"],
            **{key: found[key] for key in ("missed", "invented")},
        }
        for key, (head, digits) in COLUMNS.items():
            mean, median = found["mean"][key], found["median"][key]
            rows[name][head] = f"{number(mean, digits)} ({number(median, digits)})"
    return pd.DataFrame.from_dict(rows, orient="index").to_string()


def scan_text(results: Sequence[OrganResult]) -> str:
    """Return a table for a terminal, a row per scan and organ that is not absent."""
    table = frame_of([result for result in results if result.outcome != "absent"])
    shown = table[["scan", "organ", "outcome"]].copy()
    for key, (head, digits) in COLUMNS.items():
        if key != "volume_error_size":
            shown[head] = [number(value, digits) for value in table[key]]
    return shown.to_string(index=False)


def legend(how: Clinical) -> str:
    """Say in one line what the columns are."""
    stands = "the scan's diagonal" if how.one_empty == "diagonal" else "inf"
    return (
        "mean (median) over pairs of scan and organ in truth or prediction; NSD at "
        f"{how.tolerance:g} mm; error: prediction minus truth; missed and invented organs have "
        f"Dice and NSD 0 and {stands} as distance"
    )


def last_line(results: Sequence[OrganResult], how: Clinical) -> str:
    """Return what a verb prints last."""
    found = summary(results)
    mean = found["mean"]
    return (
        f"Dice {mean['dice']:.4f}, NSD {mean['surface_dice']:.4f} at {how.tolerance:g} mm, HD95 "
        f"{mean['hausdorff_95']:.2f} mm (means over {found['pairs']} pairs of scan and organ, "
        f"{found['missed']} missed, {found['invented']} invented)"
    )


def as_content(results: Sequence[OrganResult], how: Clinical) -> dict:
    """Return what `gutseg score --metric clinical --json` writes; NaN and inf become null."""
    scans = grouped(results, lambda result: result.scan).items()
    return {
        "score": None,
        "metric": "clinical",
        "tolerance_mm": how.tolerance,
        "one_empty": how.one_empty,
        "all": _finite(summary(results)),
        "per_class": {
            organ: _finite(summary(part))
            for organ, part in by_class(results).items()
            if organ != "all"
        },
        "per_scan": {
            name: {result.organ: _finite(_measures(result)) for result in part}
            for name, part in scans
        },
    }


def _measures(result: OrganResult) -> dict:
    return {key: value for key, value in asdict(result).items() if key not in ("scan", "organ")}


def _finite(values: Mapping) -> dict:
    """Replace what JSON cannot hold by None, in nested dicts too."""
    return {
        key: _finite(value)
        if isinstance(value, Mapping)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for key, value in values.items()
    }
