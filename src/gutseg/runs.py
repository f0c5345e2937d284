"""Run folders and blends, opened for prediction."""

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gutseg import config as configuration
from gutseg import experiment
from gutseg.config import Blend, Config, Rule
from gutseg.config.blend import Member, Predicted
from gutseg.constants import CLASSES
from gutseg.data.folds import FULL, chosen, fold_name, held_by
from gutseg.data.sources.source import Source
from gutseg.engine import checkpoint
from gutseg.engine.provenance import check_folds
from gutseg.files import need_file
from gutseg.inference import made_with
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.made_with import NOTE, MadeWith
from gutseg.inference.oof import OutOfFold
from gutseg.inference.predictor import Predictor
from gutseg.registry import counted
from gutseg.settings import EarlierDay, Missing, Tta

log = logging.getLogger(__name__)

# What a prediction depends on, besides the weights and the images.
SETTINGS: dict[str, Any] = {
    "stack": True,
    "scaling": True,
    "geometry": True,
    "model": {"name", "params"},
}
# a fold's folder; fold00 would be fold 0 a second time
FOLD = "fold(0|[1-9][0-9]{0,3})"
# What makes a folder a fold of a run; an absent config.yaml next to the others is an issue.
FOLD_FILES = ("config.yaml", "best.pt", "last.pt", "oof")


@dataclass(frozen=True)
class Fold:
    """A fold of a run, opened: what it was told and what it holds out."""

    folder: Path
    number: int
    config: Config
    data: Source
    # a hash of who is held out in which fold
    folds: str
    # scan -> the planes z that this fold holds out
    planes: dict[str, np.ndarray]
    # all folds of the fold file, trained or not
    known: list[int]

    def made_with(self, tta: str, prior: EarlierDay | None = None) -> MadeWith:
        """Return what predictions made now would be made with; prior: as in `predictor`."""
        settings = _settings(self.config, self.folder)
        prior = self.shown(prior)
        earlier = self.data.earlier if prior == "given" else dict[str, str]().get
        return MadeWith(
            weights=made_with.hash_file(self.folder / "best.pt"),
            tta=tta,
            settings=made_with.hash_values(settings),
            folds=self.folds,
            scans={
                name: made_with.of_scan(self.data.fingerprint(name), z, earlier(name))
                for name, z in self.planes.items()
            },
            prior=prior,
        )

    def shown(self, prior: EarlierDay | None) -> EarlierDay | None:
        """Return whether the network is shown an earlier day, as asked; None: it has no place."""
        return (prior or "given") if self.config.prior_day else None


def _settings(config: Config, folder: Path) -> dict[str, Any]:
    """Return the settings that predictions with a network depend on; folder: its fold's."""
    settings = config.model_dump(mode="json", include=SETTINGS)
    # only where they matter, so that notes of earlier versions hold
    if not config.scaling.kind.startswith("zscore"):
        del settings["scaling"]["deviations"]
    if config.geometry.kind != "organs":
        del settings["geometry"]["box"]
    del settings["geometry"]["from_run"]  # not where the detector was, but what it is
    if config.geometry.kind == "found":
        home = folder / experiment.DETECTOR
        theirs = configuration.load(need_file(home / "config.yaml", experiment.NO_DETECTOR))
        weights = made_with.hash_file(checkpoint.weights_file(home))
        settings["detector"] = [weights, _settings(theirs, home)]
    if config.model.presence:
        settings["model"]["presence"] = config.model.presence.model_dump(mode="json")
    if config.channels:
        settings["channels"] = config.channels
    if config.volume:
        settings["volume"] = config.volume.model_dump(include={"patch", "overlap"})
    if config.view != "axial":
        settings["view"] = config.view
    if config.geometry.kind == "native":
        settings["tile"] = config.predict.tile
    return settings


