"""Figures of a study: intervals, critical differences, isolines, curves, boxes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gutseg.reporting.figures import save
from gutseg.study.statistics import Ranks, cliques

# Okabe-Ito blue
BLUE = "#0072B2"


def _tidy(axis: Axes, grid: Literal["both", "x", "y"] = "x") -> None:
    axis.grid(axis=grid, alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def bars(path: Path, intervals: Mapping[str, tuple[float, float]], title: str) -> None:
    """Draw a dot and an interval for each contender, the first on top."""
    figure = Figure(figsize=(7, 0.6 + 0.28 * len(intervals)), layout="constrained")
    axis = figure.subplots()
    means, halves = np.array(list(intervals.values())).T
    rows = np.arange(len(intervals))[::-1]
    axis.errorbar(means, rows, xerr=np.nan_to_num(halves), fmt="o", color=BLUE, capsize=3, ms=4)
    axis.set_yticks(rows, list(intervals), fontsize=8)
    axis.set_ylim(-0.6, len(intervals) - 0.4)
    axis.set_title(title, fontsize=9)
    _tidy(axis)
    save(figure, path)


def critical_difference(path: Path, found: Ranks) -> None:
    """Draw average ranks; a bar joins contenders that do not differ.

    Source: [Demšar 2006], figure 1, here with one row per contender for long names.
    """
    names = list(found.average.index)
    runs = cliques(found.average, found.critical)
    figure = Figure(figsize=(7, 1 + 0.28 * len(names)), layout="constrained")
    axis = figure.subplots()
    rows = np.arange(len(names))
    axis.plot(found.average, rows, "o", color=BLUE, ms=5)
    step = len(names) / 40
    for number, (best, worst) in enumerate(runs, 2):
        first, last = names.index(best), names.index(worst)
        at = found.average.iloc[-1] + number * step
        axis.plot([at, at], [first - 0.2, last + 0.2], color="black", lw=2.5)
    axis.plot([1, 1 + found.critical], [-1, -1], color="black", lw=1.5)
    label = f"critical difference {found.critical:.2f}"
    axis.text(1 + found.critical / 2, -1.2, label, ha="center", va="bottom", fontsize=8)
    axis.set_ylim(len(names) - 0.4, -2.1)
    right = found.average.iloc[-1] + (len(runs) + 2) * step
    axis.set_xlim(0.7, max(right, 1 + found.critical))
    axis.set_yticks(rows, names, fontsize=8)
    axis.set_xlabel("average rank (1 is best)", fontsize=8)
    _tidy(axis)
    save(figure, path)


def isolines(path: Path, medians: pd.DataFrame) -> None:
    """Draw one panel per loss: lines of equal score over learning rate and patch area.

    medians: rows (loss, learning rate), one column per patch such as 128x128.
    """
    labels = medians.index.get_level_values("label").unique()
    columns = min(len(labels), 4)
    rows = -(-len(labels) // columns)
    figure = Figure(figsize=(3 * columns, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    areas = [np.prod([int(side) for side in patch.split("x")]) for patch in medians]
    order = np.argsort(areas)
    low, high = np.nanmin(medians.to_numpy()), np.nanmax(medians.to_numpy())
    levels = np.linspace(low, max(high, low + 1e-3), 9)
    for axis, label in zip(axes, labels, strict=False):
        part = medians.loc[label].sort_index()
        filled = part.to_numpy()[:, order].T
        drawn = axis.contourf(np.log10(part.index), np.arange(len(areas)), filled, levels)
        axis.set_yticks(np.arange(len(areas)), medians.columns[order], fontsize=7)
        axis.set_xticks(np.log10(part.index), [f"{lr:g}" for lr in part.index], fontsize=7)
        axis.set_title(label, fontsize=8)
    figure.colorbar(drawn, ax=axes, format="%.2f")
    for axis in axes[len(labels) :]:
        axis.set_axis_off()
    save(figure, path)


def parameter_curves(
    path: Path, x: Sequence[float], families: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Draw one column per family: values above, gradients below, one line per parameter.

    families: name -> parameter -> (len(x), 2), the value and the gradient.
    """
    figure = Figure(figsize=(3 * len(families), 5), layout="constrained")
    axes = figure.subplots(2, len(families), sharex=True, squeeze=False)
    for column, (name, lines) in zip(axes.T, families.items(), strict=True):
        for label, points in lines.items():
            for axis, part in zip(column, points.T, strict=True):
                axis.plot(x, part, lw=1.2, label=label)
        column[0].set_title(name, fontsize=8)
        column[0].legend(fontsize=7)
        column[1].set_xlabel("q", fontsize=8)
    axes[0, 0].set_ylabel("value", fontsize=8)
    axes[1, 0].set_ylabel("gradient", fontsize=8)
    for axis in axes.flat:
        _tidy(axis, "both")
    save(figure, path)


def boxes(path: Path, panels: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Draw one panel of boxes per title; panels: title -> label -> values, which may hold NaN."""
    widest = max(len(panel) for panel in panels.values())
    figure = Figure(figsize=(2 + 0.35 * widest * len(panels), 4), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        axis.boxplot([values[np.isfinite(values)] for values in panel.values()])
        places = np.arange(1, len(panel) + 1)
        axis.set_xticks(places, list(panel), fontsize=7, rotation=90)
        axis.set_title(title, fontsize=9)
        _tidy(axis, "y")
    save(figure, path)
