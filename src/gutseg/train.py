"""gutseg train CONFIG --fold all key=value...; torchrun -m gutseg.train CONFIG ..."""

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from gutseg import experiment
from gutseg.claims import claimed
from gutseg.config import Config, dump, load
from gutseg.data.cache import Cache
from gutseg.data.dataset import loader
from gutseg.ending import guarded, ready_streams
from gutseg.engine.budget import best_epoch
from gutseg.engine.distributed import World, destroy, init
from gutseg.engine.journal import Journal
from gutseg.engine.loop import fit
from gutseg.engine.provenance import check_folds, provenance
from gutseg.engine.seeding import INITIAL, seed_everything
from gutseg.files import need_file, write_json
from gutseg.inference.evaluate import Evaluator
from gutseg.jobs import Jobs, RayAddress, run
from gutseg.registry import listed, shown

log = logging.getLogger(__name__)
CONFIG, META = "config.yaml", "meta.json"
# One of them is there as soon as an epoch has ended.
TRAINED = ("last.pt", "best.pt", "metrics.csv")


def train(
    config: Annotated[Path, typer.Argument(help="a YAML of configs/")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value ...")] = None,
    fold: Annotated[str, typer.Option(help="a number, several (0,2) or all")] = "all",
    jobs: Jobs = 0,
    ray: RayAddress = "",
) -> None:
    """Train one fold or all of them; a run that was stopped goes on where it was."""
    settings = load(config, overrides)
    _, table = experiment.opened(settings)
    folds = experiment.chosen_folds(table, fold)
    world = init()
    if world.size > 1:  # torchrun's processes share every fold
        jobs, ray = 1, ""
    work = partial(_train_alone, settings)
    try:
        for number, best in run(folds, work, jobs=jobs, ray=ray, desc="train", unit="fold"):
            if world.is_main:
                keys = ("epoch", "val_loss", "dice", "score")
                shown = ", ".join(f"{key} {best[key]:.4g}" for key in keys if key in best)
                log.info(
                    "fold %d, best: %s, %s", number, shown, experiment.run_folder(settings, number)
                )
    finally:
        destroy(world)


def _train_alone(config: Config, fold: int) -> dict[str, float]:
    return train_fold(config, *experiment.opened(config), fold, init())


def train_fold(
    config: Config, cache: Cache, table: pd.DataFrame, fold: int, world: World
) -> dict[str, float]:
    """Train with one fold held out; return the best row of its history."""
    folder = experiment.run_folder(config, fold)
    with claimed(folder, [CONFIG, META, *TRAINED]) if world.is_main else nullcontext():
        if world.is_main:
            _check_opened(folder, config, fold)
        world.barrier()
        return _train_here(folder, config, cache, table, fold, world)


def _train_here(
    folder: Path, config: Config, cache: Cache, table: pd.DataFrame, fold: int, world: World
) -> dict[str, float]:
    seed_everything(config.seed, INITIAL)
    samples = experiment.samples(config, cache, table[table["fold"] != fold])
    sampler = experiment.sampler(config, samples, world)
    batches = loader(samples, sampler, config.train.workers, pin=world.device.type == "cuda")
    criterion = experiment.criterion(config, samples)
    learner = experiment.learner(config, criterion, len(sampler), world)
    evaluate = Evaluator(
        cache,
        table[table["fold"] == fold],
        partial(experiment.as_predictor, config, device=world.device, tta="none", name=str(folder)),
        criterion,
        maps=experiment.maps(config),
        rank=world.rank,
        world_size=world.size,
        all_reduce=world.all_reduce,
    )
    if world.is_main:  # after all that can refuse: a start that failed leaves nothing
        _record(folder, config, fold)
    wandb = {"project": "gutseg", "name": f"{config.name}-fold{fold}", "dir": str(folder)}
    journal = None
    if world.is_main:
        journal = Journal(
            folder,
            tensorboard=config.train.tensorboard,
            wandb=wandb if config.train.wandb else None,
        )
    try:
        history = fit(learner, batches, evaluate, folder, journal)
    except FloatingPointError as error:
        raise FloatingPointError(f"{folder}: {error}") from None
    if journal:
        journal.close()
    return history[best_epoch(history, config.train)]


def _check_opened(folder: Path, config: Config, fold: int) -> None:
    """Refuse to go on in a run folder that another config or another fold file made."""
    path = folder / CONFIG
    if _is_trained(folder):
        need_file(path, f"{folder} was trained with it: copy it back, or give another name=...")
    if path.is_file():
        before = load(path).model_dump(mode="json")  # raises for somebody else's
        changed = list(_changes(before, config.model_dump(mode="json")))
        if changed and _is_trained(folder):
            raise FileExistsError(
                f"{folder} was trained with another config "
                f"({listed(changed, len(changed), '; ')}); "
                "give another name=... or delete the folder"
            )
    if _is_trained(folder) and (folder / META).is_file():
        check_folds(folder, fold, config.data.folds)


def _changes(before: dict, now: dict, section: str = "") -> Iterator[str]:
    """Yield the keys of a config that differ, as in `optim.lr: 0.001 -> 0.02`."""
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{section}{key}.")
        elif old != new:
            yield f"{section}{key}: {shown(old)} -> {shown(new)}"


def _record(folder: Path, config: Config, fold: int) -> None:
    """Write config.yaml and meta.json; a start that trained nothing left none to keep."""
    if not _is_trained(folder):
        dump(config, folder / CONFIG)
    if not _is_trained(folder) or not (folder / META).is_file():
        write_json(folder / META, provenance(config.data.folds) | {"fold": fold})


def _is_trained(folder: Path) -> bool:
    return any((folder / name).exists() for name in TRAINED)


if __name__ == "__main__":
    ready_streams()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    typer.run(guarded("train")(train))
