"""gutseg demo: the whole job on a synthetic competition folder, from raw slices to a score."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from gutseg import blends, experiment, runs
from gutseg.blend import MOST_TRIALS, blend
from gutseg.claims import CLAIM, check_claim
from gutseg.config import Config, dump, load
from gutseg.constants import CLASSES
from gutseg.engine.provenance import provenance
from gutseg.files import write_json
from gutseg.inference import made_with, oof
from gutseg.inference.prior import Prior
from gutseg.kaggle.bundle import build_bundle
from gutseg.kaggle.rehearsal import check
from gutseg.metrics.competition import METRICS, Summary, summarise
from gutseg.phantom import phantom
from gutseg.predict import predict
from gutseg.prepare import prepare
from gutseg.report import report
from gutseg.reporting.figures import Panel, slice_figure
from gutseg.reporting.tables import as_text
from gutseg.score import score_csv
from gutseg.split import split
from gutseg.submit import submit
from gutseg.train import train

METRIC = METRICS["default"]
# Whose kernel the demo builds; nothing is pushed.
KAGGLE_USER = "somebody"


def demo(
    out: Annotated[Path, typer.Option(help="everything is written here")] = Path("demo"),
    config: Annotated[Path, typer.Option(help="the experiment")] = Path("configs/demo.yaml"),
    cases: Annotated[int, typer.Option(help="synthetic patients", min=5)] = 12,
    seed: Annotated[int, typer.Option(help="of the phantom")] = 0,
    trials: Annotated[int, typer.Option(help="as of blend", min=1, max=MOST_TRIALS)] = 100,
) -> None:
    """Run the whole job on a synthetic competition folder; run again, it continues.

    phantom, prepare, split, train five folds, predict, blend, score, submit, and the same for
    a baseline that sees no image; then the kernel is built and checked as Kaggle would run it, and
    last a report on data, training and results is written.
    """
    check_claim(out, ["phantom/phantom.json", f"phantom/{CLAIM}"])
    raw, cache, folds = out / "phantom", out / "cache", out / "folds.csv"
    places = [f"data.folder={cache}", f"data.folds={folds}", f"runs={out / 'runs'}"]
    settings = load(config, places)  # a config that is wrong ends here, before the drawing
    phantom(raw, cases=cases, seed=seed)
    prepare(raw, cache)
    split(cache, folds)
    train(config, places)
    run = settings.runs / settings.name
    predict(run)
    prior = write_prior(settings)
    for source, name in ((run, "network"), (prior, "prior")):
        blend([source], out / name, trials=trials)
    picture(out / "slices.png", run, out / "network" / "blend.yaml")
    submission = out / "submission.csv"
    submit(out / "network" / "blend.yaml", raw / "hidden", submission)
    hidden = score_csv(submission, raw / "hidden_truth.csv", raw / "hidden", METRIC)
    print_results(out, submission, summarise(hidden, METRIC))
    build_bundle(out / "network" / "blend.yaml", out / "kaggle", KAGGLE_USER)
    check(out / "kaggle")
    report([out / "network" / "blend.yaml"], data=cache, out=out / "report" / "report.html")


def write_prior(config: Config) -> Path:
    """Predict every fold with the mean mask of the others, as a run that `blend` can read."""
    data = experiment.source(config)
    table = experiment.rows(config, data)
    run = config.runs / "prior"
    for fold in experiment.chosen_folds(table, "all"):
        folder = experiment.run_folder(config.model_copy(update={"name": "prior"}), fold)
        dump(config, folder / "config.yaml")
        folds = provenance(config.data.folds, experiment.fold_hash(config, table))
        write_json(folder / "meta.json", folds | {"fold": fold})
        opened = runs.open_fold(folder)
        scans = table["scan"][table["fold"] != fold].unique()
        prior = Prior().fit(data.scan(name).labels for name in scans)
        for name, z in opened.planes.items():
            found = prior.predict(data.scan(name).shape)
            oof.save(oof.folder(run, fold) / f"{name}.npz", found[:, z], z)
        made_with.write(oof.folder(run, fold), opened.made_with("none"))
    return run


def picture(path: Path, run: Path, blend_file: Path) -> None:
    """Draw slices of one held-out scan with truth and prediction."""
    predictions = runs.predictions(run)
    scan = predictions.data.scan(predictions.scans[0])
    opened = blends.open_source(blend_file)
    masks = opened.masks(scan.name)[0].to_arrays()
    organs = np.stack([scan.labels >> bit & 1 for bit in range(len(CLASSES))]).astype(bool)
    shown, brightest = np.flatnonzero(organs.any(axis=(0, 2, 3))), scan.percentile(99.5)
    panels = [
        Panel(f"{scan.name}, slice {z + 1}", scan.image[z] / brightest, organs[:, z], masks[:, z])
        for z in np.quantile(shown, [0.1, 0.35, 0.6, 0.85], method="nearest")
    ]
    slice_figure(path, panels)


def print_results(out: Path, submission: Path, hidden: Summary) -> None:
    """Print the tables and where everything lies."""
    network, prior = (
        blends.out_of_fold(out / name / "blend.yaml", METRIC).results
        for name in ("network", "prior")
    )
    gain = summarise(network["all"], METRIC).score - summarise(prior["all"], METRIC).score
    print(
        f"\nPhantom results, out of fold, metric `default`. Network:\n{as_text(network, METRIC)}"
        f"\n\nMean mask per slice position (sees no image):\n{as_text(prior, METRIC)}"
        f"\n\nnetwork - prior: {gain:+.3f} score; pictures: {out / 'slices.png'}"
        f"\n{submission}: score {hidden.score:.3f} on the phantom's hidden test "
        f"(Dice {hidden.dice:.3f}, 1-Hausdorff {1 - hidden.hausdorff:.3f})"
    )
