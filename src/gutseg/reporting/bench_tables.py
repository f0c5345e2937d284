"""The tables of a comparison; TABLES says which there are and whose shape each has."""

import json

import numpy as np
import pandas as pd

from gutseg.comparison.statistics import interval
from gutseg.losses.weights import WEIGHTS, class_weights
from gutseg.registry import Spec
from gutseg.reporting.bench_figures import isolines
from gutseg.reporting.bench_ranking import main, networks
from gutseg.reporting.bench_view import View
from gutseg.reporting.markdown import number, table, with_interval

# Thesis 000's four measures: means over classes, the background among them.
FOUR = {"dice": "Dice", "iou": "mIoU", "precision": "mean precision", "recall": "mean recall"}
THREE = {key: FOUR[key] for key in ("iou", "precision", "recall")}

# Below this share of the pixels a class counts as rare.
RARE = 0.05


def _means(frame: pd.DataFrame, keys: dict[str, str]) -> list[str]:
    return [number(frame[key].mean()) for key in keys]


def four(view: View) -> str:
    """Networks × losses, four measures."""
    rows = [
        [network, label, *_means(cells, FOUR)]
        for (network, label), cells in view.frame.groupby(["network", "label"], sort=False)
    ]
    return table(["network", "loss", *FOUR.values()], rows, words=2)


def sums(view: View) -> str:
    """Networks × sums of losses and their parts; ↑ where a sum beats each of its parts."""
    sums_of = view.frame[view.frame["terms"] != ""]
    parts = {part for terms in sums_of["terms"] for part in terms.split("+")}
    frame = view.frame[view.frame["loss"].isin(parts) | (view.frame["terms"] != "")]
    if sums_of.empty:
        return ""
    rows = []
    for (network, label), cells in frame.groupby(["network", "label"], sort=False):
        singles = frame[frame["loss"].isin(cells["terms"].iloc[0].split("+"))]
        singles = singles[singles["network"] == network].groupby("label")
        row = [network, label]
        for key in FOUR:
            value = cells[key].mean()
            beaten = len(singles) and (value > singles[key].mean()).all()
            row.append(number(value) + (" ↑" if beaten else ""))
        rows.append(row)
    return table(["network", "loss", *FOUR.values()], rows, words=2)


def per_class(view: View) -> str:
    """Networks × losses, IoU of every class."""
    classes = view.classes()
    rows = [
        [network, label, *_means(cells, {f"iou.{key}": key for key in classes})]
        for (network, label), cells in view.frame.groupby(["network", "label"], sort=False)
    ]
    return table(["network", "loss", *classes], rows, words=2)


def weights(view: View) -> str:
    """Class shares of the training images and the weights that follow from them."""
    classes = view.classes()
    known = view.frame.dropna(subset=[f"share.{key}" for key in classes])
    shares = [known[f"share.{key}"].mean() for key in classes]
    ground = known["background"].iloc[0]
    background = classes.index(ground) if ground else None
    columns = {kind: class_weights(kind, shares, background) for kind in WEIGHTS}
    rows = [
        [key, f"{share:.4%}", *(number(column[place], 4) for column in columns.values())]
        for place, (key, share) in enumerate(zip(classes, shares, strict=True))
    ]
    return table(["class", "share", *columns], rows)


def weight_functions(view: View) -> str:
    """Class weights × three measures, of every loss that was run with some."""
    weighed = view.frame[view.frame["class_weights"] != ""]
    frame = view.frame[view.frame["loss"].isin(weighed["loss"])]
    if weighed.empty:
        return ""
    rows = [
        [network, loss, kind or "none", *_means(cells, THREE)]
        for (network, loss, kind), cells in frame.groupby(
            ["network", "loss", "class_weights"], sort=False
        )
    ]
    return table(["network", "loss", "class weights", *THREE.values()], rows, words=3)


def bootstrapping(view: View) -> str:
    """Number of hard pixels × three measures."""
    frame = view.frame[view.frame["loss"] == "online_bootstrapping"]
    if frame.empty:
        return ""
    frame = frame.assign(n=[json.loads(params)["n"] for params in frame["params"]])
    rows = [
        [network, str(n), *_means(cells, THREE)]
        for (network, n), cells in frame.groupby(["network", "n"], sort=True)
    ]
    return table(["network", "n", *THREE.values()], rows)


