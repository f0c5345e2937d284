"""gutseg predict RUN --fold all: write out-of-fold probabilities."""

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from gutseg import build
from gutseg.config import load
from gutseg.data.cache import Cache
from gutseg.inference import oof
from gutseg.paths import need_file


def predict(
    run: Annotated[Path, typer.Argument(help="a run folder, for example runs/demo")],
    fold: Annotated[str, typer.Option(help="a number, several (0,2) or all")] = "all",
    tta: Annotated[str | None, typer.Option(help="none, hflip or flips; default: config")] = None,
) -> None:
    """Write every fold's probabilities of the slices it was not trained on.

    One file a scan, RUN/fold<k>/oof/<scan>.npz: native size, uint8, 255 = 1. Scans that are
    there already are left alone, so a stopped prediction goes on.
    """
    folders = build.fold_folders(run, fold)
    written = 0
    for folder in folders:
        config = load(
            need_file(folder / "config.yaml", f"run: gutseg train CONFIG name={run.name}")
        )
        cache = Cache(config.data.cache)
        number = int(folder.name.removeprefix("fold"))
        table = build.rows(config, cache)
        scans = table[table["fold"] == number].groupby("scan")["z"]
        predictor = build.predictor(folder, build.device(), tta=tta)
        for name, z in tqdm(scans, desc=f"predict {folder.name}", unit="scan"):
            path = folder / "oof" / f"{name}.npz"
            if not path.is_file():
                oof.save(path, predictor(cache.scan(name), z.to_numpy()), z.to_numpy())
                written += 1
    print(f"{run}: {written} predictions written, {len(folders)} folds")
