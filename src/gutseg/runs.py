"""Run folders and blends, opened for prediction and scoring."""

from pathlib import Path

import numpy as np
import torch

from gutseg import build
from gutseg import config as configuration
from gutseg.config import Blend
from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.engine import checkpoint
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.oof import OutOfFold, compare_scans
from gutseg.inference.postprocess import Rule, level
from gutseg.inference.predictor import Predictor
from gutseg.inference.search import Volume
from gutseg.metrics.competition import Metric, ScanResult
from gutseg.paths import need_file
from gutseg.progress import progress


def fold_folders(run: Path, wanted: str) -> list[Path]:
    """Return the trained folds of a run that `--fold` names."""
    folders = sorted(path.parent for path in run.glob("fold*/config.yaml"))
    if wanted != "all":
        names = {f"fold{part}" for part in wanted.split(",")}
        missing = names - {folder.name for folder in folders}
        if missing:
            raise FileNotFoundError(f"{run} has no {', '.join(sorted(missing))}; train it first")
        folders = [folder for folder in folders if folder.name in names]
    if not folders:
        raise FileNotFoundError(f"{run} is no run folder: no fold*/config.yaml; run gutseg train")
    return folders


def predictor(folder: Path, device: torch.device, *, tta: str | None = None) -> Predictor:
    """Load a trained fold: its own config.yaml and best.pt.

    tta: overrides the config's. The pretrained encoder file is not needed again.
    """
    config = configuration.load(need_file(folder / "config.yaml", "train this fold first"))
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"encoder_weights": None})}
    )
    network = build.model(config)
    path = folder / "best.pt"
    checkpoint.fill(network, checkpoint.weights(path), path)
    return build.as_predictor(config, network, device, tta=tta, name=str(folder))


def cache_of(run: Path) -> Cache:
    """Open the cache that a run was trained from."""
    return Cache(configuration.load(fold_folders(run, "all")[0] / "config.yaml").data.cache)


def volumes(members: list[OutOfFold], floor: float) -> list[list[Volume]]:
    """Load out-of-fold predictions for a search, one list a class.

    floor: the lowest threshold that will be asked for. Raises ValueError when the runs
    predicted different scans.
    """
    for member in members[1:]:
        if member.scans != members[0].scans:
            differing = set(member.scans) ^ set(members[0].scans)
            raise ValueError(
                f"{members[0].run} and {member.run} predicted different scans, for example "
                f"{min(differing)}; predict the same folds with both"
            )
    cache = cache_of(members[0].run)
    found = [[] for _ in CLASSES]
    for name in progress(members[0].scans, desc="out of fold", unit="scan"):
        scan = cache.scan(name)
        loaded = [member.load(name, len(scan.image)) for member in members]
        probabilities = np.stack([whole for whole, _ in loaded])
        truth = np.where(loaded[0][1][:, None, None], scan.mask, 0)
        for bit, organ in enumerate(found):
            present = (truth >> bit & 1).astype(bool)
            organ.append(Volume.crop(probabilities[:, bit], present, level(floor)))
    return found


def rules(solved: Blend) -> list[Rule]:
    """Return a blend's rules in the order of CLASSES."""
    return [Rule(**getattr(solved.rules, organ).model_dump()) for organ in CLASSES]


def ensemble(path: Path) -> Ensemble:
    """Load all networks of a blend.yaml; its runs are found relative to it."""
    solved = configuration.load_blend(path)
    predictors, weights = [], []
    for member in solved.members:
        for fold in member.folds:
            folder = path.parent / member.run / f"fold{fold}"
            predictors.append(predictor(folder, build.device(), tta=member.tta))
            weights.append(member.weight / len(member.folds))
    return Ensemble(predictors, weights, rules(solved))


def out_of_fold(source: Path, metric: Metric) -> dict[str, list[ScanResult]]:
    """Score a run folder (thresholds of 0.5) or a blend.yaml out of fold, fold by fold."""
    if source.is_dir():
        solved, start = configuration.Blend(members=[{"run": source, "folds": [0]}]), Path()
    else:
        solved, start = configuration.load_blend(source), source.parent
    members = [OutOfFold(start / member.run) for member in solved.members]
    weights = [member.weight for member in solved.members]
    return compare_scans(members, weights, rules(solved), cache_of(members[0].run), metric)
