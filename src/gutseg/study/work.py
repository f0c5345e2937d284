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
# to count the labels of a fold takes all of them, and so does the fingerprint of the data
_amounts: dict[tuple[str, int], dict[str, Any]] = {}
_fingerprints: dict[str, str] = {}


@dataclass(frozen=True)
class Work:
    """How a process runs a cell."""

    study: Study
    # results of the cells of `background_from`, by id
    binary: dict[str, dict[str, Any] | None]

    def __call__(self, cell: Cell) -> dict[str, Any]:
        """Train a cell, where it is not yet, and measure it."""
        source, key = opened(cell.config), (_data_key(cell.config), cell.fold)
        train_fold(cell.config, cell.fold, data=source)
        if key not in _amounts:
            table = experiment.rows(cell.config, source)
            _amounts[key] = extras.amounts(source, table, cell.fold)
        found = last_row(cell) | _amounts[key]
        if self.study.hard_pixels and not _is_binary(cell):
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
        hard = {f"hard{number}" for number in self.study.hard_pixels}
        if not _is_binary(cell) and not hard <= found:
            return False
        second = self._second(cell)
        return second is None or result.get("reuse_from") == second.id

    def _second(self, cell: Cell) -> Cell | None:
        """Return the cell whose background is reused, None where there is none with a result."""
        if self.study.background_from is None or _is_binary(cell):
            return None
        second = self.study.binary_cell(cell)
        found = self.binary.get(second.id)
        return second if found and found["status"] == "ok" else None


def fingerprint_of(cell: Cell, study: Study) -> str:
    """Return the fingerprint of a cell's data; raises ValueError where they do not fit it."""
    loss, name = cell.config.loss, cell.config.data.source
    source, key = opened(cell.config), _data_key(cell.config)
    check_fit(loss, source.mode, len(source.classes), f"{cell.label}: loss")
    if study.score in get_args(OfVolumes) and not source.has_volumes:
        raise ValueError(
            f"score: {study.score} is measured on volumes, which {name} has not; "
            f"choices: {', '.join(get_args(Pooled))}"
        )
    if key not in _fingerprints:
        _fingerprints[key] = fingerprint(source, experiment.rows(cell.config, source))
    return _fingerprints[key]


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
    for known in (_sources, _amounts, _fingerprints):
        known.clear()


def _is_binary(cell: Cell) -> bool:
    return bool(cell.config.data.params.get("binary"))


def _data_key(config: Config) -> str:
    return json.dumps(config.model_dump(mode="json", include=DATA))


def last_row(cell: Cell) -> dict[str, float]:
    """Return the measures at the end of a cell's training, called as in a study's frame."""
    with (cell.folder / "metrics.csv").open(newline="") as lines:
        *_, last = csv.DictReader(lines)
    # an empty field is NaN
    row = {key: float(text or "nan") for key, text in last.items() if not LEFT_OUT.match(key)}
    named = {f"competition_{key}": row.pop(key) for key in COMPETITION if key in row}
    return named | {key.removeprefix("pooled."): value for key, value in row.items()}


def _place() -> dict[str, Any]:
    """Where a cell was run."""
    device, node = experiment.device().type, os.uname().nodename
    return {"device": device, "node": node, "process": os.getpid()}
