"""Weights of an earlier training to start from, unless they saw who is held out now.

And whom a training has seen: in its own data, by way of what it started from, of what finds its
windows, and of what labelled scans for it.
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

# the settings that name another training
START, FINDER = "train.init_from", "geometry.from_run"


def weights_of(config: Config, fold: Held) -> Path | None:
    """Return the file that train.init_from means for a fold, None where it is null."""
    return _weights_in(config.train.init_from, fold, START)


def detector_of(config: Config, fold: Held) -> Path | None:
    """Return the weights that geometry.from_run means for a fold, None where it is null."""
    given = config.geometry.from_run
    if given is not None and not given.is_dir():
        raise FileNotFoundError(
            f"{FINDER}: {given} is not a folder; put it back, or give a run or a fold"
        )
    return _weights_in(given, fold, FINDER)


def _weights_in(given: Path | None, fold: Held, setting: str) -> Path | None:
    """Return the file that a setting means: of a run folder that of the fold, or else of FULL."""
    if given is None or not given.is_dir():
        return given and need_file(given, f"give {setting} a run, a fold of it or a file")
    places = [checkpoint.weights_file(given / name) for name in ("", fold_name(fold), FULL)]
    if found := next(filter(Path.is_file, places), None):
        return found
    names = fold_name(fold) if fold == FULL else f"{fold_name(fold)} or {FULL}"
    raise FileNotFoundError(
        f"{setting}: {given} has no best.pt and none in {names}; train it first, or name the "
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
    config: Config,
    fold: Held,
    data: Source,
    table: pd.DataFrame,
    weights: Path,
    setting: str = START,
) -> None:
    """Raise ValueError where weights were trained on a patient that this fold holds out.

    table: `experiment.rows`. setting: the key that led to the weights, for messages. A run on
    other data has seen nobody, but what it started from may have, or what finds its windows. A file
    with no config.yaml beside it is taken as it is.
    """
    folder = weights.parent
    if fold == FULL:
        return
    if not os.path.lexists(folder / "config.yaml"):
        log.warning("%s: no config.yaml says what %s was trained on", setting, weights)
        return
    theirs, their_fold, folds = _opened(folder)
    rows = _rows_of(theirs, config, data, folder, setting)
    is_same = rows is not None and (their_fold, folds) == (
        fold,
        experiment.fold_hash(config, table),
    )
    if rows is not None and not is_same:
        seen = set(rows["group"][rows["fold"] != their_fold])
        if leaked := sorted(seen & set(table["group"][table["fold"] == fold])):
            raise ValueError(
                f"{setting}: {folder} was trained on {counted(leaked, 'group')}, which fold "
                f"{fold} holds out; give the same fold of the same folds, or a run on other data"
            )
    held_out = table[table["fold"] == fold]
    if theirs.data.extra is not None and "case" in held_out:
        more, taught = pseudo_labels.opened(theirs, their_fold)
        cases = taught | set(more.index["case"])
        if leaked := sorted(cases & set(held_out["case"])):
            raise ValueError(
                f"{setting}: {folder} was trained on data.extra, where "
                f"{pseudo_labels.patients(leaked)} are seen or were by what labelled it, and fold "
                f"{fold} holds them out; give a run without it"
            )
    if is_same:
        return  # and what it made use of was held against the same patients
    for before in (weights_of(theirs, their_fold), detector_of(theirs, their_fold)):
        if before:
            check_unseen(config, fold, data, table, before, setting)


def known_cases(config: Config, fold: Held) -> set[int]:
    """Return the patients that the data of a run hold, and those of what it made use of.

    So are those that it was given pseudo-labels of.
    """
    cases = _cases(experiment.source(config).index)
    if config.data.extra is not None:
        cases |= _cases(pseudo_labels.opened(config, fold)[0].index)
    for theirs, their_fold in _before(config, fold):
        cases |= known_cases(theirs, their_fold)
    return cases


def trained_on(config: Config, fold: Held) -> set[int]:
    """Return the patients that a training learnt from, and those that its teachers had.

    Teachers are what it started from, what finds its windows, and what labelled its extra scans.
    """
    table = experiment.rows(config, experiment.source(config))
    cases = _cases(table[table["fold"] != fold])
    if config.data.extra is not None:
        more, taught = pseudo_labels.opened(config, fold)
        cases |= taught | _cases(more.index)
    for theirs, their_fold in _before(config, fold):
        cases |= trained_on(theirs, their_fold)
    return cases


def _cases(rows: pd.DataFrame) -> set[int]:
    """Return the patients of rows, none of a source that has no patients."""
    return {int(case) for case in rows["case"]} if "case" in rows else set()


def _before(config: Config, fold: Held) -> list[tuple[Config, Held]]:
    """Return the trainings that one made use of, those that say what they are."""
    used = filter(None, (weights_of(config, fold), detector_of(config, fold)))
    return [_opened(one.parent)[:2] for one in used if os.path.lexists(one.parent / "config.yaml")]


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


def _rows_of(
    theirs: Config, config: Config, data: Source, folder: Path, setting: str
) -> pd.DataFrame | None:
    """Return the rows and folds of a run on the same data, None where its data are others."""
    try:
        other = experiment.source(theirs)
        rows = experiment.rows(theirs, other)
    except (OSError, ValueError) as error:
        alone = ", or name a copy of the weights alone" if setting == START else ""
        raise ValueError(
            f"{setting}: what {folder} was trained on cannot be read, so that it may have "
            f"seen who is held out ({error}); put it back{alone}"
        ) from None
    same_place = theirs.data.folder.resolve() == config.data.folder.resolve()
    common = set(data.index["scan"]) & set(other.index["scan"])
    same = same_place or any(data.fingerprint(name) == other.fingerprint(name) for name in common)
    return rows if same else None
