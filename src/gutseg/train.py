"""gutseg train CONFIG --fold all key=value...; torchrun -m gutseg.train CONFIG ..."""

import logging
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gutseg import experiment
from gutseg.config import load
from gutseg.ending import guarded, ready_streams
from gutseg.engine.distributed import destroy, init
from gutseg.jobs import Jobs, RayAddress, run
from gutseg.training import train_fold

log = logging.getLogger(__name__)


def train(
    config: Annotated[Path, typer.Argument(help="a YAML of configs/")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value ...")] = None,
    fold: Annotated[
        str, typer.Option(help="a number, several (0,2), all, or full: no fold")
    ] = "all",
    jobs: Jobs = 0,
    ray: RayAddress = "",
) -> None:
    """Train one fold or all of them; a run that was stopped resumes bit-exactly.

    --fold full trains on all patients for a stated number of epochs and keeps the last weights.
    """
    settings = load(config, overrides)
    table = experiment.rows(settings, experiment.source(settings))
    folds = experiment.chosen_folds(table, fold)
    world = init()
    if world.size > 1:  # torchrun's processes share every fold
        jobs, ray = 1, ""
    work = partial(train_fold, settings)
    try:
        for number, best in run(folds, work, jobs=jobs, ray=ray, desc="train", unit="fold"):
            if world.is_main:
                names = ("val_loss", "dice", "score", settings.train.monitor or "train_loss")
                keys = dict.fromkeys(("epoch", *names))
                shown = ", ".join(f"{key} {best[key]:.4g}" for key in keys if key in best)
                folder = experiment.run_folder(settings, number)
                log.info("%s, kept: %s, %s", folder.name, shown, folder)
    finally:
        destroy(world)


if __name__ == "__main__":
    ready_streams()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    typer.run(guarded("train")(train))
