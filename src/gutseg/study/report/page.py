"""The Markdown page of a study: settings, tables, figures, and the cells without a result."""

from pathlib import Path

import pandas as pd

from gutseg.files import replacing
from gutseg.study.grid import Study
from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View

PAGE = "README.md"
MEASURES = (
    "Dice, IoU, precision and recall are pooled: they are counted over all pixels of a fold's "
    "held-out images, for every class, and averaged over the classes (`_fg`: without the "
    "background)."
)
COMPETITION = (
    " The competition's own measures are averages over slices and scans: `competition_dice` is "
    "the mean Dice of a class on a slice, `hausdorff` the mean normalised Hausdorff distance of a "
    "class in a scan, and `score` is 0.4 `competition_dice` + 0.6 (1 - `hausdorff`)."
)


def write(frame: pd.DataFrame, study: Study, folder: Path) -> Path:
    """Write README.md and its figures next to bench.parquet; return the page's path."""
    view = View(frame, study.score, folder)
    parts = [f"# {study.name}", study.describe(), _measured(frame)]
    any_result = (frame["status"] == "ok").any()
    for name in study.tables:
        table = TABLES[name]
        drawn = table.drawn(view) if any_result else ""
        parts += [f"## {name}: {table.heading()}", drawn or "No cell has what this table shows."]
    parts += ["## Cells without a result", _without_result(frame)]
    path = folder / PAGE
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def _measured(frame: pd.DataFrame) -> str:
    """Say which Dice is meant, and on what device the cells ran."""
    devices = sorted(frame["device"].dropna().unique()) if "device" in frame else []
    device = f" Device: {', '.join(devices)}." if devices else ""
    return MEASURES + (COMPETITION if "score" in frame else "") + device


def _without_result(frame: pd.DataFrame) -> str:
    lost = frame[frame["status"] != "ok"]
    lines = [f"- `{row.id}` {row.status}: {row.reason}" for row in lost.itertuples()]
    return "\n".join(lines) or "None."
