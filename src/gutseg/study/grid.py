"""The cells of a comparison, each with a folder of its own, and the table of all of them."""

import hashlib
import json
import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gutseg.data.sources.labelled import Labelled
from gutseg.files import need_file, read_json, replacing, write_json
from gutseg.study.cell import Cell
from gutseg.study.sections import Bench

# What a cell's result depends on beside its own place, `dataset` apart.
SHARED = (
    "budget",
    "folds",
    "fold_seed",
    "batch_size",
    "background_from",
    "channels_last",
    "optim",
    "tile",
    "hard_shares",
    "tail",
)


STATUSES = ("ok", "diverged", "failed")
# What a result says in words; everything else in it is a number.
TEXTS = {"status", "reason", "background", "device", "node"}


def cells(bench: Bench) -> list[Cell]:
    """Return every cell of the grid, seed by seed, so that a broken run still compares all."""
    return [
        Cell(loss=loss, network=network, input=seen, lr=lr, patch=patch, seed=seed, fold=fold)
        for seed, fold, network, seen, lr, patch, loss in product(
            bench.seeds,
            bench.chosen_folds,
            bench.networks,
            bench.inputs,
            bench.lrs,
            bench.patches,
            bench.losses,
        )
    ]


def tuned(frame: pd.DataFrame, score: str) -> pd.DataFrame:
    """Keep the cells of every loss at the learning rate and patch that suit it best.

    frame: cells of one network. A cell without a result counts 0.
    """
    filled = frame.assign(score=frame[score].fillna(0) if score in frame else 0.0)
    means = filled.groupby(["label", "lr", "patch"], sort=False)["score"].mean()
    best = set(means.groupby("label", sort=False).idxmax())
    places = zip(frame["label"], frame["lr"], frame["patch"], strict=True)
    return frame[[place in best for place in places]]


def second_cells(bench: Bench, frame: pd.DataFrame) -> list[Cell]:
    """Return the cells of the second network: those of the losses that are best with the first.

    Of several inputs the first one decides.
    """
    if bench.best_with is None:
        return []
    first = tuned(frame[frame["network"] == cells(bench)[0].network_label], bench.score)
    if bench.score not in first:
        return []
    means = first.assign(score=first[bench.score].fillna(0)).groupby("label")["score"].mean()
    best = means.sort_values(ascending=False, kind="stable").index[: bench.best_with.count]
    chosen = [loss for loss in bench.losses if loss.label in set(best)]
    return cells(bench.model_copy(update={"losses": chosen, "networks": [bench.best_with.network]}))


def fingerprint(data: Labelled) -> str:
    """Return a short name for images and labels, the same wherever they lie."""
    digest = hashlib.sha256(repr((data.classes, data.mode, data.groups)).encode())
    for plane in (*data.images, *data.labels):
        digest.update(repr(plane.shape).encode())
        digest.update(np.ascontiguousarray(plane))
    return digest.hexdigest()[:16]


class Store:
    """The folder of a comparison: cells/<id>/{settings,result}.json and bench.parquet."""

    def __init__(self, folder: Path, bench: Bench, data_name: str) -> None:
        """data_name: the fingerprint of the data."""
        self.folder = folder
        self.score = bench.score
        self.shared = {"data": data_name, "dataset": bench.dataset.name}
        self.shared |= bench.model_dump(mode="json", include=set(SHARED))

    def settings(self, cell: Cell) -> dict:
        """Return all that the cell's result depends on."""
        return cell.model_dump(mode="json") | self.shared

    def finished(self, cell: Cell) -> bool:
        """Say whether a cell has its result; failed ones are run again.

        Raises FileExistsError when it was run with other settings.
        """
        folder = self.folder / "cells" / cell.id
        if not os.path.lexists(folder / "result.json"):  # a pipe there is no cell yet to run
            return False
        before, now = _read_dict(folder / "settings.json"), self.settings(cell)
        changed = [
            f"{key}: {before.get(key)} -> {now.get(key)}"
            for key in before | now
            if before.get(key) != now.get(key)
        ]
        if changed:
            raise FileExistsError(
                f"{folder} was run with other settings ({'; '.join(changed)}); "
                "give another --out or delete the folder"
            )
        return self._result(folder / "result.json")["status"] != "failed"

    def write(self, cell: Cell, result: dict) -> None:
        """Keep a cell's settings and then, which marks it as finished, its result."""
        folder = self.folder / "cells" / cell.id
        write_json(folder / "settings.json", self.settings(cell))
        write_json(folder / "result.json", result)

    def frame(self, wanted: list[Cell]) -> pd.DataFrame:
        """Return one row a finished cell, and write them as bench.parquet."""
        rows = []
        batch = {"batch_size": self.shared["batch_size"]}
        for cell in wanted:
            path = self.folder / "cells" / cell.id / "result.json"
            if path.is_file():
                rows.append(_place(cell) | batch | self._result(path))
        frame = pd.DataFrame(rows)
        with replacing(self.folder / "bench.parquet") as temporary:
            frame.to_parquet(temporary, index=False)
        return frame

    def _result(self, path: Path) -> dict:
        """Read what `write` wrote; raises ValueError for anything else."""
        found = _read_dict(path)
        told = found.get("status") in STATUSES and isinstance(found.get("reason"), str)
        plain = all(
            isinstance(value, str) if key in TEXTS else _is_number(value)
            for key, value in found.items()
        )
        if not told or not plain or (found["status"] == "ok" and self.score not in found):
            raise ValueError(f"{path} is not the result of a cell; {_again(path)}")
        return found


def _is_number(value: Any) -> bool:
    """Say whether bench.parquet can hold a value as a number: true is none, nor is 10^30."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)


def _read_dict(path: Path) -> dict:
    found = read_json(need_file(path, _again(path)))
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no `key: value` pairs; {_again(path)}")
    return found


def _again(path: Path) -> str:
    return f"delete {path.parent} and rerun, its cell is trained again"


def _place(cell: Cell) -> dict:
    """Columns that say which cell a row is.

    params: of the loss as JSON, terms: of a sum; network: with the input where that has a name.
    """
    loss = cell.loss
    terms = loss.params.get("terms", []) if loss.name == "weighted_sum" else []
    return {
        "label": loss.label,
        "loss": loss.name,
        "class_weights": loss.class_weights or "",
        "terms": "+".join(term["loss"] for term in terms),
        "params": json.dumps({key: value for key, value in loss.params.items() if key != "mode"}),
        "network": cell.network_label,
        "input": cell.input.label,
        "architecture": cell.network.name,
        "network_params": json.dumps(cell.network.params),
        "lr": cell.lr,
        "patch": "{}x{}".format(*cell.patch),
        "seed": cell.seed,
        "fold": cell.fold,
        "id": cell.id,
    }
