"""Scores of what is attached to a notebook: submissions of labelled scans, out-of-fold runs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from gutseg.config import Rule
from gutseg.constants import CLASSES
from gutseg.data.index import Issues, Slices, list_slices
from gutseg.data.mask_csv import MaskCsv
from gutseg.files import competition_folder, write_json
from gutseg.inference import oof
from gutseg.inference.csv_scores import compare_csvs
from gutseg.inference.postprocess import finish_scan
from gutseg.kaggle.session import folders_of
from gutseg.metrics.competition import METRICS, ScanResult, compare
from gutseg.registry import listed
from gutseg.reporting.tables import as_text, group_by, scores

log = logging.getLogger(__name__)

HEADER = b"id,class,predicted"
METRIC = "default"


def score_attached(inputs: Path, out: Path) -> None:
    """Print a table of every submission and run below inputs, and write their scores to out."""
    root, metric = competition_folder(inputs), METRICS[METRIC]
    listing = list_slices(root / "train", Issues(collect=True))
    found = {}
    for source, results in _results(inputs, root / "train.csv", listing):
        if not results:
            log.warning("%s: none of its scans is labelled in %s", source, root)
            continue
        name = source.relative_to(inputs).as_posix()
        found[name] = scores(results, METRIC, metric)
        print(f"\n{name}\n{as_text(group_by(results, 'case') | {'all': results}, metric)}")
    if not found:
        kinds = f"a csv that begins with {HEADER.decode()}, or a folder with fold<k>/oof/*.npz"
        raise ValueError(f"nothing to score below {inputs}; attach {kinds}")
    write_json(out, found)
    for name, values in found.items():
        print(f"score {values['score']:.4f} {name} ({METRIC}: {metric.source})")


def _results(
    inputs: Path, truth: Path, listing: pd.DataFrame
) -> Iterator[tuple[Path, list[ScanResult]]]:
    for folder in folders_of(inputs):
        for path in sorted(folder.glob("*.csv")):
            with path.open("rb") as stream:
                is_submission = stream.read(len(HEADER)) == HEADER
            if is_submission:
                yield path, _of_csv(path, truth, listing)
        if files := sorted(folder.glob("fold*/oof/*.npz")):
            yield folder, _of_run(files, truth, listing)


def _of_csv(path: Path, truth: Path, listing: pd.DataFrame) -> list[ScanResult]:
    """Compare a submission with the labels of the scans that it names."""
    ids = pd.read_csv(path, usecols=["id"], dtype=str, keep_default_na=False)["id"]
    known = listing[listing["scan"].isin(ids.str.rpartition("_slice_")[0].unique())]
    if known.empty:
        return []
    slices = Slices(known, truth)
    results, issues = compare_csvs(MaskCsv(path, slices), MaskCsv(truth, slices), METRICS[METRIC])
    for issue in issues[:5]:
        log.warning("%s; taken for empty", issue.message)
    return results


def _of_run(files: list[Path], truth: Path, listing: pd.DataFrame) -> list[ScanResult]:
    """Compare out-of-fold probabilities, cut at 0.5, with the labels of their scans."""
    path_of = {path.stem: path for path in files}
    known = listing[listing["scan"].isin(path_of)]
    if known.empty:
        return []
    if absent := sorted(path_of.keys() - set(known["scan"])):
        log.warning("not labelled, so not scored: %s", listed(absent, len(absent)))
    slices = Slices(known, truth)
    theirs = MaskCsv(truth, slices)
    results = []
    for scan, rows in enumerate(theirs.rows_by_scan(theirs.key >= 0)):
        name, (classes, depth, *size) = slices.names[scan], slices.shapes[scan]
        found = oof.load(path_of[name], classes, np.arange(depth), (size[0], size[1]))
        masks = finish_scan(found, [Rule()] * len(CLASSES))
        results.append(compare(name, masks, theirs.masks(scan, rows), METRICS[METRIC]))
    return results