def open_fold(folder: Path) -> Fold:
    """Open a fold of a run; raises ValueError when its folds are not those of the training."""
    config = configuration.load(need_file(folder / "config.yaml", "train this fold first"))
    number = int(folder.name.removeprefix("fold"))
    folds = config.data.folds
    if isinstance(folds, Path):  # before the data are read, which may take long
        check_folds(folder, number, folds)
    data = experiment.source(config)
    table = experiment.rows(config, data)
    identity = experiment.fold_hash(config, table)
    check_folds(folder, number, folds, identity)
    held_out = table[table["fold"] == number].groupby("scan")["z"]
    return Fold(
        folder,
        number,
        config,
        data,
        identity,
        planes={name: z.to_numpy() for name, z in held_out},
        known=sorted(table["fold"].unique().tolist()),
    )


def fold_folders(run: Path, wanted: str) -> list[Path]:
    """Return the folds of a run that `--fold` names, in the order of their numbers.

    Raises ValueError for FULL, which has seen all patients.
    """
    if FULL in wanted.split(","):
        raise ValueError(
            f"--fold {wanted}: {run / FULL} was trained on all patients, so that nothing is out of "
            "fold; give numbers or all. A blend.yaml takes it for submit (folds: [full])"
        )
    found = {
        int(folder.name.removeprefix("fold")): folder
        for folder in run.glob("fold*")
        if re.fullmatch(FOLD, folder.name) and any((folder / name).exists() for name in FOLD_FILES)
    }
    if not found:
        problem = "is not a run folder: it has no fold*/config.yaml"
        raise FileNotFoundError(f"{run} {problem}; run gutseg train")
    numbers = chosen(wanted, sorted(found), f"those that {run} has; train the others first")
    remedy = "copy it back, or delete the folder and train the fold"
    return [need_file(found[number] / "config.yaml", remedy).parent for number in numbers]


def predictions(run: Path, wanted: str = "all", missing: Missing = "refuse") -> OutOfFold:
    """Open a run's predictions, which must be there and be those that `predict` would make now.

    wanted: as in `--fold`; "all" are those that are trained. missing: "empty" takes empty masks for
    scans without a prediction. Raises ValueError naming what is absent or has changed.
    """
    folds = [open_fold(folder) for folder in fold_folders(run, wanted)]
    if wanted == "all":  # those with weights, or with predictions made without
        scorable = (f"oof/{NOTE}", "best.pt")
        folds = [fold for fold in folds if any((fold.folder / name).is_file() for name in scorable)]
    if not any((fold.folder / "oof" / NOTE).is_file() for fold in folds):
        raise FileNotFoundError(f"{run} holds no predictions; run: gutseg predict {run}")
    made = {fold.number: _still_valid(run, fold, missing) for fold in folds}
    for option in ("tta", "prior"):
        if len({getattr(one, option) for one in made.values()}) > 1:
            said = ", ".join(f"fold {fold} {getattr(one, option)}" for fold, one in made.items())
            problem = f"--{option} differs ({said})"
            raise ValueError(f"{run}: {problem}; run gutseg predict with one for all")
    if len(folds) < len(known := folds[0].known):
        log.warning("%s: folds %s of %d", run, ", ".join(map(str, sorted(made))), len(known))
    return OutOfFold(run, {fold.number: fold.planes for fold in folds}, made, folds[0].data)


def _still_valid(run: Path, fold: Fold, missing: Missing) -> MadeWith:
    """Return what a fold's predictions were made with, unless some are absent or out of date."""
    remedy = f"run: gutseg predict {run} --fold {fold.number}"
    before = made_with.read(fold.folder / "oof")
    if before is None:
        raise ValueError(
            f"{run}, fold {fold.number}: trained, but there are no predictions with a {NOTE} that "
            f"says what made them; {remedy} (or leave this fold out with --fold)"
        )
    if changed := before.changes(fold.made_with(before.tta, before.prior)):
        raise ValueError(
            f"{run}, fold {fold.number}: predictions are out of date, changed since are "
            f"{', '.join(changed)}; {remedy}"
        )
    files = {path.stem for path in (fold.folder / "oof").glob("*.npz")}
    if absent := sorted(fold.planes.keys() - files):
        found = f"{run}, fold {fold.number}: no predictions of {counted(absent, 'scan')}"
        if missing == "refuse":
            raise ValueError(f"{found}; {remedy}")
        log.warning("%s; taken for empty", found)
    return before


