"""Losses and networks by score, with intervals, tests and what they cost."""

import pandas as pd

from gutseg.reporting.tables import markdown, number, with_interval
from gutseg.study.report.figures import bars, critical_difference
from gutseg.study.report.view import View
from gutseg.study.statistics import against_best, interval, ranks, smallest_p

# of data with whole scans: column -> head
COMPETITION = {"score": "score", "competition_dice": "competition Dice", "hausdorff": "Hausdorff"}


def main(view: View) -> str:
    """Losses of every network, best first: score, corrected p, IoU by class, cost."""
    parts = []
    for order, name in enumerate(view.networks()):
        scores = view.blocks(name)
        drawn = _ranked(view, view.tuned(name), scores, ("label", "loss"), str(order))
        parts += [f"### {name}\n\n{drawn}"] if drawn else []
    return "\n\n".join(parts)


def networks_ranked(view: View) -> str:
    """Networks trained with each loss, best first: score, corrected p, IoU by class, cost, size."""
    tuned = pd.concat([view.tuned(name) for name in view.networks()])
    parts = []
    for order, label in enumerate(tuned["label"].unique()):
        frame = tuned[tuned["label"] == label]
        scores = frame.reindex(columns=[*frame, *({view.score} - set(frame))]).pivot(
            index=["seed", "fold"], columns="network", values=view.score
        )
        drawn = _ranked(view, frame, scores, ("network", "network"), f"_networks{order}")
        parts += [f"### {label}\n\n{drawn}"] if drawn else []
    return "\n\n".join(parts)


def _ranked(
    view: View, frame: pd.DataFrame, scores: pd.DataFrame, contender: tuple[str, str], suffix: str
) -> str:
    """Rank contenders, a column of the frame and its head, by the columns of scores."""
    scores = scores[scores.mean().sort_values(ascending=False).index]
    if scores.isna().all(axis=None):
        return ""
    column, head = contender
    p = against_best(scores)
    columns = {key: COMPETITION[key] for key in COMPETITION if key in frame and key != view.score}
    columns |= {f"iou.{key}": f"IoU {key}" for key in view.classes()}
    rows = []
    for label in scores:
        cells = frame[frame[column] == label]
        row = [label, with_interval(*interval(scores[label])), number(p[label])]
        row += [number(cells[key].mean()) for key in columns]
        row += [number(cells["parameters"].mean() / 1e6)] if column == "network" else []
        row += [number(1000 * cells["seconds_per_step"].mean(), 1)]
        row += [number(cells["peak_mb"].mean(), 0)]
        rows.append([*row, f"{(cells['status'] == 'ok').sum()}/{len(cells)}"])
    header = [head, f"{view.score} ± 95 %", "p (Holm)", *columns.values()]
    header += ["parameters, M"] if column == "network" else []
    drawn = markdown([*header, "ms/step", "MB", "cells"], rows)
    return "\n\n".join([drawn, *_tested(view, scores, suffix)])


def _tested(view: View, scores: pd.DataFrame, suffix: str) -> list[str]:
    """Say what the tests can show, and draw the figures. scores: columns best first."""
    intervals = {label: interval(scores[label]) for label in scores}
    bars(view.folder / f"scores{suffix}.png", intervals, f"{view.score}, mean and 95 % interval")
    one_setting = len(view.frame[["lr", "patch"]].drop_duplicates()) == 1
    tuned = (
        "Everything is shown at the learning rate and patch that are best on these same held-out "
        "images, which flatters all. "
    )
    said = (
        f"p: paired Wilcoxon signed-rank test against the first row on {len(scores)} blocks; "
        f"before Holm's correction it cannot be below {smallest_p(len(scores)):.2g}. Folds share "
        "training images, so intervals and p are rather too narrow than too wide. "
        f"{'' if one_setting else tuned}A cell without a result is left out of the means and "
        "ranks last. Milliseconds were measured while other cells were running."
    )
    parts = [said, f"![scores](scores{suffix}.png)"]
    found = ranks(scores)
    if found.critical == found.critical:
        critical_difference(view.folder / f"ranks{suffix}.png", found)
        parts.append(f"Friedman p = {found.p:.2g}, critical difference {found.critical:.2f} ranks.")
        parts.append(f"![average ranks](ranks{suffix}.png)")
    return parts


def networks(view: View) -> str:
    """Score of the losses that were run with more than one network."""
    names = view.networks()
    scores = {name: view.blocks(name) for name in names}
    counts = view.frame.groupby("label", sort=False)["network"].nunique()
    labels = counts.index[counts > 1]
    if labels.empty:
        return ""
    first, second = (scores[name].reindex(columns=labels) for name in names[:2])
    gains = second - first
    rows = [
        [
            label,
            *(with_interval(*interval(found.get(label, []))) for found in scores.values()),
            with_interval(*interval(gains[label])),
        ]
        for label in labels
    ]
    sizes = [f"{view.of(name)['parameters'].mean() / 1e6:.3f} M" for name in names]
    return markdown(["loss", *names, f"{names[1]} minus {names[0]}"], [*rows, ["size", *sizes, ""]])
