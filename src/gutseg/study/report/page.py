"""The Markdown page of a study: settings, tables, figures, and the cells without a result."""

from pathlib import Path

import pandas as pd

from gutseg.files import replacing
from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import Study, View

PAGE = "README.md"
MEASURES = (
    "Dice, IoU, precision and recall are pooled: they are counted over all pixels of a fold's "
    "held-out images, for every class, and averaged over the classes."
)
COMPETITION = (
    " The competition's measures are averages over slices and scans instead: `score` is 0.4 times "
    "`competition_dice`, which is the mean Dice of slices and classes, plus 0.6 times "
    "(1 - `hausdorff`), the normalised Hausdorff distance."
)


def write(frame: pd.DataFrame, study: Study, folder: Path) -> Path:
    """Write README.md and its figures beside bench.parquet; return the page's path."""
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
