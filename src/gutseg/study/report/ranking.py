"""Losses and networks by score, with intervals, tests and what they cost."""

import pandas as pd

from gutseg.reporting.tables import markdown, number, with_interval
from gutseg.study.report.figures import bars, critical_difference
from gutseg.study.report.view import View, blocks
from gutseg.study.statistics import against_best, interval, ranks, smallest_p

# of data with whole scans: column -> head
COMPETITION = {"score": "score", "competition_dice": "competition Dice", "hausdorff": "Hausdorff"}


def main(view: View) -> str:
    """Losses of every network, best first: score, corrected p, IoU by class, cost."""
    parts = [_ranked(view, network) for network in view.networks()]
    return "\n\n".join(part for part in parts if part)


def _ranked(view: View, network: str) -> str:
    frame = view.tuned(network)
    scores = blocks(frame, view.score)
    means = scores.mean().sort_values(ascending=False)
    if means.notna().sum() == 0:
        return ""
    p = against_best(scores[means.index])
    others = {key: head for key, head in COMPETITION.items() if key in frame and key != view.score}
    rows = []
    for label in means.index:
        cells = frame[frame["label"] == label]
        row = [label, with_interval(*interval(scores[label])), number(p[label])]
        row += [number(cells[key].mean()) for key in others]
        row += [number(cells[f"iou.{key}"].mean()) for key in view.classes()]
        row += [number(1000 * cells["seconds_per_step"].mean(), 1)]
        row += [number(cells["peak_mb"].mean(), 0)]
        rows.append([*row, f"{(cells['status'] == 'ok').sum()}/{len(cells)}"])
    header = ["loss", f"{view.score} ± 95 %", "p (Holm)", *others.values()]
    header += [f"IoU {key}" for key in view.classes()] + ["ms/step", "MB", "cells"]
    return "\n\n".join([f"### {network}", markdown(header, rows), _ranking(view, network, scores)])


def _ranking(view: View, network: str, scores: pd.DataFrame) -> str:
    """Say what the tests can show, and draw the figures."""
    found = ranks(scores)
    order = scores.mean().sort_values(ascending=False).index
    number_of = view.networks().index(network)
    figures = [f"scores{number_of}.png", f"ranks{number_of}.png"]
    intervals = {label: interval(scores[label]) for label in order}
    bars(view.folder / figures[0], intervals, f"{view.score}, mean and 95 % interval")
    text = (
        f"p: paired Wilcoxon signed-rank test against the first row on {len(scores)} blocks; "
        f"before Holm's correction it cannot be below {smallest_p(len(scores)):.2g}. Folds share "
        "training images, so intervals and p are rather too narrow than too wide. "
        f"{_choice(view)}A cell without a result is left out of the means and ranks last. "
        "Milliseconds were measured while other cells were running."
    )
    lines = [text, f"![scores]({figures[0]})"]
    if found.critical == found.critical:
        critical_difference(view.folder / figures[1], found)
        lines.append(f"Friedman p = {found.p:.2g}, critical difference {found.critical:.2f} ranks.")
        lines.append(f"![average ranks]({figures[1]})")
    return "\n\n".join(lines)


def _choice(view: View) -> str:
    """Say that every loss was shown at its best setting, where it had several."""
    if len(view.frame[["lr", "patch"]].drop_duplicates()) == 1:
        return ""
    return (
        "Every loss is shown at the learning rate and patch that are best on these same held-out "
        "images, which flatters all losses. "
    )


def networks(view: View) -> str:
    """Score of the losses that were run with more than one network."""
    names = view.networks()
    scores = {name: blocks(view.tuned(name), view.score) for name in names}
    shared = [
        label
        for label in view.frame["label"].unique()
        if sum(label in found for found in scores.values()) > 1
    ]
    if not shared:
        return ""
    rows = [
        [label, *(_score(scores[name], label) for name in names), _gain(scores, label)]
        for label in shared
    ]
    sizes = [f"{view.of(name)['parameters'].mean() / 1e6:.3f} M" for name in names]
    return markdown(["loss", *names, f"{names[1]} minus {names[0]}"], [*rows, ["size", *sizes, ""]])


def _score(scores: pd.DataFrame, label: str) -> str:
    return with_interval(*interval(scores[label])) if label in scores else "–"


def _gain(scores: dict[str, pd.DataFrame], label: str) -> str:
    """Paired difference of the second network to the first."""
    first, second = list(scores.values())[:2]
    if label not in first or label not in second:
        return "–"
    return with_interval(*interval(second[label] - first[label]))
