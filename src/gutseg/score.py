"""gutseg score SOURCE [--truth TRUTH.csv --slices SLICES]: scores of predictions."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from gutseg import clinical
from gutseg.clinical import by_number
from gutseg.data.folds import read_folds
from gutseg.data.index import scan_key
from gutseg.data.tables import is_csv
from gutseg.files import check_output, write_json
from gutseg.inference.csv_scores import score_csv
from gutseg.metrics.clinical import OneEmpty
from gutseg.metrics.competition import METRICS, ScanResult
from gutseg.registry import as_is, listed, require
from gutseg.reporting.tables import as_plain, as_text, group_by, pooled_text, score_text, scores
from gutseg.settings import EarlierDay, Missing

if TYPE_CHECKING:
    from gutseg.inference.oof import Scored

TABLES = ("class", "case", "scan", "fold", "visit")
# what a score of networks with channels of an earlier day is a score of
SEEN = {
    "given": "later days were predicted with the image and the contours of an earlier day of the "
    "patient, which a clinic knows; first days without",
    "withheld": "no earlier day was given: every patient was predicted as a new one",
}


def score(
    source: Annotated[
        Path, typer.Argument(help="a csv (- is standard input), a run, a blend.yaml, NIfTI files")
    ],
    truth: Annotated[Path | None, typer.Option(help="labels of a csv, or of NIfTI files")] = None,
    slices: Annotated[
        Path | None, typer.Option(help="id, width, height: a csv, cache or competition's folder")
    ] = None,
    metric: Annotated[str, typer.Option(help="a row of METRICS, or clinical")] = "default",
    json: Annotated[Path | None, typer.Option(help="write the numbers here")] = None,
    by: Annotated[
        str, typer.Option(help="tables to print, of class,case,scan,fold,visit")
    ] = "class",
    folds: Annotated[Path | None, typer.Option(help="fold file, for --by fold of a csv")] = None,
    missing: Annotated[Missing, typer.Option(help="rows or scans that are not there")] = "refuse",
    fold: Annotated[str, typer.Option(help="of a run: a number, several (0,2) or all")] = "all",
    background: Annotated[
        Path | None, typer.Option(help="a run whose background is laid over the predictions")
    ] = None,
    tolerance: Annotated[float | None, typer.Option(help=clinical.TOLERANCE_HELP)] = None,
    one_empty: Annotated[OneEmpty | None, typer.Option(help=clinical.ONE_EMPTY_HELP)] = None,
) -> None:
    """Score a submission, or the out-of-fold probabilities of a run or a blend.

    Of volumes the competition score is computed; of a run or a blend, on any data, also Dice,
    IoU, precision, recall and pixel accuracy over all pixels. `--metric clinical`: mm and ml.
    """
    metric = _metric(metric, truth)
    how = clinical.how(metric, tolerance, one_empty)
    if json:
        read = [path for path in (source, truth, slices, folds) if path and path.is_file()]
        check_output(json, read, begins=b'{\n  "score"')
    wanted, pooled, prior = _tables(by), {}, None
    if truth and truth.is_dir() and (unknown := set(wanted) & {"case", "fold", "visit"}):
        raise ValueError(f"--by {unknown.pop()}: NIfTI files have no cases; choices: class, scan")
    of_csv = _check_options(source, truth, slices, folds, fold, background)
    fold_of = _fold_of_cases(folds) if of_csv and "fold" in wanted else {}
    if how:
        organs = clinical.measure(source, truth, slices, how, missing, fold, background)
        if folds and "fold" in wanted:
            held = _fold_of_scans([one.scan for one in organs.results], fold_of, folds)
            organs = replace(organs, folds=held)
        clinical.show(organs, wanted, how, json)
        return
    if truth and slices:
        results = score_csv(source, truth, slices, METRICS[metric], missing)
        by_fold = _by_fold(results, fold_of, folds) if folds and "fold" in wanted else {}
    else:
        from gutseg import blends  # torch takes seconds to import, a csv does not need it

        scored = blends.out_of_fold(source, METRICS[metric], fold, missing, background)
        pooled, prior = scored.pooled, scored.prior
        if not scored.results:
            _score_pictures(source, metric, scored, wanted, json)
            return
        _print_pooled({"all": pooled["all"]}, scored.classes)
        by_fold, results = scored.results, scored.results.pop("all")
    _show(source, results, by_fold, wanted, metric, pooled, json, prior)


def _show(
    source: Path,
    results: list[ScanResult],
    by_fold: dict[str, list[ScanResult]],
    wanted: list[str],
    metric: str,
    pooled: dict[str, dict[str, float]],
    json: Path | None,
    prior: EarlierDay | None,
) -> None:
    """Print the tables of a score and write it; raises ValueError when no slice shows an organ.

    prior: of networks that take an earlier day, whose score is also told by visit.
    """
    if prior and "visit" not in wanted:
        wanted = [*wanted, "visit"]
    if not any(np.isfinite(part).any() for one in results for part in (one.dice, one.hausdorff)):
        raise ValueError(f"{source}: nothing to score, no slice shows an organ in truth or masks")
    for kind in wanted:
        groups = by_fold if kind == "fold" else group_by(results, kind)
        print(as_text(groups | {"all": results}, METRICS[metric]))
    visits = group_by(results, "visit") if "visit" in wanted else None
    found = scores(results, metric, METRICS[metric], by_fold, visits)
    found |= {"pooled": as_plain(pooled["all"])} if pooled else {}
    if json:
        write_json(json, found)
    if prior:
        print(f"prior_day: {SEEN[prior]}")
    print(f"{score_text(found)} ({metric}: {METRICS[metric].source})")


def _metric(metric: str, truth: Path | None) -> str:
    """Return the metric; of folders of NIfTI files it is the clinical one."""
    require(metric, [*METRICS, clinical.METRIC], "--metric")
    if not (truth and truth.is_dir()):
        return metric
    if metric not in ("default", clinical.METRIC):
        raise ValueError(f"--metric {metric} is of slices; {truth} is a folder: leave it out")
    return clinical.METRIC


def _tables(by: str) -> list[str]:
    """Return the tables that --by names; raises ValueError for others and for one named twice."""
    wanted = by.split(",")
    for kind in wanted:
        require(kind, TABLES, f"--by {as_is(by)}")
        if wanted.count(kind) > 1:
            raise ValueError(f"--by {by}: {kind} is listed twice")
    return wanted


def _print_pooled(pooled: dict[str, dict[str, float]], classes: Sequence[str]) -> None:
    print(f"all pixels pooled:\n{pooled_text(pooled, classes)}")
    print(f"pixel accuracy {pooled['all']['accuracy']:.4f}\n")


def _score_pictures(
    source: Path, metric: str, scored: "Scored", wanted: list[str], json: Path | None
) -> None:
    """Finish the scoring of images that stand alone: there is no competition score."""
    if metric != "default":
        problem = f"{source} holds no volumes, so it has no competition score"
        raise ValueError(f"--metric {metric}: {problem}; leave --metric out")
    if unknown := set(wanted) - {"class", "fold"}:
        raise ValueError(f"--by {unknown.pop()}: {source} holds no volumes; choices: class, fold")
    found = scored.pooled["all"]
    for kind in wanted:
        _print_pooled(scored.pooled if kind == "fold" else {"all": found}, scored.classes)
    if json:
        write_json(json, {"score": None, "pooled": as_plain(found)})
    print(f"Dice {found['dice_fg']:.4f}, IoU {found['iou_fg']:.4f} (means over objects)")


def _is_csv(source: Path) -> bool:
    """Tell a csv from a run folder and a blend; raises ValueError for anything else."""
    if is_csv(source):
        return True
    if source.is_dir() or source.suffix.lower() in (".yaml", ".yml"):
        return False
    problem = "is not something to score" if source.exists() else "does not exist"
    choices = "a submission (.csv, .csv.gz, - for standard input), a run folder or a blend.yaml"
    raise ValueError(f"{source} {problem}: expected {choices}")


def _check_options(
    source: Path,
    truth: Path | None,
    slices: Path | None,
    folds: Path | None,
    fold: str,
    background: Path | None,
) -> bool:
    """Say whether a csv is scored; raises ValueError for options that are not for what is."""
    if not _is_csv(source):
        if truth and truth.is_dir():
            if slices or folds or background or fold != "all":
                problem = "--slices, --folds, --fold and --background are for other sources"
                raise ValueError(f"{problem}; {truth} is a folder of NIfTI files")
            return False
        if truth or slices or folds:
            raise ValueError(f"--truth, --slices, --folds are for a csv, {source} brings its own")
        return False
    if truth is None or slices is None:
        raise ValueError("a csv is scored against --truth TRUTH.csv and --slices SLICES")
    if fold != "all":
        raise ValueError(f"--fold is for a run or a blend, {source} is scored whole")
    if background:
        raise ValueError(f"--background is for a run or a blend, {source} holds masks")
    return True


def _fold_of_cases(path: Path | None) -> dict[int, int]:
    if path is None:
        raise ValueError("--by fold of a csv needs --folds FOLDS.csv")
    table = read_folds(path)
    if "case" not in table:
        raise ValueError(f"{path} divides slices, not cases; score the run folder instead")
    return dict(zip(table["case"], table["fold"], strict=True))


def _by_fold(
    results: list[ScanResult], fold_of: dict[int, int], path: Path
) -> dict[str, list[ScanResult]]:
    held = _fold_of_scans([result.scan for result in results], fold_of, path)
    groups: dict[str, list[ScanResult]] = {
        name: [] for name in sorted(set(held.values()), key=by_number)
    }
    for result in results:
        groups[held[result.scan]].append(result)
    return groups


def _fold_of_scans(scans: list[str], fold_of: dict[int, int], path: Path) -> dict[str, str]:
    """Return `fold 0` ... for every scan; raises ValueError when the file lacks a case."""
    cases = {scan: scan_key(scan)[0] for scan in scans}
    if absent := sorted(set(cases.values()) - set(fold_of)):
        names = listed((f"case{case}" for case in absent), len(absent))
        raise ValueError(f"{path} assigns no fold to {names}; give the file they were divided by")
    return {scan: f"fold {fold_of[case]}" for scan, case in cases.items()}
