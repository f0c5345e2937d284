"""Training scans whose labels a run predicted, and who that run had seen."""

import os
from pathlib import Path

import pandas as pd

from gutseg import experiment, warm_start
from gutseg.config import Config, load
from gutseg.data.folds import FULL, Held, fold_name
from gutseg.data.sources.competition import Competition
from gutseg.data.sources.extended import Extended
from gutseg.data.sources.source import Source
from gutseg.files import need_file, read_json, write_json
from gutseg.registry import counted

# in the folder of a fold, beside the cache that its scans make
NOTE = "pseudo.json"
# a fold that is never held out
ALWAYS = -1


def known_cases(config: Config, fold: Held) -> set[int]:
    """Return the patients that the data of a run hold, and those of what it started from.

    So are those that it was given pseudo-labels of.
    """
    data = experiment.source(config)
    cases = {int(case) for case in data.index["case"]}
    if config.data.extra is not None:
        cases |= {int(case) for case in _opened(config, fold)[0].index["case"]}
    start = warm_start.weights_of(config, fold)
    if start and os.path.lexists(path := start.parent / "config.yaml"):
        cases |= known_cases(load(path), fold)
    return cases


def write_note(folder: Path, fold: Held, weights: str | None, trained_on: set[int]) -> None:
    """Write whom the fold of a run was trained on that labelled the scans of a folder."""
    content = {"fold": fold, "weights_sha256": weights, "trained_on": sorted(trained_on)}
    write_json(folder / NOTE, content)


def with_extra(
    config: Config, data: Source, table: pd.DataFrame, fold: Held
) -> tuple[Source, pd.DataFrame]:
    """Return the data and its table with the scans of data.extra, which are never held out.

    table: `experiment.rows`. Raises ValueError where a scan is of a patient of the data, or where
    what labelled them was trained on a patient that this fold holds out.
    """
    if config.data.extra is None:
        return data, table
    more, trained_on = _opened(config, fold)
    if known := sorted(set(more.index["case"]) & set(table["case"])):
        raise ValueError(
            f"data.extra: {config.data.extra} has scans of {_patients(known)}, who are in the data "
            "themselves; make it of other patients' scans"
        )
    held_out = set(table["case"][table["fold"] == fold])
    if seen := sorted(trained_on & held_out):
        raise ValueError(
            f"data.extra: what labelled {config.data.extra} was trained on {_patients(seen)}, whom "
            f"{fold_name(fold)} holds out; label it with a run of the same folds: gutseg pseudo"
        )
    rows = more.index.assign(fold=ALWAYS)
    return Extended(data, more), pd.concat([table, rows], ignore_index=True)


def note_of(config: Config, fold: Held) -> Path | None:
    """Return the file that says what labelled the scans of data.extra for a fold."""
    if config.data.extra is None:
        return None
    remedy = f"run: gutseg pseudo RUN FOLDER --out {config.data.extra} --fold "
    remedy += FULL if fold == FULL else str(fold)
    return need_file(config.data.extra / fold_name(fold) / NOTE, remedy)


def _opened(config: Config, fold: Held) -> tuple[Competition, set[int]]:
    path = note_of(config, fold)
    if path is None:
        raise ValueError("data.extra: null names no scans")
    content = read_json(path)
    cases = content.get("trained_on") if isinstance(content, dict) else None
    if not isinstance(cases, list) or not all(type(case) is int for case in cases):
        raise ValueError(f"{path} does not say whom the run was trained on; label it again")
    binary = config.data.params["binary"]
    return Competition(path.parent, experiment.inputs(config), binary=binary), set(cases)


def _patients(cases: list[int]) -> str:
    return counted([f"case{case}" for case in cases], "patient")
