"""Measures of groups of cells, printed numbers next to them: one function draws most tables.

A table differs from the next in its cells (`rows`), what groups them (`by`) and its columns.
"""

import json
from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from gutseg.reporting.tables import markdown, number, with_interval
from gutseg.study.report.published import (
    loss_key,
    note,
    paired,
    pairing,
    published_table,
    with_published,
)
from gutseg.study.report.view import View
from gutseg.study.statistics import interval

BY = {"network": "network", "label": "loss"}
# means over classes, the background among them
METRIC_COLUMNS = {
    "dice": "Dice",
    "iou": "mIoU",
    "precision": "mean precision",
    "recall": "mean recall",
}
WITHOUT_DICE = {key: METRIC_COLUMNS[key] for key in ("iou", "precision", "recall")}
BINARY = METRIC_COLUMNS | {
    "iou": "IoU",
    "precision.background": "background precision",
    "recall.background": "background recall",
}
OBJECTS = {"dice_fg": "Dice", "iou_fg": "IoU"}
SIZE = {"parameters": "parameters, M"}
# 95 % intervals, wherever ± stands in the head of a column or in the name of a row
WITH_INTERVALS = {
    key: f"{name} ± 95 %" for key, name in {"accuracy": "pixel accuracy", **OBJECTS}.items()
}
GAINS = {f"gain.{key}": f"{name} - first ± 95 %" for key, name in OBJECTS.items()}
_DIGITS = dict.fromkeys(("steps", "batch_size", "train_images", "images", "pixels"), 0)
_DIGITS |= {"ratio": 1, "percent": 4}
# what pairs the cells of two networks or inputs
_PAIRS = ["label", "lr", "patch", "seed", "fold"]


def measures(
    view: View,
    published: str = "",
    *,
    columns: Mapping[str, str] | Callable[[View], Mapping[str, str]] = METRIC_COLUMNS,
    by: Mapping[str, str] = BY,
    rows: Callable[[View], pd.DataFrame] | None = None,
    rivals: Callable[[pd.DataFrame, pd.DataFrame], Iterable[pd.DataFrame]] | None = None,
    whole: bool = False,
    missing: str = "",
    digits: int = 3,
) -> str:
    """Draw the mean of every column over each group of cells; empty if there are none.

    published: printed numbers that stand in parentheses; whole: they are also shown below.
    columns, by: column of the frame -> its head. rivals: groups that a group is compared with, ↑
    where it beats all of them. missing: said instead where there is no cell to show.
    """
    frame = rows(view) if rows else view.frame
    columns = columns(view) if callable(columns) else columns
    lines = []
    for key, cells in frame.groupby(list(by), sort=False) if len(frame) else ():
        beaten = [group.mean(numeric_only=True) for group in rivals(frame, cells)] if rivals else []
        printed = with_published(cells, columns, published)
        values = [
            paired(_text(cells, column, " ".join(map(str, (*key, head))), digits), numbers)
            + (" ↑" if beaten and all(cells[column].mean() > one[column] for one in beaten) else "")
            for (column, head), numbers in zip(columns.items(), printed, strict=True)
        ]
        lines.append([*map(str, key), *values])
    drawn = markdown([*by.values(), *columns.values()], lines, words=len(by)) if lines else missing
    said = pairing(published) if lines else ""
    said += f" {note(published)}" if said and not whole else ""
    return "\n\n".join(filter(None, [said, drawn, published_table(published) if whole else ""]))


def _text(cells: pd.DataFrame, column: str, heads: str, digits: int) -> str:
    if column not in cells:
        return number(float("nan"))
    if "±" in heads:
        return with_interval(*interval(cells[column]), digits)
    mean = cells[column].mean() * (1e-6 if column == "parameters" else 1)
    return number(mean, _DIGITS.get(column, digits))


def iou_by_class(view: View) -> dict[str, str]:
    """The columns of a table with one column per class."""
    return {f"iou.{key}": key for key in view.classes()}


def sums(view: View) -> pd.DataFrame:
    """Sums of losses and the losses that they are made of."""
    frame = view.frame
    parts = {part for terms in frame["terms"] for part in terms.split("+") if part}
    return frame[frame["loss"].isin(parts) | (frame["terms"] != "")]


