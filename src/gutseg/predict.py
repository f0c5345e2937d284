"""gutseg predict RUN --fold all: write out-of-fold probabilities."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import typer

from gutseg import build, runs
from gutseg.claims import claimed
from gutseg.config import load
from gutseg.data.cache import Cache
from gutseg.inference import oof
from gutseg.paths import need_file, read_json, write_json
from gutseg.progress import progress


def predict(
    run: Annotated[Path, typer.Argument(help="a run folder, for example runs/demo")],
    fold: Annotated[str, typer.Option(help="a number, several (0,2) or all")] = "all",
    tta: Annotated[
        Literal["none", "hflip", "flips"] | None, typer.Option(help="default: the config's")
    ] = None,
) -> None:
    """Write every fold's probabilities of the slices it was not trained on.

    One file a scan, RUN/fold<k>/oof/<scan>.npz: native size, uint8, 255 = 1. Scans that are
    there already, from the same weights, are left alone: a stopped prediction goes on.
    """
    folders = runs.fold_folders(run, fold)
    written = 0
    for folder in folders:
        with claimed(folder / "oof", ["made_with.json", "*.npz"]):
            written += _predict_fold(folder, tta)
    print(f"{run}: {written} predictions written, {len(folders)} folds")


def _predict_fold(folder: Path, tta: str | None) -> int:
    config = load(folder / "config.yaml")
    cache = Cache(config.data.cache)
    table = build.rows(config, cache)
    held_out = table[table["fold"] == int(folder.name.removeprefix("fold"))]
    predictor = runs.predictor(folder, build.device(), tta=tta)
    _forget_others(folder, predictor.tta)
    written = 0
    scans = held_out.groupby("scan")["z"]
    for name, z in progress(scans, desc=f"predict {folder.name}", unit="scan"):
        path = folder / "oof" / f"{name}.npz"
        if not path.is_file():
            oof.save(path, predictor(cache.scan(name), z.to_numpy()), z.to_numpy())
            written += 1
    return written


def _forget_others(folder: Path, tta: str) -> None:
    """Delete predictions that other weights or another TTA made."""
    weights = need_file(folder / "best.pt", "train this fold first").read_bytes()
    made_with = {"weights_sha256": hashlib.sha256(weights).hexdigest(), "tta": tta}
    note = folder / "oof" / "made_with.json"
    if not note.is_file() or read_json(note) != made_with:
        for path in note.parent.glob("*.npz"):
            path.unlink()
        write_json(note, made_with)
