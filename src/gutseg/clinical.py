"""Predictions measured in mm and ml: `gutseg score --metric clinical`, whatever holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gutseg.clinic.nifti_pairs import measure_pairs
from gutseg.data.index import visits_of
from gutseg.data.tables import is_csv
from gutseg.files import write_json
from gutseg.inference.csv_scores import measure_csv
from gutseg.metrics.clinical import Clinical, OneEmpty, OrganResult
from gutseg.metrics.intervals import patient_of
from gutseg.reporting.clinical import (
    as_content,
    by_class,
    clinical_text,
    grouped,
    last_line,
    legend,
    scan_text,
)
from gutseg.settings import Missing

METRIC = "clinical"
TOLERANCE_HELP = "of clinical: mm that its surface Dice tolerates, by default 3"
ONE_EMPTY_HELP = "of clinical: distance of an organ missed or invented, by default the diagonal"


@dataclass(frozen=True)
class Measured:
    """Organs measured, and the fold that held a scan out: `fold 0`, `fold 0+1` of divided ones."""

    results: list[OrganResult]
    folds: Mapping[str, str]


def how(metric: str, tolerance: float | None, one_empty: OneEmpty | None) -> Clinical | None:
    """Return how to measure, None for the metrics of the competition, which take no options.

    Raises ValueError for options of another metric or out of range.
    """
    given = {"tolerance": tolerance, "one_empty": one_empty}
    said = {key: value for key, value in given.items() if value is not None}
    if metric != METRIC:
        if said:
            option = next(iter(said)).replace("_", "-")
            raise ValueError(f"--{option} is for --metric {METRIC}, not for {metric}")
        return None
    if tolerance is not None and not 0 <= tolerance <= 1000:
        raise ValueError(f"--tolerance {tolerance}; expected 0 to 1000 mm")
    return Clinical(**said)  # type: ignore[arg-type]


def measure(
    source: Path,
    truth: Path | None,
    slices: Path | None,
    how: Clinical,
    missing: Missing = "refuse",
    fold: str = "all",
    background: Path | None = None,
) -> Measured:
    """Measure a csv or a folder of NIfTI files against a truth, or a run or a blend out of fold.

    truth, slices: of a csv; fold, background: of a run or a blend; as in `gutseg score`.
    """
    if truth and truth.is_dir():
        return Measured(measure_pairs(source, truth, how, missing), {})
    if is_csv(source) and truth and slices:
        return Measured(measure_csv(source, truth, slices, how, missing), {})
    from gutseg import blends  # torch takes seconds to import, a csv does not need it

    opened = blends.open_source(source, fold, missing, background)
    member = opened.members[0]
    folds = {scan: "+".join(map(str, member.folds_of(scan))) for scan in member.scans}
    return Measured(
        blends.measured(opened, how), {scan: f"fold {name}" for scan, name in folds.items()}
    )


def show(measured: Measured, tables: Sequence[str], how: Clinical, json: Path | None) -> None:
    """Print tables by class, case, scan, fold or visit and the means, and write them as JSON.

    Raises ValueError when no scan shows an organ.
    """
    results = measured.results
    if all(result.outcome == "absent" for result in results):
        raise ValueError("nothing to score, no scan shows an organ in truth or masks")
    for kind in tables:
        if kind == "scan":
            print(scan_text(results), end="\n\n")
            continue
        groups = _groups(measured, kind)
        print(clinical_text(groups), end="\n\n")
    if json:
        write_json(json, as_content(results, how))
    print(legend(how))
    print(last_line(results, how))


def _groups(measured: Measured, kind: str) -> dict[str, list[OrganResult]]:
    results = measured.results
    if kind == "class":
        return by_class(results)
    if kind == "case":
        return {**grouped(results, lambda one: patient_of(one.scan)), "all": results}
    if kind == "visit":
        visits = visits_of(one.scan for one in results)
        return {**grouped(results, lambda one: visits[one.scan]), "all": results}
    groups = grouped(results, lambda one: measured.folds[one.scan])
    return {**{name: groups[name] for name in sorted(groups, key=by_number)}, "all": results}


def by_number(name: str) -> tuple[int, str]:
    """Sort `fold 2` before `fold 10`."""
    return len(name), name
