"""gutseg reuse CONFIG key=value...: a binary network's background over a multi-class prediction."""

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gutseg import experiment, runs
from gutseg.claims import check_claim, claimed
from gutseg.config import dump, validate
from gutseg.config.files import read_with
from gutseg.config.losses import check_fit
from gutseg.engine.budget import check_finished
from gutseg.files import replacing_folder, write_json
from gutseg.inference import oof
from gutseg.inference.oof import OutOfFold
from gutseg.metrics.pooled import decided, measures
from gutseg.predict import predict
from gutseg.progress import progress
from gutseg.reporting.label_maps import write_label_map
from gutseg.reporting.tables import as_plain, markdown, number, pooled_text
from gutseg.study.report.measures import METRIC_COLUMNS
from gutseg.study.two_stage import Stage, TwoStage, read_two_stage
from gutseg.training import train_fold

log = logging.getLogger(__name__)

SETTINGS, RESULTS = "reuse.yaml", "results.json"
MARKS = (SETTINGS,)


def reuse(
    config: Annotated[Path, typer.Argument(help="a YAML such as configs/reuse/nuclei.yaml")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value ...")] = None,
    fold: Annotated[str, typer.Option(help="a number, several (0,2) or all")] = "all",
    out: Annotated[Path | None, typer.Option(help="default: reuse/<name>/<date and time>")] = None,
) -> None:
    """Train two networks, or take trained ones, and combine what they predict.

    Where the binary network sees background there is none of the classes that the other one sees.
    Weights, label pictures and measures of both and of the combination go into one folder; a
    command that was stopped resumes in its folder.
    """
    settings = read_two_stage(config, overrides)
    folder = out or _dated(Path("reuse") / settings.name, settings)
    check_claim(folder, MARKS, [config])
    _check(settings, folder, fold)
    with claimed(folder, MARKS):
        dump(settings, folder / SETTINGS)
        places = {stage: _trained(settings, stage, folder, fold) for stage in settings.stages}
        made = _predicted(settings, places, fold) if settings.predict else {}
        found = {name: _measured(one) for name, one in made.items()}
        for name, one in made.items():
            _draw(one, folder / "pictures" / name)
        plain = {name: as_plain(values) for name, values in found.items()}
        write_json(folder / RESULTS, {"fold": fold, "pooled": plain})
    for name, one in made.items():
        print(f"{name}:\n{pooled_text({'all': found[name]}, one.data.classes)}\n")
    if found:
        print(_summary(found))
    print(f"{folder}: {', '.join(made) or 'networks'} of fold {fold}")


def _dated(parent: Path, settings: TwoStage) -> Path:
    """Return the folder of the last run with these settings that did not end, or a new name."""
    for path in sorted(parent.glob(f"*/{SETTINGS}"), reverse=True):
        same = validate(TwoStage, read_with(path), str(path)) == settings
        if same and not (path.parent / RESULTS).exists():
            return path.parent
    return parent / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")


def _check(settings: TwoStage, folder: Path, fold: str) -> None:
    """Refuse before any training what could only fail after it."""
    folds = {}
    for stage in settings.stages:
        if run := getattr(settings, stage).run:
            opened = [runs.open_fold(place) for place in runs.fold_folders(run, fold)]
            for one in opened:
                check_finished(one.folder, one.config.train)
            folds[stage] = opened[0].folds
            continue
        config = settings.experiment(stage, folder)
        data = experiment.source(config)
        check_fit(config.loss, data.mode, len(data.classes), f"{stage}: loss")
        table = experiment.rows(config, data)
        chosen = experiment.chosen_folds(table, fold)
        folds[stage] = experiment.fold_hash(config, table)
        log.info(
            "%s: network %s, loss %s, optimiser %s, learning rate %g, %s; folds %s on %s",
            *(stage, config.model.name, config.loss.name, config.optim.name, config.optim.lr),
            *(config.data.folder, ", ".join(map(str, chosen)), experiment.device()),
        )
    if settings.combine and len({*folds.values()}) > 1:
        raise ValueError(
            "the two networks hold out different images, so their predictions cannot be combined; "
            "give both the same data, data.folds and data.fold_seed, or combine=false"
        )


def _trained(settings: TwoStage, stage: Stage, folder: Path, fold: str) -> Path:
    """Return the run folder of a stage, whose networks are trained now where they are not yet."""
    network = getattr(settings, stage)
    if network.run:
        log.info("%s: taken from %s", stage, network.run)
        return network.run
    config = settings.experiment(stage, folder)
    data = experiment.source(config)
    chosen = experiment.chosen_folds(experiment.rows(config, data), fold)
    for count, one in enumerate(chosen, 1):
        log.info("%s: training fold %d, %d of %d", stage, one, count, len(chosen))
        train_fold(config, one, data)
    return config.runs / config.name


def _predicted(settings: TwoStage, places: Mapping[Stage, Path], fold: str) -> dict[str, OutOfFold]:
    """Return the predictions of every stage and, as `reuse`, of their combination."""
    made: dict[str, OutOfFold] = {}
    for stage, run in places.items():
        predict(run, fold)
        made[stage] = runs.predictions(run, fold)
    if settings.combine and len(made) > 1:
        made["reuse"] = oof.with_background(made["multiclass"], made["binary"])
    return made


def _measured(member: OutOfFold) -> dict[str, float]:
    data, counts = member.data, oof.count_pictures(member)["all"]
    return measures(counts, data.classes, data.mode, data.background)


def _draw(member: OutOfFold, folder: Path) -> None:
    """Write a label picture of every image; the folder is replaced as a whole."""
    data = member.data
    with replacing_folder(folder, ["*.png"]) as made:
        for name in progress(member.scans, desc=f"pictures of {folder.name}", unit="image"):
            whole, _ = member.load(name, data.scan(name).shape)
            numbers = decided(whole, data.mode).argmax(axis=0)[0]  # (H, W)
            write_label_map(made / f"{name}.png", numbers, len(data.classes))


def _summary(found: Mapping[str, Mapping[str, float]]) -> str:
    rows = [[name, *(number(one[key]) for key in METRIC_COLUMNS)] for name, one in found.items()]
    return markdown(["prediction", *METRIC_COLUMNS.values()], rows)
