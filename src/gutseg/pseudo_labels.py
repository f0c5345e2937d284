"""Training scans whose labels a run predicted, and who that run had seen."""

import hashlib
from pathlib import Path

import pandas as pd

from gutseg import experiment
from gutseg.config import Config
from gutseg.data.cache import Cache
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


def write_note(folder: Path, fold: Held, weights: str | None, trained_on: set[int]) -> None:
    """Write whom the fold of a run was trained on that labelled the scans of a folder.

    And a hash of the labels: a training that used others is told so, whatever made them differ.
    """
    made, digest = Cache(folder), hashlib.sha256()
    for name in sorted(made.index["scan"].unique()):
        digest.update(made.fingerprint(name).encode())
    content = {"fold": fold, "weights_sha256": weights, "labels_sha256": digest.hexdigest()}
    write_json(folder / NOTE, content | {"trained_on": sorted(trained_on)})


def with_extra(
    config: Config, data: Source, table: pd.DataFrame, fold: Held
) -> tuple[Source, pd.DataFrame]:
    """Return the data and its table with the scans of data.extra, which are never held out.

    table: `experiment.rows`. Raises ValueError where a scan is of a patient of the data, or where
    what labelled them was trained on a patient that this fold holds out.
    """
    if config.data.extra is None:
        return data, table
    more, trained_on = opened(config, fold)
    if known := sorted(set(more.index["case"]) & set(table["case"])):
        raise ValueError(
            f"data.extra: {config.data.extra} has scans of {patients(known)}, who are in the data "
            "themselves; make it of other patients' scans"
        )
    held_out = set(table["case"][table["fold"] == fold])
    if seen := sorted(trained_on & held_out):
        raise ValueError(
            f"data.extra: what labelled {config.data.extra} was trained on {patients(seen)}, whom "
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


def opened(config: Config, fold: Held) -> tuple[Competition, set[int]]:
    """Open the scans of data.extra for a fold; return whom their labeller was trained on too."""
    path = note_of(config, fold)
    if path is None:
        raise ValueError("data.extra: null names no scans")
    content = read_json(path)
    cases = content.get("trained_on") if isinstance(content, dict) else None
    if not isinstance(cases, list) or not all(type(case) is int for case in cases):
        raise ValueError(f"{path} does not say whom the run was trained on; label it again")
    if "labels_sha256" not in content:  # nor do those of earlier versions say it of all teachers
        raise ValueError(f"{path} was written by an earlier version; label these scans again")
    binary = config.data.params["binary"]
    return Competition(path.parent, experiment.inputs(config), binary=binary), set(cases)


def patients(cases: list[int]) -> str:
    """Return how many patients there are and the first few, for a message."""
    return counted([f"case{case}" for case in cases], "patient")
