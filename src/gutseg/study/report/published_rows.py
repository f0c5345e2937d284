"""Rows of ours and of the seeds side by side, found by network and loss."""

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from gutseg.losses import LOSSES
from gutseg.registry import check
from gutseg.reporting.markdown import number, table
from gutseg.study.report.published_numbers import Table, sum_key

_NETWORKS = {
    "attentionunet": "attunet",
    "deeplabv3+": "deeplab",
    "deeplabv3plus": "deeplab",
    "unetplusplus": "unet++",
    "unet3plus": "unet3+",
}
# The parameter of a loss in which the seeds vary it.
_VARIED = {"online_bootstrapping": "n", "bce_dice": "dice_weight"}

NOTE = (
    "In parentheses: what thesis 000 prints ({}), with precision and recall swapped back; its "
    "images, the width of its networks and its training are others."
)


def network_key(label: str) -> str:
    """Return the name of a network as seed_numbers has it; 'U-Net' and 'unet(...)' are unet."""
    short = re.sub(r"[^a-z0-9+]", "", re.split("[(,]", label)[0].lower())
    return _NETWORKS.get(short, short)


def loss_key(row: Mapping[str, Any]) -> str:
    """Return the name of a row's loss as seed_numbers has it, its class weights included.

    Of a sum the class weights count for its focal loss alone, and with other term weights than
    1 it is none of the seeds'.
    """
    kind = row.get("class_weights", "")
    params = json.loads(row.get("params", "{}"))
    if row["loss"] != "weighted_sum":
        return _part(row["loss"], params, kind)
    terms = params.get("terms", [])
    if not terms or any(term.get("weight", 1) != 1 for term in terms):
        return row["loss"]
    return sum_key(
        _part(
            term["loss"],
            check(LOSSES, term["loss"], term.get("params", {})),
            kind if term["loss"] == "focal_softmax" else "",
        )
        for term in terms
    )


def _part(name: str, params: Mapping[str, Any], kind: str) -> str:
    if name in _VARIED and _VARIED[name] in params:
        name = f"{name}:{params[_VARIED[name]]:g}"
    return f"{name}:{kind}" if kind else name


def place(cells: pd.DataFrame) -> tuple[str, str]:
    """Return (network, loss) of cells that share both."""
    first = cells.iloc[0].to_dict()
    return network_key(first["network"]), loss_key(first)


def beside(
    cells: pd.DataFrame, keys: Iterable[str], tables: Mapping[str, Table], row: Hashable
) -> list[str]:
    """Return 'ours (seed; seed)' a key: the mean over cells, then the row of every table.

    Without such a row ours stands alone.
    """
    printed = [table.get(row, {}) for table in tables.values()]
    return [
        paired(cells[key].mean(), [line.get(key.lower(), float("nan")) for line in printed])
        for key in keys
    ]


def paired(ours: float, printed: Iterable[float]) -> str:
    """Return 'ours (seed; seed)', or ours alone where no seed has a number."""
    inside = [number(value) for value in printed]
    if all(text == "–" for text in inside):
        return number(ours)
    return f"{number(ours)} ({'; '.join(inside)})"


def own(tables: Mapping[str, Table], columns: Mapping[str, str], words: Iterable[str]) -> str:
    """Return the seeds' own table; words: heads of the columns that name a row."""
    words = list(words)
    rows = [
        [
            name,
            *(key if isinstance(key, tuple) else (key,)),
            *(_printed(row[at]) for at in columns),
        ]
        for name, lines in tables.items()
        for key, row in lines.items()
    ]
    return table([*words, *columns.values()], rows, words=len(words))


def _printed(value: float) -> str:
    return "–" if value != value else f"{value:g}"
