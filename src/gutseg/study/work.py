"""Running a cell: its fold is trained like any other, then measured for the study's tables."""

import csv
import json
import logging
import os
import re
from dataclasses import dataclass
from typing import Any, get_args

from gutseg import experiment
from gutseg.config import Config
from gutseg.config.losses import check_fit
from gutseg.data.sources.source import Source
from gutseg.study import extras
from gutseg.study.cell import Cell
from gutseg.study.grid import OfVolumes, Pooled, Study
from gutseg.study.store import fingerprint
from gutseg.training import train_fold

log = logging.getLogger(__name__)
# The competition's own averages; their names are those of what is pooled over pixels.
COMPETITION = ("dice", "iou", "accuracy")
# Columns of metrics.csv that say nothing of a cell, or that only some losses have.
LEFT_OUT = re.compile("epoch$|lr$|train_|val_(?!loss$)")
# What of a config its data depends on.
DATA = {"data", "stack", "scaling", "geometry", "channels"}
_sources: dict[str, Source] = {}
# by data and fold: to count them takes every label of the data
_counted: dict[tuple[str, int], dict[str, Any]] = {}


@dataclass(frozen=True)
class Work:
    """How a process runs a cell."""

    study: Study
    # results of the cells of `background_from`, by id
    binary: dict[str, dict[str, Any] | None]

    def __call__(self, cell: Cell) -> dict[str, Any]:
        """Train a cell, where it is not yet, and measure it."""
        source = opened(cell.config)
        train_fold(cell.config, cell.fold, data=source)
        found = last_row(cell) | _amounts(cell, source)
        if self._hard and not _is_binary(cell):
            found |= extras.hard_pixels(cell.folder, self.study.hard_pixels)
        if second := self._second(cell):
            measured = self.binary[second.id] or {}
            names = [key for key in measured if key.partition(".")[0] in get_args(Pooled)]
            found |= {f"binary.{key}": measured[key] for key in names}
            found |= extras.reuse(cell.folder, second.folder) | {"reuse_from": second.id}
        return {"status": "ok", "reason": "", **_place(), **found}

    def is_done(self, cell: Cell, result: dict[str, Any] | None) -> bool:
        """Say whether a result has all that the study asks for."""
        if result is None or result["status"] != "ok":
            return result is not None
        found = {key.partition(".")[0] for key in result}
        if not _is_binary(cell) and not found.issuperset(self._hard):
            return False
        second = self._second(cell)
        return second is None or result.get("reuse_from") == second.id

    @property
    def _hard(self) -> list[str]:
        return [f"hard{number}" for number in self.study.hard_pixels]

    def _second(self, cell: Cell) -> Cell | None:
        """Return the cell whose background is reused, None where there is none with a result."""
        if self.study.background_from is None or _is_binary(cell):
            return None
        second = self.study.binary_cell(cell)
        found = self.binary.get(second.id)
        return second if found and found["status"] == "ok" else None


class Fingerprints:
    """The fingerprint of every cell's data, which it checks against the study on the way."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.known: dict[str, str] = {}

    def __call__(self, cell: Cell) -> str:
        """Return it; raises ValueError where the data do not fit the cell."""
        key = _data_key(cell.config)
        source = opened(cell.config)
        self._check(cell, source)
        if key not in self.known:
            self.known[key] = fingerprint(source, experiment.rows(cell.config, source))
        return self.known[key]

    def _check(self, cell: Cell, source: Source) -> None:
        loss, name = cell.config.loss, cell.config.data.source
        check_fit(loss, source.mode, len(source.classes), f"{cell.label}: loss")
        if self.study.score in get_args(OfVolumes) and not source.has_volumes:
            raise ValueError(
                f"score: {self.study.score} is measured on volumes, which {name} has not; "
                f"choices: {', '.join(get_args(Pooled))}"
            )


def failed(cell: Cell, error: Exception) -> dict[str, Any]:
    """Return the result of a cell that an error has stopped."""
    reason = str(error).removeprefix(f"{cell.folder}: ")
    if isinstance(error, FloatingPointError):
        return {"status": "diverged", "reason": reason, **_place()}
    log.warning("%s failed", cell.id, exc_info=error)
    return {"status": "failed", "reason": f"{type(error).__name__}: {reason}", **_place()}


def opened(config: Config) -> Source:
    """Open the data of a config; the last one is kept, most cells of a study share it."""
    key = _data_key(config)
    if key not in _sources:
        _sources.clear()
        _sources[key] = experiment.source(config)
    return _sources[key]


def forget() -> None:
    """Let data be opened anew: they may have changed since the last study of this process."""
    _sources.clear()
    _counted.clear()


def _amounts(cell: Cell, source: Source) -> dict[str, Any]:
    key = _data_key(cell.config), cell.fold
    if key not in _counted:
        table = experiment.rows(cell.config, source)
        _counted[key] = extras.amounts(source, table, cell.fold)
    return _counted[key]


def _is_binary(cell: Cell) -> bool:
    return bool(cell.config.data.params.get("binary"))


def _data_key(config: Config) -> str:
    return json.dumps(config.model_dump(mode="json", include=DATA))


def last_row(cell: Cell) -> dict[str, float]:
    """Return the measures at the end of a cell's training, called as in a study's frame.

    Of measures pooled over pixels the prefix goes; the competition's get one.
    """
    with (cell.folder / "metrics.csv").open(newline="") as lines:
        *_, last = csv.DictReader(lines)
    # an empty field is NaN
    row = {key: float(text or "nan") for key, text in last.items() if not LEFT_OUT.match(key)}
    named = {f"competition_{key}": row.pop(key) for key in COMPETITION if key in row}
    return named | {key.removeprefix("pooled."): value for key, value in row.items()}


def _place() -> dict[str, Any]:
    """Where a cell was run."""
    here = {"device": experiment.device().type, "node": os.uname().nodename}
    return here | {"process": os.getpid()}
