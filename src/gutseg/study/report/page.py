"""The Markdown page of a comparison: settings, tables, figures, and what failed."""

from pathlib import Path

import pandas as pd

from gutseg.files import replacing
from gutseg.registry import shown, suggest
from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View
from gutseg.study.sections import Bench, Input

PAGE = "README.md"


def check_tables(names: list[str]) -> None:
    """Raise ValueError for a table that does not exist."""
    for name in names:
        if name not in TABLES:
            raise ValueError(f"tables: unknown name {shown(name)}; {suggest(name, list(TABLES))}")


def write(frame: pd.DataFrame, settings: Bench, folder: Path) -> Path:
    """Write README.md and its figures beside bench.parquet; return the page's path."""
    view = View(frame, settings.score, folder)
    parts = [f"# {settings.name}", _setting(frame, settings)]
    nothing = "No cell of this comparison has what it shows."
    for name in settings.tables:
        spec = TABLES[name]
        drawn = spec.build(view) if (frame["status"] == "ok").any() else ""
        parts += [f"## {name}: {spec.source}", drawn or nothing]
    parts += ["## Cells without a result", _lost(frame)]
    path = folder / PAGE
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def _setting(frame: pd.DataFrame, settings: Bench) -> str:
    budget = settings.budget
    spent = f"{budget.steps} steps" if budget.steps else f"{budget.seconds:g} s"
    seeds, folds = len(settings.seeds), len(settings.chosen_folds)
    device = ", ".join(sorted(frame["device"].dropna().unique())) if "device" in frame else "none"
    optim = settings.optim
    return (
        f"Data: {settings.dataset.name}. Every cell trains {spent} on batches of "
        f"{settings.batch_size} crops with {optim.name}, learning rate {optim.schedule}; "
        f"{seeds} seeds × {folds} of {settings.folds} folds. Crops are augmented by "
        f"{'; '.join(map(_crops, settings.inputs))}. Within a seed and a fold all losses "
        "see the same crops in the same order, and a network starts from the same weights. "
        f"Device: {device}."
    )


def _crops(seen: Input) -> str:
    """Say how an input's crops vary, after its name where it has one."""
    ways = [
        *(["flips"] if seen.flips else []),
        *(["quarter turns"] if seen.quarter_turns else []),
        *([seen.preset] if seen.preset != "none" else []),
    ]
    name = f"{seen.label}: " if seen.label else ""
    return name + (" and ".join(ways) or "nothing")


def _lost(frame: pd.DataFrame) -> str:
    lost = frame[frame["status"] != "ok"]
    if lost.empty:
        return "None."
    lines = [f"- `{row.id}` {row.status}: {row.reason}" for row in lost.itertuples()]
    return "\n".join(lines)
