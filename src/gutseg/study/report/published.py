"""Numbers that papers print, read from published/*.csv and shown next to ours.

index.csv names the paper of every file. In a file the first column says of which data (or epoch)
a row is, `network` and `loss` name it as network_key and loss_key do, and the others are called
by what they hold: [Tongji 2022] has precision and recall swapped in every table. Row ③ of its
table 4.12 predicts background alone and so has a mean recall of 1/7 = .1429, printed under
precision; its table 4.19 is possible only with the background's two columns swapped as well.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from gutseg.losses import LOSSES
from gutseg.registry import check
from gutseg.reporting.tables import markdown, number

FOLDER = Path(__file__).parents[1] / "published"
_NETWORKS = {
    "attentionunet": "attunet",
    "deeplabv3+": "deeplab",
    "deeplabv3plus": "deeplab",
    "unetplusplus": "unet++",
    "unet3plus": "unet3+",
    "hybrid4": "unet4",
    "hybrid5": "unet5",
}
# the parameter of a loss that the papers vary
_VARIED = {"online_bootstrapping": "n", "bce_dice": "dice_weight"}


@cache
def read(name: str) -> pd.DataFrame:
    """Return a printed table as text; an empty cell was left blank in print."""
    return pd.read_csv(FOLDER / f"{name}.csv", dtype=str, keep_default_na=False)


def cite(name: str) -> str:
    """Return the paper and its table: '[Xu 2022], table 8'."""
    source, where, _ = read("index").set_index("name").loc[name]
    return f"{source}, {where}"


def note(name: str) -> str:
    """Return what a reader of the printed numbers must know; may be empty."""
    return read("index").set_index("name").loc[name, "note"]


def pairing(name: str) -> str:
    """Say what the numbers in parentheses are; empty where no row is a network or a loss."""
    if not _keys(name):
        return ""
    parts = read(name).iloc[:, 0]
    return f"In parentheses: {cite(name)} ({parts.name}: {'; '.join(parts.unique())})."


def published_table(name: str) -> str:
    """Return a printed table as it is, with its source and note above."""
    printed = read(name).drop(columns="table").replace("", "–")
    words = sum(re.fullmatch(r"[0-9.]+|–", text) is None for text in printed.iloc[0])
    drawn = markdown(list(printed), printed.to_numpy().tolist(), words=words)
    return f"{cite(name)}: {note(name)}".rstrip() + f"\n\n{drawn}"


def _keys(name: str) -> list[str]:
    return [key for key in ("network", "loss") if name and key in read(name).columns[1:]]


def with_published(cells: pd.DataFrame, columns: Iterable[str], name: str) -> list[list[float]]:
    """Return what each part of a printed table has in the cells' row, column by column.

    cells: share their network and loss. NaN where nothing is printed, empty lists for a table
    whose rows are no networks or losses.
    """
    keys = _keys(name)
    if not keys:
        return [[] for _ in columns]
    printed, cell = read(name), cells.iloc[0].to_dict()
    wanted = {"network": network_key(cell["network"]), "loss": loss_key(cell)}
    rows = printed[(printed[keys] == [wanted[key] for key in keys]).all(axis=1)]
    lines = rows.drop_duplicates(printed.columns[0]).set_index(printed.columns[0])
    lines = lines.reindex(printed.iloc[:, 0].unique(), fill_value="").to_dict("records")
    return [[float(line.get(key.lower()) or "nan") for line in lines] for key in columns]


def paired(ours: str, printed: Iterable[float]) -> str:
    """Return 'ours (printed; printed)', or ours alone where nothing is printed."""
    inside = [number(value) for value in printed]
    return ours if all(text == "–" for text in inside) else f"{ours} ({'; '.join(inside)})"


def network_key(label: str) -> str:
    """Return the name of a network in printed tables; 'U-Net' and 'unet(...)' are unet."""
    short = re.sub(r"[^a-z0-9+]", "", re.split("[(,]", label)[0].lower())
    return _NETWORKS.get(short, short)


def loss_key(cell: Mapping[str, Any]) -> str:
    """Return the name of a cell's loss in printed tables, its class weights included.

    In a sum the class weights belong to the focal loss alone. A sum with term weights other than
    1 is in no paper.
    """
    kind = cell.get("class_weights", "")
    params = json.loads(cell.get("params", "{}"))
    if cell["loss"] != "weighted_sum":
        return _part(cell["loss"], params, kind)
    terms = params.get("terms", [])
    if not terms or any(term.get("weight", 1) != 1 for term in terms):
        return cell["loss"]
    parts = []
    for term in terms:
        name, params = term["loss"], check(LOSSES, term["loss"], term.get("params", {}))
        parts.append(_part(name, params, kind if name == "focal_softmax" else ""))
    return "+".join(sorted(parts))


def _part(name: str, params: Mapping[str, Any], kind: str) -> str:
    if name in _VARIED and _VARIED[name] in params:
        name = f"{name}:{params[_VARIED[name]]:g}"
    # uniform weights change the loss by a constant factor only, which Adam ignores
    return f"{name}:{kind}" if kind not in ("", "uniform") else name
