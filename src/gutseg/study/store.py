"""The folder of a study: a run folder for every cell, and the table of all of them."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gutseg.config import dump, load
from gutseg.data.sources.source import Source
from gutseg.files import need_file, read_json, replacing, write_json
from gutseg.registry import listed
from gutseg.study.cell import Cell
from gutseg.training import HARMLESS as RESUMABLE
from gutseg.training import changes, is_trained

# What the folder of a study holds; nothing is written into another folder.
MARKS = ("cells/*/config.yaml",)
# Config keys that do not change a cell's result; its data are known by their fingerprint. A loss
# over a batch is not the mean of those of its images, so val_loss depends on predict.batch_size.
HARMLESS = tuple({*RESUMABLE, "name", "data.folder"} - {"predict.batch_size"})
STATUSES = ("ok", "diverged", "failed")
# What a result says in words; everything else in it is a number.
TEXTS = {"status", "reason", "background", "device", "node", "reuse_from"}


class Store:
    """cells/<run>/{config.yaml, data.json, fold<k>/, fold<k>.json} and bench.parquet.

    fold<k> is what `gutseg train cells/<run>/config.yaml --fold <k>` would make.
    """

    def __init__(self, folder: Path, score: str) -> None:
        """score: a number that every result must have."""
        self.folder = folder
        self.score = score

    def check(self, cell: Cell, data: str) -> None:
        """Raise FileExistsError when a cell was begun with another config or other data.

        So it is when another fold of its run was: they share config.yaml. data: its fingerprint.
        """
        run = cell.run
        # whatever lies there: a pipe or a broken link is no cell yet to run
        if not any(path.suffix == ".json" or is_trained(path) for path in run.glob("fold*")):
            return
        path = need_file(run / "config.yaml", _again(cell))
        changed = changes(load(path), cell.config, HARMLESS)
        before = _read(cell, run / "data.json").get("data")
        if before != data:
            changed.append(f"data: {before} -> {data}")
        if changed:
            raise FileExistsError(
                f"{run} was run with other settings ({listed(changed, len(changed), '; ')}); "
                "give another --out or delete the folder"
            )

    def begin(self, cell: Cell, data: str) -> None:
        """Write down what a cell's result depends on, before it is trained."""
        write_json(cell.run / "data.json", {"data": data})
        dump(cell.config, cell.run / "config.yaml")

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """Return a cell's result, None where there is none yet or it failed."""
        if not os.path.lexists(_path(cell)):
            return None
        found = self._result(cell)
        return None if found["status"] == "failed" else found

    def write(self, cell: Cell, result: dict[str, Any]) -> None:
        """Keep a cell's result, which marks it as finished."""
        write_json(_path(cell), result)

    def frame(self, cells: Sequence[Cell]) -> pd.DataFrame:
        """Return one row per cell with a result, and write them as bench.parquet."""
        rows = [cell.columns | self._result(cell) for cell in cells if _path(cell).is_file()]
        frame = pd.DataFrame(rows)
        with replacing(self.folder / "bench.parquet") as temporary:
            frame.to_parquet(temporary, index=False)
        return frame

    def _result(self, cell: Cell) -> dict[str, Any]:
        found = _read(cell, _path(cell))
        told = found.get("status") in STATUSES and isinstance(found.get("reason"), str)
        plain = all(
            isinstance(value, str) if key in TEXTS else _is_number(value)
            for key, value in found.items()
        )
        if not told or not plain or (found["status"] == "ok" and self.score not in found):
            raise ValueError(f"{_path(cell)} is not the result of a cell; {_again(cell)}")
        return found


def fingerprint(source: Source, table: pd.DataFrame) -> str:
    """Return a short name for images, labels and the folds in table, wherever they lie."""
    digest = hashlib.sha256(repr((source.classes, source.mode, source.background)).encode())
    for row in table[["id", "group", "scan", "z", "fold"]].itertuples(index=False):
        digest.update(repr(tuple(row)).encode())
    for name in table["scan"].unique():
        digest.update(source.fingerprint(name).encode())
    return digest.hexdigest()[:16]


def _is_number(value: Any) -> bool:
    """Say whether bench.parquet can hold a value as a number: true is none, nor is 10^30."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)


def _path(cell: Cell) -> Path:
    return cell.run / f"fold{cell.fold}.json"


def _read(cell: Cell, path: Path) -> dict[str, Any]:
    found = read_json(need_file(path, _again(cell)))
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no `key: value` pairs; {_again(cell)}")
    return found


def _again(cell: Cell) -> str:
    return f"delete {cell.run} and rerun, its cells are trained again"
