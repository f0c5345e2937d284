"""Tables of trainings: what each fold cost and gave, what was set, and what made it."""

import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gutseg.chapters.training.records import FoldRecord, RunRecord
from gutseg.config import Config
from gutseg.config.files import flat
from gutseg.data.augment import AUGMENTATIONS
from gutseg.data.folds import FULL
from gutseg.data.sources import SOURCES
from gutseg.losses import LOSSES
from gutseg.models import MODELS
from gutseg.reporting.parts import Table

# Paths of the machine that trained; their last part is all that a page to be shared shows.
PLACES = (
    *("data.folder", "data.folds", "data.extra", "model.encoder_weights", "train.init_from"),
    "geometry.from_run",
)
# What no result depends on.
SILENT = ("name", "runs", "train.tensorboard", "train.wandb")
# Columns of metrics.csv that measure no result.
COSTS = (
    *("epoch", "lr", "steps", "seconds", "seconds_per_step", "data_wait", "parameters"),
    *("peak_mb", "seconds_test"),
)
ROWS = {"model": MODELS, "loss": LOSSES, "augment": AUGMENTATIONS}


def folds_table(runs: Sequence[RunRecord]) -> Table:
    """One row per fold: epochs, what was kept and on what, time, memory, waiting."""
    rows = [_fold_row(run, fold) for run in runs for fold in run.folds]
    return Table(
        "training_folds",
        "Every fold: what was trained, which epoch was kept and what it cost",
        pd.DataFrame(rows),
        note="Epochs count from 0. `kept` and `last` are the picked measure in the kept epoch and "
        "in the last one; seconds are of training alone, waiting is a share of them.",
    )


def _fold_row(run: RunRecord, fold: FoldRecord) -> dict[str, Any]:
    table, monitor = fold.table, fold.config.train.monitor
    picked = table.get(monitor)
    kept = fold.kept
    return {
        "run": run.name,
        "fold": fold.name,
        "trained": fold.spent + ("" if fold.is_finished else ", not finished"),
        "epochs": len(table),
        "steps": _last(table, "steps", whole=True),
        "kept epoch": kept,
        "picked by": None if fold.folder.name == FULL else monitor,
        "kept": None if picked is None or kept is None else _value(picked.iloc[kept]),
        "last": None if picked is None else _value(picked.iloc[-1]),
        "lowest val_loss in epoch": _lowest(table, "val_loss"),
        "minutes": _sum(table, "seconds", 60),
        "minutes of validation": _sum(table, "seconds_test", 60),
        "seconds per step": _mean(table, "seconds_per_step"),
        "waiting for data": _waiting(table),
        "peak MB": _last(table, "peak_mb", whole=True),
        "parameters": _last(table, "parameters", whole=True),
    }


def _value(number: float) -> float | None:
    return float(number) if number == number else None


def _last(table: pd.DataFrame, key: str, *, whole: bool = False) -> float | None:
    if key not in table or table[key].isna().all():
        return None
    value = table[key].dropna().iloc[-1]
    return int(value) if whole else float(value)


def _mean(table: pd.DataFrame, key: str) -> float | None:
    return _value(table[key].mean()) if key in table else None


def _sum(table: pd.DataFrame, key: str, unit: float) -> float | None:
    return float(table[key].sum() / unit) if key in table else None


def _lowest(table: pd.DataFrame, key: str) -> int | None:
    return int(table[key].idxmin()) if key in table and table[key].notna().any() else None


def _waiting(table: pd.DataFrame) -> float | None:
    """Of all seconds of training, not the mean of the epochs' shares."""
    if "data_wait" not in table or "seconds" not in table:
        return None
    waited = table["data_wait"] * table["seconds"]
    known = table["seconds"][waited.notna()].sum()
    return float(waited.sum() / known) if known else None


def measures_table(run: RunRecord) -> Table:
    """Loss terms and measures of the kept epoch, a column per fold and one for their mean."""
    kept = {fold.name: _kept_row(fold) for fold in run.folds}
    frame = pd.DataFrame({name: row for name, row in kept.items() if row is not None})
    columns = frame.columns
    if len(columns) > 1:
        frame["mean"] = frame.mean(axis=1)
        frame["standard deviation"] = frame[columns].std(axis=1)
    return Table(
        f"training_{run.key}_measures",
        "Losses and measures in the epoch that is kept",
        frame.rename_axis("column of metrics.csv"),
        digits=4,
        note="train_ and loss_ are of training images, the others of held-out ones. The standard "
        "deviation is over folds and is no interval.",
    )


def _kept_row(fold: FoldRecord) -> pd.Series | None:
    if fold.kept is None:
        return None
    row = fold.table.iloc[fold.kept].drop(labels=[*COSTS], errors="ignore").dropna()
    # of volumes those over slices are enough
    return row[~row.index.str.startswith("pooled.")] if "dice" in row else row