def predictor(
    fold: Fold,
    tta: str | None = None,
    device: torch.device | None = None,
    prior: EarlierDay | None = None,
) -> Predictor:
    """Load the network of an opened fold; tta: overrides the config's. device: see `ensemble`.

    prior: whether a network of `prior_day` sees the earlier day, None for yes.
    """
    seen = replace(fold.data.inputs, prior=fold.shown(prior))
    classes = fold.data.classes
    return experiment.load_predictor(fold.folder, fold.config, seen, classes, tta, device)


def rules(solved: Blend) -> list[Rule]:
    """Return a blend's rules in the order of CLASSES."""
    return [getattr(solved.rules, organ) for organ in CLASSES]


def ensemble(path: Path, device: torch.device | None = None) -> Ensemble:
    """Load all networks of a blend.yaml; its runs are found relative to it.

    They predict scans of the competition; no labelled data are needed. device: None is the GPU
    when there is one.
    """
    return assemble(configuration.load_blend(path), path.parent, device)


def as_blend(source: Path) -> tuple[Blend, Path]:
    """Return a blend and what its runs are relative to.

    source: a blend.yaml, a folder that holds one, or a run folder: all of its folds that have
    weights, or else the network of all patients, with thresholds of 0.5.
    """
    if not source.is_dir() or (source / "blend.yaml").is_file():
        path = source / "blend.yaml" if source.is_dir() else source
        return configuration.load_blend(path), path.parent
    if (source / FULL / "best.pt").is_file() and not any(source.glob("fold*/best.pt")):
        folders = [source / FULL]
    else:
        folders = [one for one in fold_folders(source, "all") if (one / "best.pt").is_file()]
    path = need_file((folders or [source / "fold0"])[0] / "best.pt", "run gutseg train")
    tta = configuration.load(path.with_name("config.yaml")).predict.tta
    held = [held_by(one.name) for one in folders]
    return Blend(members=[Member(run=Path(source.name), folds=held, tta=tta)]), source.parent


def assemble(solved: Blend, home: Path, device: torch.device | None = None) -> Ensemble:
    """Load all networks of a blend, whose runs are found relative to home."""

    def load(member: Predicted, *, any_class: bool = False) -> list[Predictor]:
        folders = (home / member.run / fold_name(fold) for fold in member.folds)
        return [_member(folder, member.tta, device, any_class) for folder in folders]

    return Ensemble(
        [predictor for member in solved.members for predictor in load(member)],
        [member.weight / len(member.folds) for member in solved.members for _ in member.folds],
        rules(solved),
        background=load(solved.background, any_class=True) if solved.background else (),
        gate=load(solved.gate_by) if solved.gate_by else (),
    )


def _member(folder: Path, tta: Tta, device: torch.device | None, any_class: bool) -> Predictor:
    """Load a network of a blend; any_class: it may know one class, `organ`."""
    config = configuration.load(need_file(folder / "config.yaml", "train this fold first"))
    if config.data.source != "competition":
        problem = f"was trained on {config.data.source}; a blend predicts the competition's scans"
        raise ValueError(f"{folder} {problem}, so leave this run out")
    classes = experiment.organs(config)
    if classes != CLASSES and not any_class:
        problem = f"predicts {', '.join(classes)}; members of a blend predict {', '.join(CLASSES)}"
        raise ValueError(f"{folder} {problem}, so give this run as its background")
    return experiment.load_predictor(
        folder, config, experiment.inputs(config), classes, tta, device
    )
