"""What each part of a method is worth: a grid in which parts are on and off, pair by pair."""

import json
from collections.abc import Mapping

import pandas as pd

from gutseg.reporting.tables import markdown, number, with_interval
from gutseg.study.report.ranking import COMPETITION
from gutseg.study.report.view import View
from gutseg.study.statistics import interval

# what else two cells of a pair have in common
_SAME = ["label", "lr", "patch", "seed", "fold"]


def worth(view: View) -> str:
    """Score without and with each part, over all pairs of cells that differ in it alone.

    Parts are the kinds of attention and every axis of two inputs; empty where a study has none.
    """
    parts = two_valued(view.frame)
    measures = [key for key in dict.fromkeys([view.score, *COMPETITION]) if key in view.frame]
    rows = []
    for name in parts:
        others = [parts[key].rename(key) for key in parts if key != name]
        keys = pd.concat([view.frame[_SAME], *others], axis=1)
        frame = pd.concat([keys, parts[name].rename("on"), view.frame[measures]], axis=1)
        without, having = (
            frame[frame["on"] == value].set_index(list(keys))[measures]
            for value in parts[name].unique()
        )
        gains = (having - without).dropna()
        kept = (values.loc[gains.index, view.score].mean() for values in (without, having))
        rows.append(
            [name, *map(number, kept)]
            + [with_interval(*interval(gains[key])) for key in measures]
            + [str(len(gains))]
        )
    heads = ["part", f"{view.score} without", "with"]
    heads += [f"{COMPETITION.get(key, key)}: difference ± 95 %" for key in measures]
    return markdown([*heads, "pairs"], rows) if rows else ""


def two_valued(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the parts that are on in some cells and off in others, the first value being off."""
    attention = [attention_of(row) for row in frame.to_dict("records")]
    found = {
        f"{kind} attention": pd.Series([kind in one for one in attention], frame.index)
        for kind in ("local", "external")
    }
    inputs = frame["input"].str.split(", ", expand=True)
    found |= {" → ".join(map(str, inputs[key].unique())): inputs[key] for key in inputs}
    return {name: values for name, values in found.items() if values.nunique() == 2}


def attention_of(row: Mapping[str, str]) -> str:
    """Say which blocks a network has; hybrid4 and hybrid5 have both and no choice of levels."""
    params, both = json.loads(row["network_params"]), row["architecture"] in ("hybrid4", "hybrid5")
    kinds = [kind for kind in ("local", "external") if params.get(f"{kind}_levels", both)]
    return " + ".join(kinds) or "none"