def parts_of(frame: pd.DataFrame, cells: pd.DataFrame) -> list[pd.DataFrame]:
    """The parts of a sum with the same network; none for a loss that is no sum."""
    parts = cells["terms"].iloc[0].split("+")
    same = frame["network"] == cells["network"].iloc[0]
    return [group for _, group in frame[same & frame["loss"].isin(parts)].groupby("label")]


def with_weights(view: View) -> pd.DataFrame:
    """Losses that were trained with class weights, and the same losses without."""
    frame = view.frame
    weighted = frame["loss"].isin(frame.loc[frame["class_weights"] != "", "loss"])
    return frame[weighted].assign(weights=frame["class_weights"].replace("", "none"))


def bootstrapped(view: View) -> pd.DataFrame:
    """Cells of online bootstrapping by n, its number of hard pixels."""
    frame = view.frame[view.frame["loss"] == "online_bootstrapping"]
    counted = frame.assign(n=[json.loads(params)["n"] for params in frame["params"]])
    return counted.sort_values(["network", "n"], kind="stable")


def made_of(view: View, parts: set[str]) -> pd.DataFrame:
    """Cells whose loss is one of these parts or a sum of some."""
    keys = [loss_key(cell).split("+") for cell in view.frame.to_dict("records")]
    return view.frame[[set(key) <= parts for key in keys]]


def binary(view: View) -> pd.DataFrame:
    """Foreground against background: of data with one foreground class, or `background_from`."""
    ground, prefix = view.background(), ""
    objects = [key for key in view.classes() if key != ground]
    if "binary.dice" in view.frame:
        ground, prefix, objects = "background", "binary.", ["object"]
    if len(objects) != 1:
        return view.frame[:0]
    keys = [f"dice.{objects[0]}", f"iou.{objects[0]}", "precision", "recall"]
    keys += [f"precision.{ground}", f"recall.{ground}"]
    found = view.frame.reindex(columns=[prefix + key for key in keys])
    return view.frame[list(BY)].join(found.set_axis(list(BINARY), axis=1))


def with_reuse(view: View) -> pd.DataFrame:
    """Every cell three times: plain, with the binary network's background, and the difference."""
    if "reuse.dice" not in view.frame:
        return view.frame[:0]
    plain = view.frame[[*BY, *METRIC_COLUMNS]].assign(prediction="plain")
    new = {key: view.frame[f"reuse.{key}"] for key in METRIC_COLUMNS}
    gain = {key: new[key] - plain[key] for key in METRIC_COLUMNS}
    reused = plain.assign(prediction="reuse", **new)
    gained = plain.assign(prediction="difference ± 95 %", **gain)
    return pd.concat([plain, reused, gained]).sort_index(kind="stable")


def plain_of(frame: pd.DataFrame, cells: pd.DataFrame) -> list[pd.DataFrame]:
    """The plain predictions that reused ones are compared with."""
    first = cells.iloc[0]
    plain = (frame[[*BY, "prediction"]] == [*first[[*BY]], "plain"]).all(axis=1)
    return [frame[plain]] if first["prediction"] == "reuse" else []


def with_gains(view: View, within: list[str]) -> pd.DataFrame:
    """Add what each cell gains over the first network (or input) of its group, cell by cell."""
    groups = []
    for _, cells in view.frame.groupby([*within, "label"], sort=False):
        cells = cells.set_index(_PAIRS)
        is_first = cells["network"] == cells["network"].iloc[0]
        first, others = cells[is_first], cells[~is_first]
        gains = {f"gain.{key}": others[key] - first[key].reindex(others.index) for key in OBJECTS}
        groups += [first, others.assign(**gains)]
    return pd.concat(groups).reset_index()


def several_inputs(view: View) -> pd.DataFrame:
    """The inputs of a study with gains over the first; no cell where it has only one."""
    if "input" not in view.frame or view.frame["input"].nunique() < 2:
        return view.frame[:0]
    return with_gains(view, ["architecture", "network_params"])


def with_shares(view: View) -> pd.DataFrame:
    """Add the share of the objects and the ratio of the largest to the smallest class."""
    shares = view.shares()
    ratio = shares.max() / shares.min() if shares.min() > 0 else float("nan")
    objects = sum(share for key, share in shares.items() if key != view.background())
    return view.frame.assign(objects=objects, ratio=ratio)