def settings_table(runs: Sequence[RunRecord]) -> Table:
    """One row per key that differs from its default in some run, a column per run."""
    known = _defaults()
    values = {run.name: _values(run.config) for run in runs}
    defaults = {
        run.name: {key: _default(key, run.config, known) for key in values[run.name]}
        for run in runs
    }
    differing = [
        key
        for key in dict.fromkeys(key for one in values.values() for key in one)
        if any(one.get(key) != defaults[name].get(key) for name, one in values.items())
    ]
    rows = {}
    for key in differing:
        # rows of a table may differ in the default of a parameter
        usual = dict.fromkeys(one[key] for one in defaults.values() if key in one)
        chosen = {name: one.get(key, "–") for name, one in values.items()}
        rows[key] = {"default": " or ".join(usual), **chosen}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["default", *values])
    return Table(
        "training_settings",
        "The settings that differ from the defaults",
        frame.rename_axis("key"),
        note="Parameters of a network, loss, source or augmentation are held against those of the "
        "same row; of paths the last part is shown. `gutseg config CONFIG` prints all settings.",
    )


def _values(config: Config) -> dict[str, str]:
    found = flat(config.model_dump(mode="json"))
    for key in PLACES:
        if isinstance(found.get(key), str):
            found[key] = Path(found[key]).name
    return {key: _text(value) for key, value in found.items() if key not in SILENT}


def _defaults() -> dict[str, Any]:
    return flat(Config(name="defaults").model_dump(mode="json"))


def _default(key: str, config: Config, known: dict[str, Any]) -> str:
    """Return what a key is where nobody sets it; – where it has no default."""
    section, _, rest = key.partition(".params.")
    if rest:
        build = _builder(section, config)
        own = inspect.signature(build).parameters if build else {}
        first, *_ = rest.split(".")
        if first != rest or first not in own or own[first].default is inspect.Parameter.empty:
            return "–"
        return _text(own[first].default)
    if key in PLACES and isinstance(known.get(key), str):
        return Path(known[key]).name
    while key and key not in known:
        # of a section that is null by default, such as model.presence.weight
        key = key.rpartition(".")[0]
    return _text(known.get(key))


def _builder(section: str, config: Config) -> Callable[..., Any] | None:
    if section == "data":
        return SOURCES[config.data.source].build
    table: Any = ROWS.get(section)
    return table[getattr(config, section).name].build if table else None


def _text(value: Any) -> str:
    """As in a config; a tuple of the code and a list of YAML are the same."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def versions_table(runs: Sequence[RunRecord]) -> Table:
    """One row per fact of meta.json, a column per run; folds that differ are all named."""
    columns = {run.name: _facts(run) for run in runs}
    keys = dict.fromkeys(key for facts in columns.values() for key in facts)
    rows = {key: {name: facts.get(key, "–") for name, facts in columns.items()} for key in keys}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns))
    return Table(
        "training_versions",
        "What the runs were made with",
        frame.rename_axis("what"),
        note="A + behind the commit means uncommitted changes. Equal hashes of the folds mean that "
        "the same images were held out.",
    )


def _facts(run: RunRecord) -> dict[str, str]:
    found: dict[str, dict[str, list[str]]] = {}
    for fold in run.folds:
        train = fold.config.train
        libraries = fold.meta.get("libraries")
        facts = {
            **{key: fold.meta.get(key) for key in ("commit", "gutseg", "python")},
            **(libraries if isinstance(libraries, dict) else {}),
            "machine": fold.meta.get("machine"),
            "budget": _budget(fold),
            "images of a step": train.batch_size * train.accumulate,
            "random seed": fold.config.seed,
            "folds, sha256": str(fold.meta.get("folds_sha256") or "")[:12] or None,
            "encoder's weights, sha256": str(fold.meta.get("encoder_weights_sha256") or "")[:12]
            or None,
            "first weights, sha256": str(fold.meta.get("init_from_sha256") or "")[:12] or None,
        }
        for key, value in facts.items():
            if value is not None:
                found.setdefault(key, {}).setdefault(str(value), []).append(fold.name)
    return {key: _joined(values) for key, values in found.items()}


def _budget(fold: FoldRecord) -> str:
    train = fold.config.train
    for unit in ("steps", "seconds", "epochs"):
        if value := getattr(train, unit):
            text = f"{value:g} {unit}"
    ends = f", or {train.patience} epochs without a better {train.monitor}"
    return text + (ends if train.patience else "")


def _joined(values: dict[str, list[str]]) -> str:
    """Name the folds only where they differ."""
    if len(values) == 1:
        return next(iter(values))
    return "; ".join(f"{value} ({', '.join(folds)})" for value, folds in values.items())
