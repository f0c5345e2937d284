"""The Markdown page of a study: settings, tables, figures, and the cells without a result."""

from pathlib import Path

import pandas as pd

from gutseg.files import replacing
from gutseg.study.grid import Study
from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View

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
    devices = sorted(frame["device"].dropna().unique()) if "device" in frame else []
    measured = MEASURES + (COMPETITION if "score" in frame else "")
    measured += f" Device: {', '.join(devices)}." if devices else ""
    parts = [f"# {study.name}", study.describe(), measured]
    any_result = (frame["status"] == "ok").any()
    for name in study.tables:
        table = TABLES[name]
        drawn = table.drawn(view) if any_result else ""
        parts += [f"## {name}: {table.heading()}", drawn or "No cell has what this table shows."]
    lost = frame[frame["status"] != "ok"]
    lines = [f"- `{row.id}` {row.status}: {row.reason}" for row in lost.itertuples()]
    parts += ["## Cells without a result", "\n".join(lines) or "None."]
    path = folder / "README.md"
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path
