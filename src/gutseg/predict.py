"""gutseg predict RUN --fold all: write out-of-fold probabilities."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from gutseg import experiment, runs
from gutseg.claims import claimed
from gutseg.inference import made_with, oof
from gutseg.inference.made_with import NOTE, MadeWith
from gutseg.progress import progress

log = logging.getLogger(__name__)


def predict(
    run: Annotated[Path, typer.Argument(help="a run folder, for example runs/demo")],
    fold: Annotated[str, typer.Option(help="a number, several (0,2) or all")] = "all",
    tta: Annotated[
        Literal["none", "hflip", "flips"] | None, typer.Option(help="default: the config's")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option(help="also folds that are still to be trained, with their best so far")
    ] = False,
) -> None:
    """Write every fold's probabilities of the slices it was not trained on.

    One file a scan, RUN/fold<k>/oof/<scan>.npz: native size, uint8, 255 = 1, and made_with.json,
    which says what made them. Whole files made with the same are left alone: a stopped
    prediction goes on.
    """
    folds = [runs.open_fold(folder) for folder in runs.fold_folders(run, fold)]
    for one in folds:
        if not unfinished:
            runs.check_finished(one)
    written = 0
    for one in folds:
        with claimed(one.folder / "oof", [NOTE, "*.npz"]):
            written += _predict_fold(one, tta)
    print(f"{run}: {written} predictions written, {len(folds)} folds")


def _predict_fold(fold: runs.Fold, tta: str | None) -> int:
    predictor = runs.predictor(fold.folder, experiment.device(), tta=tta)
    folder = fold.folder / "oof"
    _forget_others(folder, fold.made_with(predictor.tta))
    written = 0
    for name, z in progress(fold.planes.items(), desc=f"predict {fold.folder.name}", unit="scan"):
        path, scan = folder / f"{name}.npz", fold.cache.scan(name)
        if not _is_whole(path, z, scan.shape[1:]):
            oof.save(path, predictor(scan, z), z)
            written += 1
    return written


def _is_whole(path: Path, z: np.ndarray, size: tuple[int, int]) -> bool:
    if not path.is_file():
        return False
    try:
        oof.load(path, z, size)
    except ValueError:
        log.warning("%s is damaged or not what predict writes; it is written again", path)
        return False
    return True


def _forget_others(folder: Path, now: MadeWith) -> None:
    """Delete predictions that anything else made, and write down what makes them now."""
    before = made_with.read(folder)
    for path in folder.glob("*.npz"):
        if before is None or not before.holds_for(path.stem, now):
            path.unlink()
    if before != now:
        made_with.write(folder, now)
