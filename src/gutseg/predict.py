"""gutseg predict RUN --fold all: write out-of-fold probabilities."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from gutseg import runs
from gutseg.claims import claimed
from gutseg.engine.budget import check_finished
from gutseg.inference import made_with, oof
from gutseg.inference.made_with import NOTE
from gutseg.jobs import Gpus, Jobs, RayAddress, at_once
from gutseg.jobs import run as run_tasks
from gutseg.progress import progress
from gutseg.registry import counted
from gutseg.settings import EarlierDay, Tta

log = logging.getLogger(__name__)
CPU = torch.device("cpu")


def predict(
    run: Annotated[Path, typer.Argument(help="a run folder, for example runs/demo")],
    fold: Annotated[str, typer.Option(help="a number, several (0,2) or all")] = "all",
    tta: Annotated[Tta | None, typer.Option(help="default: the config's")] = None,
    prior: Annotated[
        EarlierDay | None, typer.Option(help="of prior_day; withheld: as of new patients")
    ] = None,
    unfinished: Annotated[bool, typer.Option(help="also folds that are still in training")] = False,
    jobs: Jobs = 1,
    gpus: Gpus = None,
    ray: RayAddress = "",
) -> None:
    """Write every fold's probabilities of the slices it was not trained on.

    One file a scan, RUN/fold<k>/oof/<scan>.npz: native size, uint8, 255 = 1, and made_with.json,
    which says what made them. Whole files made with the same are left alone. Folds and their scans
    are shared out over --jobs processes, over --gpus, or over a Ray cluster.
    """
    count = at_once(jobs, gpus, ray)
    folds = [runs.open_fold(folder) for folder in runs.fold_folders(run, fold)]
    for one in folds if prior else ():
        if one.shown(prior) is None:
            raise ValueError(
                f"--prior {prior}: {one.folder} was trained without prior_day; leave it out"
            )
    otherwise = ", or give --unfinished to predict with the best weights so far"
    for one in folds if not unfinished else ():
        check_finished(one.folder, one.config.train, otherwise)
    with ExitStack() as claims:
        parts, shares = [], -(-count // len(folds))
        for one in folds:
            claims.enter_context(claimed(one.folder / "oof", [NOTE, "*.npz"]))
            parts += _parts(one, tta, prior, shares)
        work = partial(_predict_part, tta, prior, CPU if gpus == 0 else None)
        done = run_tasks(parts, work, jobs=jobs, gpus=gpus, ray=ray, desc="predict", unit="part")
        written = sum(count for _, count in done)
    print(f"{run}: {written} predictions written, {len(folds)} folds")


@dataclass(frozen=True)
class Part:
    """Scans of a fold that one process predicts one after the other."""

    folder: Path
    scans: list[str]

    def __str__(self) -> str:
        return f"{self.folder}, {counted(self.scans, 'scan')}"


def _parts(fold: runs.Fold, tta: str | None, prior: EarlierDay | None, count: int) -> list[Part]:
    """Share out the scans of a fold that have no prediction yet over at most `count` parts.

    Predictions that anything else made are deleted.
    """
    folder = fold.folder / "oof"
    # it is loaded before anything is deleted: weights that cannot be read cost no predictions
    predictor = runs.predictor(fold, tta, CPU, prior)
    before, now = made_with.read(folder), fold.made_with(predictor.settings.tta, prior)
    for path in folder.glob("*.npz"):
        if before is None or not before.holds_for(path.stem, now):
            path.unlink()
    if before != now:
        made_with.write(folder, now)
    missing = [name for name, z in fold.planes.items() if not _is_whole(fold, name, z)]
    shares = [missing[first::count] for first in range(count)]
    return [Part(fold.folder, share) for share in shares if share]


def _predict_part(
    tta: str | None, prior: EarlierDay | None, device: torch.device | None, part: Part
) -> int:
    fold = runs.open_fold(part.folder)
    predictor = runs.predictor(fold, tta, device, prior)
    for name in progress(part.scans, desc=f"predict {part.folder.name}", unit="scan"):
        z = fold.planes[name]
        oof.save(part.folder / "oof" / f"{name}.npz", predictor(fold.data.scan(name), z), z)
    return len(part.scans)


def _is_whole(fold: runs.Fold, name: str, z: np.ndarray) -> bool:
    path = fold.folder / "oof" / f"{name}.npz"
    if not path.is_file():
        return False
    try:
        oof.load(path, len(fold.data.classes), z, fold.data.scan(name).shape[1:])
    except ValueError:
        log.warning("%s is damaged or not what predict writes; it is written again", path)
        return False
    return True
