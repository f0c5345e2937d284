"""Tables in the shape of thesis 000, its own numbers beside ours."""

import json

import pandas as pd

from gutseg.reporting.markdown import number, table, with_interval
from gutseg.study.report import published_numbers as seeds
from gutseg.study.report.published_rows import NOTE, beside, own, place
from gutseg.study.report.view import View
from gutseg.study.statistics import interval

# The thesis' four measures: means over classes, the background among them.
FOUR = {"dice": "Dice", "iou": "mIoU", "precision": "mean precision", "recall": "mean recall"}
THREE = {key: FOUR[key] for key in ("iou", "precision", "recall")}

# Below this share of the pixels a class counts as rare.
RARE = 0.05


def _noted(drawn: str, *tables: str) -> str:
    """A table and the sentence that says what its parentheses are."""
    return f"{NOTE.format('; '.join(tables))}\n\n{drawn}"


def four(view: View) -> str:
    """Networks × losses, four measures."""
    rows = [
        [network, label, *beside(cells, FOUR, seeds.NETWORKS, place(cells))]
        for (network, label), cells in view.frame.groupby(["network", "label"], sort=False)
    ]
    return _noted(table(["network", "loss", *FOUR.values()], rows, words=2), *seeds.NETWORKS)


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
        texts = beside(cells, FOUR, seeds.SUMS, place(cells))
        for key, text in zip(FOUR, texts, strict=True):
            beaten = len(singles) and (cells[key].mean() > singles[key].mean()).all()
            row.append(text + (" ↑" if beaten else ""))
        rows.append(row)
    return _noted(table(["network", "loss", *FOUR.values()], rows, words=2), *seeds.SUMS)


def per_class(view: View) -> str:
    """Networks × losses, IoU of every class."""
    keys = {f"iou.{key}": key for key in view.classes()}
    rows = [
        [network, label, *beside(cells, keys, seeds.PER_CLASS, place(cells))]
        for (network, label), cells in view.frame.groupby(["network", "label"], sort=False)
    ]
    drawn = table(["network", "loss", *keys.values()], rows, words=2)
    return _noted(drawn, *seeds.PER_CLASS)


def weight_functions(view: View) -> str:
    """Class weights × three measures, of every loss that was run with some."""
    weighed = view.frame[view.frame["class_weights"] != ""]
    frame = view.frame[view.frame["loss"].isin(weighed["loss"])]
    if weighed.empty:
        return ""
    rows = []
    for (network, loss, kind), cells in frame.groupby(
        ["network", "loss", "class_weights"], sort=False
    ):
        printed = seeds.WEIGHT_FUNCTIONS if loss == "focal_softmax" else {}
        # no weights are uniform ones times the number of classes, which Adam does not see
        row = beside(cells, THREE, printed, kind or "uniform")
        rows.append([network, loss, kind or "none", *row])
    drawn = table(["network", "loss", "class weights", *THREE.values()], rows, words=3)
    return _noted(drawn, *(f"{name}, Attention U-Net" for name in seeds.WEIGHT_FUNCTIONS))


def bootstrapping(view: View) -> str:
    """Number of hard pixels × three measures."""
    frame = view.frame[view.frame["loss"] == "online_bootstrapping"]
    if frame.empty:
        return ""
    frame = frame.assign(n=[json.loads(params)["n"] for params in frame["params"]])
    rows = [
        [network, str(n), *beside(cells, THREE, seeds.BOOTSTRAPPING, str(n))]
        for (network, n), cells in frame.groupby(["network", "n"], sort=True)
    ]
    drawn = table(["network", "n", *THREE.values()], rows)
    return _noted(drawn, *(f"{name}, network not said" for name in seeds.BOOTSTRAPPING))


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


def combinations(view: View) -> str:
    """Networks × sums of dice, the focal loss of weights ⑤ and the 4096 hardest pixels."""
    parts = {"dice", seeds.FOCAL_5, seeds.OB_4096}
    groups = view.frame.groupby(["network", "label"], sort=False)
    rows = [
        [network, label, *beside(cells, FOUR, seeds.COMBINATIONS, place(cells))]
        for (network, label), cells in groups
        if set(place(cells)[1].split("+")) <= parts
    ]
    printed = own(seeds.COMBINATIONS, FOUR, ["data", "network", "loss"])
    if not rows:
        return f"No cell has one of these combinations. The thesis:\n\n{printed}"
    drawn = table(["network", "loss", *FOUR.values()], rows, words=2)
    return f"{_noted(drawn, *seeds.COMBINATIONS)}\n\nThe thesis:\n\n{printed}"


def binary(view: View) -> str:
    """Foreground against background: six measures, of data with a single foreground class."""
    ground, prefix = view.background(), ""
    objects = [key for key in view.classes() if key != ground]
    if "binary.dice" in view.frame:
        ground, prefix, objects = "background", "binary.", ["object"]
    heads = {"dice": "Dice", "iou": "IoU", "precision": "mean precision", "recall": "mean recall"}
    heads |= {"precision.background": "background precision"}
    heads |= {"recall.background": "background recall"}
    printed = own({"thesis 000": seeds.BINARY}, heads, ["source", "data"])
    if len(objects) != 1:
        return (
            "These cells have several foreground classes and no `background_from`, so no binary "
            f"model is measured. The thesis:\n\n{printed}"
        )
    keys = [f"dice.{objects[0]}", f"iou.{objects[0]}", "precision", "recall"]
    keys += [f"precision.{ground}", f"recall.{ground}"]
    frame = view.frame.reindex(
        columns=[*view.frame, *{prefix + key for key in keys} - {*view.frame}]
    )
    rows = [
        [network, label, *(number(cells[prefix + key].mean()) for key in keys)]
        for (network, label), cells in frame.groupby(["network", "label"], sort=False)
    ]
    drawn = table(["network", "loss", *heads.values()], rows, words=2)
    return f"{drawn}\n\nThe thesis, precision and recall swapped back:\n\n{printed}"


def _mean(cells: pd.DataFrame, key: str) -> float:
    return cells[key].mean() if key in cells else float("nan")


def background_reuse(view: View) -> str:
    """Plain and with a binary model's background laid over it; ↑ where that is better."""
    printed = own(seeds.REUSE, FOUR, ["data", "prediction"])
    printed = f"The thesis, precision and recall swapped back:\n\n{printed}"
    if "reuse.dice" not in view.frame:
        return f"Not measured: this comparison's config has no `background_from`. {printed}"
    rows = []
    for (network, label), cells in view.frame.groupby(["network", "label"], sort=False):
        plain = [cells[key].mean() for key in FOUR]
        reused = [cells[f"reuse.{key}"].mean() for key in FOUR]
        better = (" ↑" if new > old else "" for new, old in zip(reused, plain, strict=True))
        reused = [number(value) + mark for value, mark in zip(reused, better, strict=True)]
        rows.append([network, label, "plain", *map(number, plain)])
        rows.append([network, label, "reuse", *reused])
        rows.append([network, label, "difference ± 95 %", *_differences(cells)])
    drawn = table(["network", "loss", "prediction", *FOUR.values()], rows, words=3)
    return f"{drawn}\n\n{printed}"


def _differences(cells: pd.DataFrame) -> list[str]:
    """Gain of reuse in each of the four, paired over cells."""
    return [with_interval(*interval(cells[f"reuse.{key}"] - cells[key])) for key in FOUR]
