"""Quartiles of the Dice over learning rates and patches, with isolines and boxes."""

import numpy as np
import pandas as pd

from gutseg.reporting.tables import markdown
from gutseg.study.report.figures import boxes, isolines
from gutseg.study.report.view import View


def lr_by_patch(view: View) -> str:
    """Losses × (patch, learning rate): median (quartiles) of the Dice of the last steps."""
    if "tail_median" not in view.frame:
        return ""
    parts = []
    for order, network in enumerate(view.networks()):
        frame = view.of(network).sort_values(["patch", "lr"], kind="stable")
        setting = [f"{row.patch}, {row.lr:g}" for row in frame.itertuples()]
        cells = frame.assign(setting=setting).groupby(["label", "setting"], sort=False)
        found = cells[["tail_q1", "tail_median", "tail_q3"]].mean()
        parts += [f"### {network}", _quartiles("loss", found, view.of(network)["label"])]
        medians = frame.groupby(["label", "lr", "patch"], sort=False)["tail_median"].mean()
        medians = medians.unstack("patch")
        if medians.shape[1] > 1 and frame["lr"].nunique() > 1:
            isolines(view.folder / f"isolines{order}.png", medians)
            parts.append(f"![isolines](isolines{order}.png)")
    return "\n\n".join(parts)


def held_out(view: View) -> str:
    """Losses × learning rate, and losses × patch: median (quartiles) of the held-out Dice."""
    parts = [
        "Each table pools seeds, folds and the settings of the other. The table `lr_by_patch` has "
        "the Dice of the last training steps."
    ]
    for order, network in enumerate(view.networks()):
        frame, panels = view.of(network), {}
        for key in ("lr", "patch"):
            names = [f"{value:g}" if key == "lr" else value for value in frame[key]]
            groups = frame.assign(**{key: names}).groupby(["label", key], sort=False)["dice_fg"]
            found = groups.quantile([0.25, 0.5, 0.75]).unstack()
            parts.append(_quartiles(f"{network}, {key}", found, frame["label"]))
            panels[key] = {", ".join(names): cells.to_numpy() for names, cells in groups}
        boxes(view.folder / f"boxes{order}.png", panels)
        parts.append(f"![held-out Dice](boxes{order}.png)")
    return "\n\n".join(parts)


def _quartiles(head: str, found: pd.DataFrame, labels: pd.Series) -> str:
    """Draw losses × settings; found: rows (loss, setting), columns quartile, median, quartile."""
    settings = found.index.get_level_values(1).unique()
    texts = found.apply(_text, axis=1)
    rows = [
        [label, *(texts.get((label, setting), "–") for setting in settings)]
        for label in labels.unique()
    ]
    return markdown([head, *settings], rows)


def _text(row: pd.Series) -> str:
    low, middle, high = row
    return "–" if np.isnan(middle) else f"{middle:.2f} ({low:.2f}–{high:.2f})"
