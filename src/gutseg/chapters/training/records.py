"""What a run left of its training: the config, metrics.csv and meta.json of every fold."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gutseg.config import Config, load
from gutseg.data.folds import FULL
from gutseg.data.tables import read_csv, refuse_rows
from gutseg.engine.budget import best_epoch, is_finished, spent
from gutseg.files import need_file, read_json
from gutseg.registry import listed
from gutseg.runs import FOLD, FOLD_FILES
from gutseg.training import CONFIG, META

AGAIN = "copy the file again or train this fold again"


@dataclass(frozen=True)
class FoldRecord:
    """One fold of a run, as it was trained so far."""

    folder: Path
    config: Config
    # one row an epoch, from 0; NaN where a column was not measured
    table: pd.DataFrame
    # what made it; empty where meta.json is damaged
    meta: dict[str, Any]

    @property
    def name(self) -> str:
        """As in a legend: `fold 0`, or `full`."""
        return self.folder.name.replace("fold", "fold ")

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """The rows as training held them: without what was not measured."""
        rows = self.table.to_dict("records")
        return [{key: value for key, value in row.items() if value == value} for row in rows]

    @property
    def kept(self) -> int | None:
        """The epoch whose weights are in best.pt, None where none counts."""
        return best_epoch(self.history, self.config.train)

    @property
    def is_finished(self) -> bool:
        """Whether training has ended."""
        return is_finished(self.history, self.config.train)

    @property
    def spent(self) -> str:
        """How much of the budget is used up, as in `3 of 5 epochs`."""
        return spent(self.history, self.config.train)


@dataclass(frozen=True)
class RunRecord:
    """The folds of a run that can be read, and a sentence for each that cannot."""

    # unique among the runs of a report
    name: str
    folds: Sequence[FoldRecord]
    problems: Sequence[str] = field(default=())

    @property
    def config(self) -> Config:
        """Of the first fold; folds differ in who is held out alone."""
        return self.folds[0].config

    @property
    def key(self) -> str:
        """In names of figures: letters, digits and _."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_") or "run"


def read_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """Read run folders; of one that holds nothing readable, only `problems` are there.

    Two of the same name, or of names that differ in signs alone, are numbered.
    """
    found: list[RunRecord] = []
    for folder in folders:
        name, taken = folder.resolve().name, {record.key for record in found}
        record = _read_run(folder, name)
        number = 2
        while record.key in taken:
            record = RunRecord(f"{name} ({number})", record.folds, record.problems)
            number += 1
        found.append(record)
    return found


def _read_run(folder: Path, name: str) -> RunRecord:
    places = [place for place in folder.glob("*") if _is_fold(place)] if folder.is_dir() else []
    if not places:
        problem = f"{folder} is left out: it is not a run folder, which holds fold*/{CONFIG}"
        return RunRecord(name, [], [f"{problem}; run gutseg train."])
    folds, problems = [], []
    for place in sorted(places, key=lambda one: (len(one.name), one.name)):
        try:
            fold, problem = read_fold(place)
        except (ValueError, OSError) as error:
            problems.append(f"{name}, {place.name} is left out: {error}.")
            continue
        folds.append(fold)
        if problem:
            problems.append(f"{name}, {place.name}: {problem}.")
        if not fold.is_finished:
            still = "is not finished, so that its curves may still change"
            problems.append(f"{name}, {place.name} {still}: {fold.spent}.")
    # full has seen all patients and comes last
    folds.sort(key=lambda fold: fold.folder.name == FULL)
    return RunRecord(name, folds, problems)


def _is_fold(place: Path) -> bool:
    named = place.name == FULL or re.fullmatch(FOLD, place.name)
    return bool(named) and any((place / file).exists() for file in (*FOLD_FILES, "metrics.csv"))


def read_fold(folder: Path) -> tuple[FoldRecord, str]:
    """Read a fold's folder; also return what is wrong with its meta.json, nothing where it is well.

    Raises ValueError or FileNotFoundError in one sentence where config.yaml or metrics.csv is
    missing or not as training writes it.
    """
    config = load(need_file(folder / CONFIG, "copy it back, or train this fold again"))
    table = _read_metrics(folder / "metrics.csv")
    try:
        need_file(folder / META, "versions and machine are not known")
        meta = read_json(folder / META)
        problem = "" if isinstance(meta, dict) else f"{folder / META} is not a table of values"
    except (ValueError, OSError) as error:
        meta, problem = {}, str(error)
    return FoldRecord(folder, config, table, meta if not problem else {}), problem


def _read_metrics(path: Path) -> pd.DataFrame:
    """Read a metrics.csv: numbers alone, one row an epoch from 0 on."""
    found = read_csv(path, AGAIN)
    names = found.column_names
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if "epoch" not in names or repeated:
        problem = f"lists {listed(repeated, len(repeated))} twice" if repeated else "has no `epoch`"
        raise ValueError(f"{path}: its header {problem}; {AGAIN}")
    texts = found.to_pandas()
    if texts.empty:
        raise ValueError(f"{path} has a header but no epoch; train this fold again")
    table = pd.DataFrame(index=texts.index)
    for name in names:
        numbers = pd.to_numeric(texts[name], errors="coerce")
        # an empty cell is a column that was not measured in this epoch
        wrong = numbers.isna() & ~texts[name].str.lower().isin(["", "nan"])
        refuse_rows(path, texts, name, wrong, f"is not a number; {AGAIN}")
        table[name] = numbers.astype(float)
    if not np.array_equal(table["epoch"], np.arange(len(table))):
        raise ValueError(f"{path}: epochs do not count up from 0 without a gap; {AGAIN}")
    return table
