"""gutseg submit BLEND --images FOLDER --out submission.csv: predict, post-process, encode."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import cv2
import pandas as pd
import typer

from gutseg import runs
from gutseg.constants import CLASSES
from gutseg.data.index import Issues
from gutseg.data.submission import wanted_rows, write_submission
from gutseg.data.volume import read_file, read_scan
from gutseg.files import SUBMISSION, check_output, competition_folder
from gutseg.inference.ensemble import Ensemble
from gutseg.masks.rle_writing import encode_scan
from gutseg.progress import progress

log = logging.getLogger(__name__)

# How the prediction of one scan can end because of its images or the memory they ask for
# (torch reports that as RuntimeError). A TypeError or a NameError is a bug and stays loud.
FAILURES = (ValueError, OSError, ArithmeticError, LookupError, RuntimeError, MemoryError, cv2.error)


def submit(
    blend: Annotated[Path, typer.Argument(help="a blend.yaml")],
    images: Annotated[Path, typer.Option(help="the competition's folder, or Kaggle's input")],
    out: Annotated[Path, typer.Option(help="the file to write")] = Path(SUBMISSION),
    debug_scans: Annotated[int, typer.Option(help="train scans, where no test is", min=1)] = 3,
    skip_bad: Annotated[bool, typer.Option(help="empty masks where something fails")] = False,
) -> None:
    """Write submission.csv in the sample's row order, scan by scan.

    Kaggle shows a header-only sample and no test images until it scores; then some labelled
    train scans are predicted instead, in the order of train.csv.
    """
    root = competition_folder(images)
    read = [root / name for name in ("train.csv", "sample_submission.csv", "train", "test")]
    check_output(out, [blend, *read], begins=b"id,class,predicted")
    issues = Issues(collect=skip_bad)
    rows, slices = wanted_rows(root, debug_scans, issues)
    ensemble = runs.ensemble(blend)
    masks: dict[tuple[str, str], str] = {}
    with ThreadPoolExecutor() as pool:
        for _, scan in progress(slices.groupby("scan", sort=False), desc="submit", unit="scan"):
            masks |= _texts(scan, root, ensemble, issues, pool)
    for line in issues.summary():
        log.warning("%s", line)
    write_submission(out, rows, masks)
    skipped = f", {len(issues.rows)} issues skipped: their masks are empty" if issues.rows else ""
    print(f"{out}: {len(rows)} rows, {sum(map(bool, masks.values()))} not empty{skipped}")


def _texts(
    slices: pd.DataFrame, root: Path, ensemble: Ensemble, issues: Issues, pool: ThreadPoolExecutor
) -> dict[tuple[str, str], str]:
    """Return the run-length text of every wanted (id, class) of one scan.

    A scan that cannot be predicted gives an issue and no text.
    """
    try:
        scan, readable = read_scan(slices, lambda file: read_file(root / file), issues, pool.map)
        wanted = readable[readable["wanted"]].sort_values("z")
        if wanted.empty:
            return {}
        texts = encode_scan(ensemble(scan, wanted["z"].to_numpy()))
    except FAILURES as error:
        if not issues.collect and isinstance(error, (ValueError, OSError)):
            raise  # such an error says what is wrong
        reason = (str(error).splitlines() or ["no reason given"])[0]
        name = slices["scan"].iloc[0]
        issues.add(name, f"cannot be predicted ({type(error).__name__}: {reason})")
        return {}
    classes = len(CLASSES)
    return {
        (slice_id, organ): text
        for slice_id, z in zip(wanted["id"], wanted["z"], strict=True)
        for organ, text in zip(CLASSES, texts[z * classes : (z + 1) * classes], strict=True)
    }
