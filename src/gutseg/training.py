"""Train one fold of an experiment into its run folder; nothing else trains."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pandas as pd
from torch import nn

from gutseg import detector, epochs, experiment, warm_start
from gutseg.claims import claimed
from gutseg.config import Config, dump, load
from gutseg.config.files import flat
from gutseg.data.batches import loader
from gutseg.data.folds import FULL, Held, cases_held_out, fold_name
from gutseg.data.selection import without_dropped
from gutseg.data.sources.source import Source
from gutseg.data.sources.turned import in_view
from gutseg.engine.budget import best_epoch
from gutseg.engine.distributed import World, init
from gutseg.engine.journal import Journal
from gutseg.engine.loop import fit
from gutseg.engine.presence import with_presence
from gutseg.engine.provenance import (
    DETECTOR,
    ENCODER,
    EXTRA,
    HELD_OUT,
    START,
    check_folds,
    check_weights,
    provenance,
)
from gutseg.files import need_file, write_json
from gutseg.inference.evaluate import Evaluator
from gutseg.inference.made_with import hash_file
from gutseg.models.packaged import encoder_file
from gutseg.pseudo_labels import ALWAYS, note_of, with_extra
from gutseg.registry import listed, shown, suggest

CONFIG, META = "config.yaml", "meta.json"
# Config keys that do not change the weights: they may differ when a training is resumed.
HARMLESS = (
    *("runs", "train.workers", "train.tensorboard", "train.wandb"),
    *("predict.batch_size", "predict.tta"),
)
# what a training learns of its own folds and writes into their config.yaml
LEARNT = ("geometry.box",)
# One of them is there as soon as an epoch has ended.
TRAINED = ("last.pt", "best.pt", "metrics.csv")


def train_fold(config: Config, fold: Held, data: Source | None = None) -> dict[str, float]:
    """Train with one fold, or none, held out; return the row of its history that was kept.

    Writes config.yaml, meta.json, last.pt, best.pt and metrics.csv into the run folder; a training
    that was stopped resumes bit-exactly. data: `experiment.source(config)`, where it is open.
    Raises FileExistsError where another config made the folder, and FloatingPointError when
    losses or weights are not finite.
    """
    config = _without_held_out(config) if fold == FULL else config
    world, data = init(), data or experiment.source(config)
    folder, table = experiment.run_folder(config, fold), experiment.rows(config, data)
    with claimed(folder, [CONFIG, META, *TRAINED]) if world.is_main else nullcontext():
        if world.is_main:
            _check_opened(folder, config, fold, experiment.fold_hash(config, table))
        world.barrier()
        return _train_here(folder, config, data, table, fold, world)


def _train_here(
    folder: Path, config: Config, data: Source, table: pd.DataFrame, fold: Held, world: World
) -> dict[str, float]:
    more, drawn = with_extra(config, data, table, fold)
    found = None
    if config.geometry.kind == "found":
        kept = folder if is_trained(folder) else None
        found = detector.find(config, fold, data, table, more=more, kept=kept, world=world)
        data, more = found.located(data), found.located(more)
    drawn = without_dropped(drawn, more, config.data.drop, fold)
    training, held_out = drawn[drawn["fold"] != fold], table[table["fold"] == fold]
    criterion = experiment.criterion(config, more, training)
    seen, planes = in_view(more, drawn, config.view)
    if config.geometry.kind == "organs":
        config = epochs.with_organ_box(config, seen, planes[~planes["fold"].isin([fold, ALWAYS])])
        _check_box(folder, config)
        data, more, seen = (one.with_geometry(config.geometry) for one in (data, more, seen))
    batches = epochs.batches(config, seen, planes[planes["fold"] != fold], fold)
    sampler = epochs.sampler(config, batches, world)
    search = epochs.hard_slices(config, more, training, batches, sampler, world)
    learner = experiment.learner(config, data, criterion, len(sampler), fold, world)
    start = warm_start.weights_of(config, fold)
    if start and not is_trained(folder):
        warm_start.check_unseen(config, fold, data, table, start)
        warm_start.fill(learner.model, start)
    evaluate = Evaluator(
        data,
        held_out,
        partial(experiment.as_predictor, config, seen=data.inputs, device=world.device, tta="none"),
        with_presence(criterion, config.model.presence),
        maps=experiment.maps(config),
        seen=seen,
        rank=world.rank,
        world_size=world.size,
        all_reduce=world.all_reduce,
    )
    if (column := config.train.monitor) and column not in evaluate.columns:
        raise ValueError(
            f"train.monitor: {shown(column)} is not measured on data.source "
            f"{config.data.source}; {suggest(column, evaluate.columns)}"
        )
    if world.is_main:  # after all that can refuse: a start that failed leaves nothing
        dump(config, folder / CONFIG)  # its harmless keys may be new
        if found:
            found.keep(folder)
        if not is_trained(folder) or not (folder / META).is_file():
            _write_meta(folder, config, fold, table, start)
    journal = _journal(config, folder, fold) if world.is_main else None
    pin = world.device.type == "cuda"
    train_batches = loader(batches, sampler, config.train.workers, pin)
    try:
        measure = _unmeasured if fold == FULL else evaluate
        history = fit(learner, train_batches, measure, folder, journal, search)
    except FloatingPointError as error:
        raise FloatingPointError(f"{folder}: {error}") from None
    finally:
        if journal:
            journal.close()  # W&B would write the next fold of this process into an open run
    best = best_epoch(history, config.train)
    return history[-1 if best is None else best]


def _write_meta(
    folder: Path, config: Config, fold: Held, table: pd.DataFrame, start: Path | None
) -> None:
    identity = experiment.fold_hash(config, table)
    encoder = encoder_file(config.model.encoder_weights)
    made = provenance(config.data.folds, identity, encoder, start)
    if note := note_of(config, fold):
        made |= {EXTRA: hash_file(note)}
    if config.geometry.kind == "found":
        made |= {DETECTOR: hash_file(detector.weights_in(folder))}
    if "case" in table:  # in a bundle there are neither the data nor a fold file
        made |= {HELD_OUT: cases_held_out(table, fold)}
    write_json(folder / META, made | {"fold": fold})


def _journal(config: Config, folder: Path, fold: Held) -> Journal:
    wandb = None
    if config.train.wandb:
        name = f"{config.name}-{fold_name(fold)}"
        wandb = {"project": "gutseg", "name": name, "dir": str(folder)}
    return Journal(folder, tensorboard=config.train.tensorboard, wandb=wandb)


def _unmeasured(_network: nn.Module, _with_score: bool) -> dict[str, float]:
    return {}


def _without_held_out(config: Config) -> Config:
    """Return the settings of a training that sees all rows: its last weights are kept.

    Raises ValueError for settings that look at held-out data or leave its length open.
    """
    train, none = config.train, "and --fold full holds nobody out; give"
    if train.patience:
        raise ValueError(
            f"train.patience: {train.patience} stops by held-out patients, {none} null and a fixed "
            "train.epochs, such as the folds needed"
        )
    if train.seconds:
        raise ValueError(
            f"train.seconds: {train.seconds:g} mean other weights on another machine, {none} "
            "train.epochs or train.steps"
        )
    if train.monitor and "monitor" in train.model_fields_set:
        raise ValueError(
            f"train.monitor: {shown(train.monitor)} chooses an epoch by held-out patients, {none} "
            "train.monitor=null, which keeps the last weights"
        )
    return config.model_copy(update={"train": train.model_copy(update={"monitor": None})})


def _check_opened(folder: Path, config: Config, fold: Held, folds: str) -> None:
    """Refuse to resume in a run folder that another config or other folds made."""
    path = folder / CONFIG
    if is_trained(folder):
        need_file(path, f"{folder} was trained with it: copy it back, or give another name=...")
    if path.is_file():
        # load raises for a file of something else
        changed = changes(load(path), config, (*HARMLESS, *LEARNT))
        if changed and is_trained(folder):
            other = f"another config ({listed(changed, len(changed), '; ')})"
            remedy = "give another name=... or delete the folder"
            raise FileExistsError(f"{folder} was trained with {other}; {remedy}")
    if is_trained(folder) and (folder / META).is_file():
        check_folds(folder, fold, config.data.folds, folds)
        encoder = encoder_file(config.model.encoder_weights)
        start, note = warm_start.weights_of(config, fold), note_of(config, fold)
        starts = {ENCODER: encoder, START: start, EXTRA: note}
        settings = {
            ENCODER: "model.encoder_weights",
            START: "train.init_from",
            EXTRA: "data.extra",
        }
        for key, weights in starts.items():
            if weights:
                check_weights(folder, key, weights, settings[key])
        if config.geometry.kind == "found":
            detector.check_kept(folder)


def _check_box(folder: Path, config: Config) -> None:
    """Refuse to move the window of a network that was trained with another one."""
    if is_trained(folder) and (kept := load(folder / CONFIG).geometry.box) != config.geometry.box:
        raise FileExistsError(
            f"{folder} was trained in the window {kept} (geometry.box), but its organs lie in "
            f"{config.geometry.box} now: labels have changed; give another name=... or delete the "
            "folder"
        )


def changes(before: Config, now: Config, harmless: Sequence[str] = HARMLESS) -> list[str]:
    """Return the keys of a config that differ, as in `optim.lr: 0.001 -> 0.02`, by default."""
    old, new = (flat(one.model_dump(mode="json")) for one in (before, now))
    return [
        f"{key}: {shown(old.get(key))} -> {shown(new.get(key))}"
        for key in {**old, **new}
        if old.get(key) != new.get(key) and key not in harmless
    ]


def is_trained(folder: Path) -> bool:
    """Say whether an epoch of a fold has ended."""
    return any((folder / name).exists() for name in TRAINED)
