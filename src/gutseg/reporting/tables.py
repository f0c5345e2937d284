"""Tables as Markdown, and scores by class, case, scan and fold, with intervals over patients."""

from collections.abc import Mapping, Sequence

import pandas as pd

from gutseg.constants import CLASSES
from gutseg.data.index import visits_of
from gutseg.metrics.competition import Metric, ScanResult, Summary, of_class, summarise
from gutseg.metrics.intervals import Interval, intervals, patient_of, patient_sums

Groups = Mapping[str, Sequence[ScanResult]]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """Return a table; its first `words` columns hold words, the others numbers."""
    lines = [header, ["---"] * words + ["---:"] * (len(header) - words), *rows]
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def number(value: float, digits: int = 3) -> str:
    """Return a number with fixed digits, a dash for NaN."""
    return "–" if value != value else f"{value:.{digits}f}"


def with_interval(mean: float, half: float, digits: int = 3) -> str:
    """Return mean ± half the width of its interval."""
    return number(mean, digits) if half != half else f"{mean:.{digits}f} ± {half:.{digits}f}"


def by_class(results: Sequence[ScanResult]) -> dict[str, Sequence[ScanResult]]:
    """Return the results of every class and, last, of `all` of them."""
    parts = {organ: [of_class(result, organ) for result in results] for organ in CLASSES}
    return {**parts, "all": results}


def summaries(results: Sequence[ScanResult], metric: Metric) -> dict[str, Summary]:
    """Return the summary of every class and, last, of all of them."""
    return {name: summarise(part, metric) for name, part in by_class(results).items()}


def class_intervals(
    results: Sequence[ScanResult], metric: Metric
) -> dict[str, dict[str, Interval]]:
    """Return score, dice and hausdorff of every class and, last, of `all`, over patients."""
    parts = by_class(results).items()
    return {name: intervals([*patient_sums(part, metric).values()]) for name, part in parts}


def as_text(groups: Groups, metric: Metric) -> str:
    """Return scores as a table for a terminal, a row per group.

    One group alone has a row per class, with intervals over patients. Groups of several patients,
    as folds are, have that of the score of all classes.
    """
    if len(groups) == 1:
        (results,) = groups.values()
        return _with_intervals(results, metric)
    rows = {
        name: {
            (organ.replace("_", " "), column): value
            for organ, found in summaries(results, metric).items()
            for column, value in (
                ("dice", found.dice),
                ("1-hausdorff", 1 - found.hausdorff),
                ("score", found.score),
            )
        }
        for name, results in groups.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").astype(object)
    ends = {name: _score_of_all(results, metric) for name, results in groups.items()}
    if any(one.low == one.low for name, one in ends.items() if name != "all"):
        table["all", "score, 95 %"] = [between(one.low, one.high) for one in ends.values()]
    return _text(table)


def _score_of_all(results: Sequence[ScanResult], metric: Metric) -> Interval:
    return intervals([*patient_sums(results, metric).values()])["score"]


def _with_intervals(results: Sequence[ScanResult], metric: Metric) -> str:
    rows: dict[str, dict[str, float | str]] = {}
    for organ, found in class_intervals(results, metric).items():
        value, low, high = found["hausdorff"]
        # the distance is shown as what is better when higher
        parts = {**found, "1-hausdorff": Interval(1 - value, 1 - high, 1 - low)}
        rows[organ] = {}
        for name in ("dice", "1-hausdorff", "score"):
            value, low, high = parts[name]
            rows[organ] |= {name: value, f"{name}, 95 %": between(low, high)}
    return _text(pd.DataFrame.from_dict(rows, orient="index"))


def between(low: float, high: float, digits: int = 3) -> str:
    """Return the ends of an interval, a dash where there is none."""
    return "-" if low != low else f"{low:.{digits}f} to {high:.{digits}f}"


def pooled_text(groups: Mapping[str, Mapping[str, float]], classes: Sequence[str]) -> str:
    """Return measures pooled over pixels as a table; one group alone gets one row per class."""
    columns = ["dice", "iou", "precision", "recall"]
    if len(groups) == 1:
        (found,) = groups.values()
        rows = {name: [found[f"{key}.{name}"] for key in columns] for name in classes}
        rows["mean"] = [found[key] for key in columns]
        if found["iou"] != found["iou_fg"]:
            rows["mean without background"] = [found[f"{key}_fg"] for key in columns]
    else:
        columns = [*columns, "accuracy"]
        rows = {name: [found[key] for key in columns] for name, found in groups.items()}
    return _text(pd.DataFrame.from_dict(rows, orient="index", columns=columns))


def _text(table: pd.DataFrame) -> str:
    return table.to_string(float_format="{:.3f}".format, na_rep="-")


def group_by(results: Sequence[ScanResult], by: str) -> dict[str, list[ScanResult]]:
    """Group results by `case`, `scan` or `visit`: the first day of a patient, or a later one.

    By `class` there are no groups, classes are columns.
    """
    groups: dict[str, list[ScanResult]] = {}
    visits = visits_of(result.scan for result in results) if by == "visit" else {}
    for result in results if by != "class" else ():
        name = result.scan.split("_")[0] if by == "case" else result.scan
        groups.setdefault(visits.get(name, name), []).append(result)
    return groups


def scores(
    results: Sequence[ScanResult],
    metric_name: str,
    metric: Metric,
    folds: Groups | None = None,
    visits: Groups | None = None,
) -> dict:
    """Return what `gutseg score --json` writes; NaN becomes null.

    folds, visits: name -> its results.
    """
    found, ends = summaries(results, metric), class_intervals(results, metric)
    scans = group_by(results, "scan").items()
    return {
        **_values(found["all"]),
        "patients": len({patient_of(result.scan) for result in results}),
        "intervals": _ends(ends["all"]),
        "metric": metric_name,
        "metric_source": metric.source,
        "counts": found["all"].counts,
        "per_class": {
            organ: _values(found[organ]) | {"intervals": _ends(ends[organ])} for organ in CLASSES
        },
        **({"per_fold": _per_fold(folds, metric)} if folds else {}),
        **({"per_visit": _per_fold(visits, metric)} if visits else {}),
        "per_scan": {name: _values(summarise(group, metric)) for name, group in scans},
    }


def _per_fold(folds: Groups, metric: Metric) -> dict[str, dict]:
    found = {}
    for name, results in folds.items():
        sums = patient_sums(results, metric)
        ends = {"patients": len(sums), "intervals": _ends(intervals([*sums.values()]))}
        found[name] = _values(summarise(results, metric)) | ends
    return found


def score_text(found: Mapping) -> str:
    """Return the score in what `scores` returned, with its interval where there is one."""
    (low, high), patients = found["intervals"]["score"], found["patients"]
    text = f"score {found['score']:.4f}"
    if low is None:
        return text
    return f"{text}, 95 % interval {low:.4f} to {high:.4f} over {patients} patients"


def as_plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return values as JSON can hold them: NaN becomes null."""
    return {key: None if value != value else value for key, value in values.items()}


def _values(found: Summary) -> dict[str, float | None]:
    return as_plain({"score": found.score, "dice": found.dice, "hausdorff": found.hausdorff})


def _ends(found: Mapping[str, Interval]) -> dict[str, list[float | None]]:
    return {key: [*as_plain(one._asdict()).values()][1:] for key, one in found.items()}
