"""Weights of an earlier training to start from, unless they saw who is held out now.

And whom a training has seen: in its own data, by way of what it started from, and of what labelled
scans for it.
"""

import logging
import os
from pathlib import Path

import pandas as pd
from torch import nn

from gutseg import experiment, pseudo_labels
from gutseg.config import Config, load
from gutseg.data.folds import FULL, Held, fold_name, held_by
from gutseg.data.sources.source import Source
from gutseg.engine import checkpoint
from gutseg.files import need_file, read_json
from gutseg.registry import counted

log = logging.getLogger(__name__)


def weights_of(config: Config, fold: Held) -> Path | None:
    """Return the file that train.init_from means for a fold, None where it is null.

    Of a run folder it is that of the same fold, or else of FULL.
    """
    given = config.train.init_from
    if given is None or not given.is_dir():
        return given and need_file(given, "give train.init_from a run, a fold of it or a file")
    places = [checkpoint.weights_file(given / name) for name in ("", fold_name(fold), FULL)]
    if found := next(filter(Path.is_file, places), None):
        return found
    names = fold_name(fold) if fold == FULL else f"{fold_name(fold)} or {FULL}"
    raise FileNotFoundError(
        f"train.init_from: {given} has no best.pt and none in {names}; train it first, or name the "
        "folder of one fold"
    )


def fill(network: nn.Module, weights: Path) -> None:
    """Copy weights into a network; raises ValueError where it is another one."""
    found = checkpoint.weights(weights)
    if problem := checkpoint.misfit(network, found):
        raise ValueError(
            f"train.init_from: {weights} is of another network than this config's ({problem}); "
            "give the same model:, channels and stack as there"
        )
    network.load_state_dict(found)


def check_unseen(
    config: Config, fold: Held, data: Source, table: pd.DataFrame, weights: Path
) -> None:
    """Raise ValueError where weights were trained on a patient that this fold holds out.

    table: `experiment.rows`. A run on other data has seen nobody, but what it started from may
    have. A file with no config.yaml beside it is taken as it is.
    """
    folder = weights.parent
    if fold == FULL:
        return
    if not os.path.lexists(folder / "config.yaml"):
        log.warning("train.init_from: no config.yaml says what %s was trained on", weights)
        return
    theirs, their_fold, folds = _opened(folder)
    rows = _rows_of(theirs, config, data, folder)
    if rows is not None:
        if (their_fold, folds) == (fold, experiment.fold_hash(config, table)):
            return  # and what it started from was held against the same patients
        seen = set(rows["group"][rows["fold"] != their_fold])
        if leaked := sorted(seen & set(table["group"][table["fold"] == fold])):
            raise ValueError(
                f"train.init_from: {folder} was trained on {counted(leaked, 'group')}, which fold "
                f"{fold} holds out; start from the same fold of the same folds, or train on other "
                "data"
            )
    held_out = table[table["fold"] == fold]
    if theirs.data.extra is not None and "case" in held_out:
        more, taught = pseudo_labels.opened(theirs, their_fold)
        cases = taught | set(more.index["case"])
        if leaked := sorted(cases & set(held_out["case"])):
            raise ValueError(
                f"train.init_from: {folder} was trained on data.extra, where "
                f"{pseudo_labels.patients(leaked)} are seen or were by what labelled it, and fold "
                f"{fold} holds them out; start from a run without it"
            )
    if before := weights_of(theirs, their_fold):
        check_unseen(config, fold, data, table, before)


def known_cases(config: Config, fold: Held) -> set[int]:
    """Return the patients that the data of a run hold, and those of what it started from.

    So are those that it was given pseudo-labels of.
    """
    cases = {int(case) for case in experiment.source(config).index["case"]}
    if config.data.extra is not None:
        cases |= {int(case) for case in pseudo_labels.opened(config, fold)[0].index["case"]}
    for theirs, their_fold in _before(config, fold):
        cases |= known_cases(theirs, their_fold)
    return cases


def trained_on(config: Config, fold: Held) -> set[int]:
    """Return the patients that a training learnt from, and those that its teachers had.

    Teachers are what it started from, and what labelled its extra scans.
    """
    table = experiment.rows(config, experiment.source(config))
    cases = {int(case) for case in table["case"][table["fold"] != fold]}
    if config.data.extra is not None:
        more, taught = pseudo_labels.opened(config, fold)
        cases |= taught | {int(case) for case in more.index["case"]}
    for theirs, their_fold in _before(config, fold):
        cases |= trained_on(theirs, their_fold)
    return cases


def _before(config: Config, fold: Held) -> list[tuple[Config, Held]]:
    """Return the training that one started from, if there is one that says what it is."""
    start = weights_of(config, fold)
    if start is None or not os.path.lexists(start.parent / "config.yaml"):
        return []
    return [_opened(start.parent)[:2]]


def _opened(folder: Path) -> tuple[Config, Held, str | None]:
    """Return the config of a fold's folder, who it held out and the hash of its folds."""
    config = load(need_file(folder / "config.yaml", "put it back, or name a copy of the weights"))
    path = folder / "meta.json"
    meta = read_json(path) if os.path.lexists(path) else {"fold": folder.name.removeprefix("fold")}
    if not isinstance(meta, dict) or "fold" not in meta:
        raise ValueError(f"{path} does not say who was held out; put it back, or train that again")
    name = str(meta["fold"])
    # who says nothing may have seen everybody
    return config, held_by(name) if name.isdecimal() else FULL, meta.get("folds_sha256")


def _rows_of(theirs: Config, config: Config, data: Source, folder: Path) -> pd.DataFrame | None:
    """Return the rows and folds of a run on the same data, None where its data are others."""
    try:
        other = experiment.source(theirs)
        rows = experiment.rows(theirs, other)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"train.init_from: what {folder} was trained on cannot be read, so that it may have "
            f"seen who is held out ({error}); put it back, or name a copy of the weights alone"
        ) from None
    same_place = theirs.data.folder.resolve() == config.data.folder.resolve()
    common = set(data.index["scan"]) & set(other.index["scan"])
    same = same_place or any(data.fingerprint(name) == other.fingerprint(name) for name in common)
    return rows if same else None
