"""gutseg submit BLEND --images FOLDER --out submission.csv: predict, post-process, encode."""

import logging
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from gutseg import runs
from gutseg.data.index import Issues
from gutseg.data.submission import wanted_rows, write_submission
from gutseg.data.volume import read_file
from gutseg.files import SUBMISSION, check_output, competition_folder
from gutseg.held_out import SCORE, Unseen, score_public
from gutseg.inference import dealing
from gutseg.inference.scan_texts import scan_texts
from gutseg.jobs import Gpus

log = logging.getLogger(__name__)


def submit(
    blend: Annotated[Path, typer.Argument(help="a blend.yaml")],
    images: Annotated[Path, typer.Option(help="the competition's folder, or Kaggle's input")],
    out: Annotated[Path, typer.Option(help="the file to write")] = Path(SUBMISSION),
    debug_scans: Annotated[int, typer.Option(help="train scans, where no test is", min=1)] = 3,
    skip_bad: Annotated[bool, typer.Option(help="empty masks where something fails")] = False,
    gpus: Gpus = None,
) -> None:
    """Write submission.csv in the sample's row order, scan by scan.

    Kaggle shows a header-only sample and no test images until it scores; then some labelled
    train scans are predicted instead, in the order of train.csv, by the folds that held out their
    case; score.json beside the csv says how well.
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
        fill = devices[0].type != "cpu"
        masks = scan_texts(
            slices,
            lambda file: read_file(root / file),
            workers,
            issues,
            fill=fill,
            choose=unseen.choose if unseen else None,
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
