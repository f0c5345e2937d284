"""gutseg pseudo RUN IMAGES --out FOLDER: label scans of new patients with a run's predictions."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from gutseg import config as configuration
from gutseg import experiment, pseudo_labels, runs, warm_start
from gutseg.claims import check_claim, claimed
from gutseg.data.cache import cache_labels
from gutseg.data.folds import FULL, held_by
from gutseg.data.index import INDEX, Issues, list_slices
from gutseg.data.volume import read_file, read_scan
from gutseg.engine.budget import check_finished
from gutseg.engine.checkpoint import weights_file
from gutseg.engine.provenance import check_folds
from gutseg.files import competition_folder, need_file, replacing
from gutseg.inference.made_with import hash_file
from gutseg.inference.predictor import Predictor
from gutseg.metrics.pooled import decided
from gutseg.progress import progress
from gutseg.registry import counted
from gutseg.settings import Tta

# What the folder holds; nothing is written into another.
MARKS = (f"fold*/{pseudo_labels.NOTE}", f"full/{pseudo_labels.NOTE}", "*/case*_day*/scan.json")


def pseudo(
    run: Annotated[Path, typer.Argument(help="a run folder, for example runs/demo")],
    images: Annotated[Path, typer.Argument(help="a competition's folder of new patients")],
    out: Annotated[Path, typer.Option(help="the folder to write")],
    fold: Annotated[str, typer.Option(help="a number, several (0,2), all or full")] = "all",
    tta: Annotated[Tta | None, typer.Option(help="default: the config's")] = None,
) -> None:
    """Label scans of patients that a run has not seen: more scans to train on (data.extra=FOLDER).

    Every fold gets labels of its own network, FOLDER/fold<k>: it was trained without the patients
    that a training of fold k holds out, so that they stay unseen.
    """
    root = competition_folder(images)
    check_claim(out, MARKS, [run, root / "train", root / "test"])
    folders = [run / FULL] if fold == FULL else runs.fold_folders(run, fold)
    parts = [list_slices(root / part, Issues(hint="")) for part in ("train", "test")]
    parts = [part for part in parts if len(part)]  # numbers of an empty one are objects
    if not parts:
        raise ValueError(f"{root} has no slices below train/ or test/; give scans to be labelled")
    slices = pd.concat(parts, ignore_index=True)
    seen = [_trained_on(folder, slices) for folder in folders]  # all that can refuse comes first
    with claimed(out, MARKS):
        for folder, cases in zip(folders, seen, strict=True):
            _label(folder, slices, root, out / folder.name, tta)
            weights = hash_file(weights_file(folder))
            pseudo_labels.write_note(out / folder.name, held_by(folder.name), weights, cases)
    print(f"{out}: {slices['scan'].nunique()} scans, labelled by {len(folders)} folds")


def _trained_on(folder: Path, slices: pd.DataFrame) -> set[int]:
    """Return the patients that a fold was trained on; refuse to label scans of one that it knows.

    Those that it holds out are known too: a training of this fold holds them out.
    """
    config = configuration.load(need_file(folder / "config.yaml", "train this fold first"))
    if config.data.source != "competition" or config.data.params["binary"]:
        raise ValueError(
            f"{folder} was trained on {config.data.source}, or with binary classes; labels are "
            "made by networks of the competition's three classes"
        )
    held = held_by(folder.name)
    table = experiment.rows(config, experiment.source(config))
    check_folds(folder, held, config.data.folds, experiment.fold_hash(config, table))
    check_finished(folder, config.train)
    known = warm_start.known_cases(config, held) & set(slices["case"])
    if known:
        names = counted([f"case{case}" for case in known], "patient")
        raise ValueError(
            f"{folder} knows {names} of these scans from its own data; give a folder of other "
            "patients, whose labels nobody has"
        )
    return warm_start.trained_on(config, held)


def _label(folder: Path, slices: pd.DataFrame, root: Path, out: Path, tta: Tta | None) -> None:
    """Write the cache of one fold: all scans, and last the index, which says so."""
    config = configuration.load(folder / "config.yaml")
    data = experiment.source(config)
    network = experiment.load_predictor(folder, config, data.inputs, data.classes, tta)
    weights = str(hash_file(weights_file(folder)))
    for name in (INDEX, pseudo_labels.NOTE):
        (out / name).unlink(missing_ok=True)
    bar = progress(slices.groupby("scan", sort=False), desc=f"pseudo {folder.name}", unit="scan")
    indices = [_labelled(network, rows, root, out, weights) for _, rows in bar]
    with replacing(out / INDEX) as temporary:
        pd.concat(indices, ignore_index=True).to_parquet(temporary, write_page_checksum=True)


def _labelled(
    network: Predictor, rows: pd.DataFrame, root: Path, out: Path, weights: str
) -> pd.DataFrame:
    """Write one scan with the masks that a network predicts; return its rows of the index."""
    scan, listed = read_scan(rows, lambda file: read_file(root / file), Issues(hint=""))
    masks = decided(network(scan), network.mode)  # (C, Z, H, W)
    bits = (masks * (1 << np.arange(len(masks), dtype=np.uint8))[:, None, None, None]).sum(axis=0)
    return cache_labels(listed, scan, bits.astype(np.uint8), out, made_by=weights)
