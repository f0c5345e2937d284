"""What a choice of runs is told as: a table, a few lines, and JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gutseg.config import Rule
from gutseg.inference.selection import Told
from gutseg.metrics.intervals import Interval
from gutseg.reporting.tables import as_plain, between, markdown

HEADER = ("run", "alone", "all without it", "it adds", "chosen", "score so far", "chosen by folds")


def as_table(runs: Sequence[Path], told: Told) -> str:
    """Return a row per run: alone, what all lose without it, when it was chosen."""
    rows = []
    for number, run in enumerate(runs):
        place = told.chosen.index(number) if number in told.chosen else None
        rows.append(
            [
                *(str(run), _with_ends(told.alone[number]), f"{told.without[number]:.4f}"),
                _with_ends(told.worth[number], "+"),
                "-" if place is None else f"{place + 1}.",
                "-" if place is None else f"{told.steps[place]:.4f}",
                f"{sum(number in one for one in told.by_fold)} of {len(told.by_fold)}",
            ]
        )
    return markdown(HEADER, rows)


def as_lines(runs: Sequence[Path], told: Told, metric: str) -> str:
    """Return what was chosen and what that scores, a line each."""
    names = ", ".join(str(runs[number]) for number in told.chosen)
    lines = {
        f"all {len(runs)} runs, equal weights (nothing was chosen)": _with_ends(told.everyone),
        "selection, cross-fitted (chosen on all folds but one, scored on that one)": _with_ends(
            told.fitted.score
        ),
        "best single run, cross-fitted": _with_ends(told.single.score),
        "selection minus all runs, cross-fitted": _with_ends(told.gain, "+"),
        "selection minus best single run, cross-fitted": _with_ends(told.ahead, "+"),
        f"chosen on all folds: {names}": (
            f"{told.steps[-1]:.4f} ({metric}), on the scans that it was chosen on"
        ),
    }
    return "\n".join(f"{name}: {text}" for name, text in lines.items())


def as_content(
    runs: Sequence[Path], told: Told, rules: Sequence[Rule], metric: str, command: str
) -> dict[str, Any]:
    """Return the same as plain values; command: that makes the blend of the chosen runs."""
    rows = zip(runs, told.alone, told.without, told.worth, strict=True)
    return {
        "runs": [
            {"run": str(run), "alone": _ends(alone), "all_without_it": less, "adds": _ends(adds)}
            for run, alone, less, adds in rows
        ],
        "chosen": [str(runs[number]) for number in told.chosen],
        "scores": told.steps,
        "chosen_without_fold": [[str(runs[one]) for one in some] for some in told.by_fold],
        "all": _ends(told.everyone),
        "cross_fitted": _ends(told.fitted.score),
        "best_single_cross_fitted": _ends(told.single.score),
        "cross_fitted_minus_all": _ends(told.gain),
        "cross_fitted_minus_best_single": _ends(told.ahead),
        "metric": metric,
        "rules": [vars(rule) for rule in rules],
        "command": command,
    }


def _with_ends(one: Interval, sign: str = "") -> str:
    return f"{one.value:{sign}.4f} ({between(one.low, one.high)})"


def _ends(one: Interval) -> dict[str, float | None]:
    return as_plain(one._asdict())
