"""The tables of a comparison; TABLES says which there are and whose shape each has."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gutseg.comparison.statistics import against_best, interval, ranks, smallest_p
from gutseg.registry import Spec
from gutseg.reporting.bench_figures import bars, critical_difference
from gutseg.reporting.markdown import number, table, with_interval

BLOCK = ["lr", "patch", "seed", "fold"]


@dataclass(frozen=True)
class View:
    """What a table is drawn from: one row a cell, the ranking score, where figures go."""

    frame: pd.DataFrame
    score: str
    folder: Path

    def networks(self) -> list[str]:
        """Networks in the order of the grid."""
        return list(self.frame["network"].unique())

    def of(self, network: str) -> pd.DataFrame:
        """The cells of a network."""
        return self.frame[self.frame["network"] == network]

    def classes(self) -> list[str]:
        """Classes, in the order of the data."""
        return [key.removeprefix("iou.") for key in self.frame if key.startswith("iou.")]


def blocks(frame: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return scores with one row a block (lr, patch, seed, fold) and one column a loss."""
    if score not in frame:
        frame = frame.assign(**{score: np.nan})
    return frame.pivot(index=BLOCK, columns="label", values=score)[frame["label"].unique()]


def main(view: View) -> str:
    """Losses of every network, best first: score, corrected p, per-class IoU, cost."""
    parts = [_ranked(view, network) for network in view.networks()]
    return "\n\n".join(part for part in parts if part)


def _ranked(view: View, network: str) -> str:
    frame = view.of(network)
    scores = blocks(frame, view.score)
    means = scores.mean().sort_values(ascending=False)
    if means.notna().sum() == 0:
        return ""
    p = against_best(scores[means.index])
    rows = []
    for label in means.index:
        cells = frame[frame["label"] == label]
        row = [label, with_interval(*interval(scores[label])), number(p[label])]
        row += [number(cells[f"iou.{key}"].mean()) for key in view.classes()]
        row += [number(1000 * cells["seconds_per_step"].mean(), 1)]
        row += [number(cells["peak_mb"].mean(), 0)]
        rows.append([*row, f"{(cells['status'] == 'ok').sum()}/{len(cells)}"])
    header = ["loss", f"{view.score} ± 95 %", "p (Holm)"]
    header += [f"IoU {key}" for key in view.classes()] + ["ms/step", "MB", "cells"]
    return "\n\n".join([f"### {network}", table(header, rows), _ranking(view, network, scores)])


def _ranking(view: View, network: str, scores: pd.DataFrame) -> str:
    """What the tests can say at all, and the figures."""
    found = ranks(scores)
    number_of = view.networks().index(network)
    figures = [f"scores{number_of}.png", f"ranks{number_of}.png"]
    intervals = {label: interval(scores[label]) for label in found.average.index}
    bars(view.folder / figures[0], intervals, f"{view.score}, mean and 95 % interval")
    text = (
        f"p: paired Wilcoxon signed-rank test against the first row on {len(scores)} blocks; "
        f"the smallest that can come out before Holm's correction is "
        f"{smallest_p(len(scores)):.2g}. "
        "Folds share training images, so intervals and p are too narrow rather than too wide. "
        "A cell without a result is left out of a mean and ranks last."
    )
    lines = [text, f"![scores]({figures[0]})"]
    if found.critical == found.critical:
        critical_difference(view.folder / figures[1], found)
        lines.append(f"Friedman p = {found.p:.2g}, critical difference {found.critical:.2f} ranks.")
        lines.append(f"![average ranks]({figures[1]})")
    return "\n\n".join(lines)


TABLES = {
    "main": Spec(main, "losses by score"),
}
