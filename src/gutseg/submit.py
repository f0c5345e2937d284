"""gutseg submit BLEND --images FOLDER --out submission.csv: predict, post-process, encode."""

import logging
from functools import cache
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from gutseg import runs
from gutseg.config import load
from gutseg.data.index import Issues
from gutseg.data.prior_day import TrainingDays
from gutseg.data.sources.competition import left_out
from gutseg.data.submission import wanted_rows, write_submission
from gutseg.data.volume import read_file
from gutseg.files import SUBMISSION, check_output, competition_folder, need_file
from gutseg.held_out import SCORE, Unseen, score_public
from gutseg.inference import dealing
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.scan_texts import scan_texts
from gutseg.jobs import Gpus

log = logging.getLogger(__name__)


def submit(
    blend: Annotated[Path, typer.Argument(help="a blend.yaml")],
    images: Annotated[Path, typer.Option(help="the competition's folder, or Kaggle's input")],
    out: Annotated[Path, typer.Option(help="the file to write")] = Path(SUBMISSION),
    prior: Annotated[
        Path | None, typer.Option(help="whose train/ has earlier days; default: --images")
    ] = None,
    debug_scans: Annotated[int, typer.Option(help="train scans, where no test is", min=1)] = 3,
    skip_bad: Annotated[bool, typer.Option(help="empty masks where something fails")] = False,
    gpus: Gpus = None,
) -> None:
    """Write submission.csv in the sample's row order, scan by scan.

    Kaggle shows a header-only sample and no test images until it scores; then some labelled
    train scans are predicted instead, in the order of train.csv, by the folds that held out their
    case; score.json beside the csv says how well. Networks of prior_day see what train/ and
    train.csv know of earlier days of a patient.
    """
    root = competition_folder(images)
    read = [root / name for name in ("train.csv", "sample_submission.csv", "train", "test")]
    check_output(out, [blend, *read], begins=b"id,class,predicted")
    issues = Issues(collect=skip_bad)
    opened = cache(Unseen.of_blend)  # in the public session alone
    rows, slices = wanted_rows(root, debug_scans, issues, lambda scan: opened(blend).knows(scan))
    unseen = opened(blend) if "segmentation" in rows else None
    if unseen:
        check_output(out.with_name(SCORE), [blend, *read], begins=b'{\n  "score"')
    devices = dealing.devices(gpus)
    with dealing.threads_of(devices) as threads:
        workers = [runs.ensemble(blend, device) for device in devices] * threads
        known = _earlier_days(blend, workers[0], prior, root, slices, issues)
        fill = devices[0].type != "cpu"
        masks = scan_texts(
            slices,
            lambda file: read_file(root / file),
            workers,
            issues,
            fill=fill,
            choose=unseen.choose if unseen else None,
            prepare=known.with_prior if known else None,
        )
    for line in issues.summary():
        log.warning("%s", line)
    write_submission(out, rows, masks)
    skipped = f", {len(issues.rows)} issues skipped: their masks are empty" if issues.rows else ""
    print(f"{out}: {len(rows)} rows, {sum(map(bool, masks.values()))} not empty{skipped}")
    if unseen:
        try:
            score_public(out, root / "train.csv", slices, unseen)
        except (ValueError, OSError) as error:
            if not skip_bad:
                raise
            log.warning("%s is complete but cannot be scored: %s", out, error)


def _earlier_days(
    blend: Path,
    networks: Ensemble,
    prior: Path | None,
    root: Path,
    slices: pd.DataFrame,
    issues: Issues,
) -> TrainingDays | None:
    """Open the labelled days that networks of prior_day see; None where none of them does."""
    used = [*networks.predictors, *networks.background, *networks.gate]
    seeing = [one for one in used if one.inputs.prior]
    if not seeing:
        if prior:
            raise ValueError(f"--prior {prior}: no network of {blend} has prior_day; leave it out")
        return None
    home = competition_folder(prior) if prior else root
    if not prior and not (home / "train.csv").is_file():
        log.warning(
            "%s has no train.csv, so that all patients are new to the networks, which see earlier "
            "days where there are any; give --prior FOLDER",
            home,
        )
        return None
    need_file(home / "train.csv", "give --prior the competition's folder")
    configs = [load(Path(one.name) / "config.yaml") for one in seeing]
    blacklists = [left_out(config.data.params["blacklist"]) for config in configs]
    if any(one != blacklists[0] for one in blacklists):
        log.warning(
            "%s: its networks were trained with different blacklists; none of them sees an earlier "
            "day that one of them left out, though some were shown it out of fold",
            blend,
        )
    return TrainingDays(home, slices["scan"].unique(), issues, set().union(*blacklists))