def hard_pixels(view: View) -> str:
    """Classes of the n hardest pixels of each held-out image: shares, and counts of rare ones."""
    frame, classes = view.frame, view.classes()
    numbers = sorted({int(key.split(".")[0][4:]) for key in frame if key.startswith("hard")})
    if not numbers:
        return ""
    # Folds differ in images, so counts are summed over folds and averaged over everything else.
    runs = max(len(frame[frame["status"] == "ok"]) / frame["fold"].nunique(), 1)
    counts = {n: [frame[f"hard{n}.{key}"].sum() / runs for key in classes] for n in numbers}
    counts["all"] = [frame[f"pixels.{key}"].sum() / runs for key in classes]
    shares = [[str(n), *(f"{value / sum(row):.2%}" for value in row)] for n, row in counts.items()]
    whole = sum(counts["all"])
    rare = [place for place, value in enumerate(counts["all"]) if value < RARE * whole]
    absolute = [[str(n), *(f"{row[place]:.0f}" for place in rare)] for n, row in counts.items()]
    note = "Mean over losses, networks, learning rates, patches and seeds; `all`: every pixel."
    first = table(["n", *classes], shares)
    second = table(["n", *(f"{classes[place]}, pixels" for place in rare)], absolute)
    return "\n\n".join([note, first, *([second] if rare else [])])


def protocol_001(view: View) -> str:
    """Losses × Dice, IoU and accuracy of the objects at the end of the budget."""
    keys = {"dice_fg": "Dice", "iou_fg": "IoU", "accuracy": "ACC"}
    rows = [
        [network, label, number(cells["steps"].mean(), 0), *_means(cells, keys)]
        for (network, label), cells in view.frame.groupby(["network", "label"], sort=False)
    ]
    return table(["network", "loss", "steps", *keys.values()], rows, words=2)


def lr_by_patch(view: View) -> str:
    """Losses × (learning rate, patch): median (quartiles) of the Dice of the last steps."""
    if "tail_median" not in view.frame:
        return ""
    parts = []
    for place, network in enumerate(view.networks()):
        frame = view.of(network)
        cells = frame.groupby(["label", "lr", "patch"], sort=False)
        found = cells[["tail_q1", "tail_median", "tail_q3"]].mean()
        columns = frame[["lr", "patch"]].drop_duplicates().sort_values(["patch", "lr"])
        columns = list(columns.itertuples(index=False, name=None))
        rows = [
            [label, *(_quartiles(found.loc[(label, *column)]) for column in columns)]
            for label in frame["label"].unique()
        ]
        header = ["loss", *(f"{patch}, {lr:g}" for lr, patch in columns)]
        parts += [f"### {network}", table(header, rows)]
        medians = found["tail_median"].unstack("patch")
        if medians.shape[1] > 1 and frame["lr"].nunique() > 1:
            isolines(view.folder / f"isolines{place}.png", medians)
            parts.append(f"![isolines](isolines{place}.png)")
    return "\n\n".join(parts)


def _quartiles(row: pd.Series) -> str:
    low, middle, high = row
    return "–" if np.isnan(middle) else f"{middle:.2f} ({low:.2f}–{high:.2f})"


def accuracy(view: View) -> str:
    """Pixel accuracy, Dice and IoU with their intervals."""
    keys = {"accuracy": "pixel accuracy", "dice_fg": "Dice", "iou_fg": "IoU"}
    rows = [
        [network, label, *(with_interval(*interval(cells[key]), 4) for key in keys)]
        for (network, label), cells in view.frame.groupby(["network", "label"], sort=False)
    ]
    return table(["network", "loss", *keys.values()], rows, words=2)


TABLES = {
    "main": Spec(main, "losses by score"),
    "networks": Spec(networks, "the best losses with a second network"),
    "T1": Spec(four, "networks × losses (thesis 000, tables 4.3 and 4.6)"),
    "T2": Spec(four, "the best networks × losses (thesis 000, tables 4.4 and 4.7)"),
    "T3": Spec(per_class, "IoU of every class (thesis 000, tables 4.5 and 4.9)"),
    "T4": Spec(sums, "sums of losses (thesis 000, tables 4.8 and 4.10)"),
    "T5": Spec(weights, "class shares and weights (thesis 000, tables 3.2, 3.3 and 4.11)"),
    "T6": Spec(weight_functions, "weight functions (thesis 000, table 4.12)"),
    "T7": Spec(bootstrapping, "number of hard pixels (thesis 000, table 4.13)"),
    "T8": Spec(hard_pixels, "classes of the hard pixels (thesis 000, tables 3.1 and 4.14)"),
    "U3": Spec(protocol_001, "losses (course paper 001, table 8)"),
    "G2": Spec(lr_by_patch, "losses × learning rate × patch (paper 003, tables 2 and 3)"),
    "M1": Spec(accuracy, "pixel accuracy (report 002)"),
}
