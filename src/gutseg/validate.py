"""gutseg validate submission.csv --sample sample_submission.csv: what Kaggle would refuse."""

import logging
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from gutseg.data.index import SLICE_COLUMNS, Issues, list_slices
from gutseg.data.submission_issues import read_sample, read_submission, submission_issues
from gutseg.files import competition_folder

log = logging.getLogger(__name__)


def validate(
    submission: Annotated[Path, typer.Argument(help="the csv (- reads standard input)")],
    sample: Annotated[Path, typer.Option(help="Kaggle's sample_submission.csv")],
    images: Annotated[
        Path | None, typer.Option(help="the competition's folder, for each slice's own size")
    ] = None,
    max_faults: Annotated[int, typer.Option(help="lines to print; 0: all", min=0)] = 20,
) -> None:
    """Check columns, ids, classes, duplicates, order and runs; every fault with its row.

    Ends with status 0 for a valid file and 2 for any other. Without --images, runs are held
    against the competition's largest slice.
    """
    issues = Issues(collect=True)
    asked = read_sample(sample)
    rows = read_submission(submission, issues)
    found = submission_issues(submission, rows, asked, _slices(images), issues)
    shown = found[: max_faults or None]
    for where, problem in shown:
        print(f"{where}: {problem}")
    if len(found) > len(shown):
        print(f"... and {len(found) - len(shown)} more (--max-faults 0 prints all)")
    if asked.empty:
        log.warning("%s is only a header (Kaggle's public view): any rows, any order", sample)
    if found:
        count = "1 fault" if len(found) == 1 else f"{len(found)} faults"
        problem = f"{submission} has {count} in {len(rows)} rows against {sample}, listed above"
        raise ValueError(f"{problem}; mend what wrote it, or write it with gutseg submit")
    filled = int((rows["predicted"] != "").sum())
    print(f"{submission}: valid, {len(rows)} rows, {filled} not empty")


def _slices(images: Path | None) -> pd.DataFrame:
    """List the slices of test/ and train/; what is wrong with the images is not the csv's fault."""
    if images is None:
        return pd.DataFrame(columns=SLICE_COLUMNS)
    root, unread = competition_folder(images), Issues(collect=True)
    return pd.concat([list_slices(root / part, unread) for part in ("test", "train")])
