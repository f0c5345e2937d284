"""gutseg bench STUDY key=value... --jobs 2: train a grid of configs at an equal budget."""

import logging
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from gutseg import experiment
from gutseg.claims import check_claim, claimed
from gutseg.config import dump
from gutseg.jobs import Jobs, RayAddress, run
from gutseg.study.cell import Cell
from gutseg.study.grid import Study, read_study
from gutseg.study.report import page
from gutseg.study.report.tables import check_tables
from gutseg.study.store import MARKS, Store
from gutseg.study.work import Work, failed, fingerprint_of, forget, opened

log = logging.getLogger(__name__)


def bench(
    config: Annotated[Path, typer.Argument(help="a YAML of configs/bench/")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value ...")] = None,
    jobs: Jobs = 0,
    ray: RayAddress = "",
    out: Annotated[Path | None, typer.Option(help="default: bench/<name>")] = None,
) -> None:
    """Run the cells that have no result yet, then write bench.parquet and README.md."""
    study = read_study(config, overrides)
    check_tables(study.tables)
    folder = out or Path("bench") / study.name
    check_claim(folder, MARKS)
    frame = compare(study, folder, jobs, ray)
    path = page.write(frame, study, folder)
    lost = frame[frame["status"] != "ok"]
    print(f"{path}: {len(frame) - len(lost)} of {len(frame)} cells ran to their end")
    if len(lost) == len(frame):
        raise ValueError(
            f"none of {len(frame)} cells ran to its end, {path} lists why; the first: "
            f"{lost['id'].iloc[0]}: {lost['reason'].iloc[0]}"
        )


def compare(study: Study, folder: Path, jobs: int = 0, ray: str = "") -> pd.DataFrame:
    """Run what is missing, first the grid, then what `best_with` adds; return a row a cell."""
    forget()
    store = Store(folder, study.score)
    config = study.first_config
    folds = sorted(experiment.rows(config, opened(config))["fold"].unique().tolist())
    cells = study.cells(folds, folder / "cells")
    for cell in study.with_binary(cells):
        # other settings are refused before a file is replaced
        store.check(cell, fingerprint_of(cell, study))
    with claimed(folder, MARKS):
        dump(study, folder / "config.yaml")
        _run(cells, study, store, jobs, ray)
        second = study.second_cells(cells, store.frame(cells))
        for cell in study.with_binary(second):
            store.check(cell, fingerprint_of(cell, study))
        _run(second, study, store, jobs, ray)
        return store.frame(cells + second)


def _run(cells: list[Cell], study: Study, store: Store, jobs: int, ray: str) -> None:
    """Run the cells without a result, those of `background_from` first."""
    binary = study.with_binary(cells)[len(cells) :]
    results: dict[str, dict[str, Any] | None] = {}
    for part in (binary, cells):
        work = Work(study, results)
        missing = [cell for cell in part if not work.is_done(cell, store.result(cell))]
        for cell in missing:
            data = fingerprint_of(cell, study)
            store.check(cell, data)
            store.begin(cell, data)
        done = run(missing, work, jobs=jobs, ray=ray, failed=failed, desc="bench", unit="cell")
        with closing(done):
            for cell, result in done:
                store.write(cell, result)
                if result["status"] != "ok":
                    log.warning("%s %s: %s", cell.id, result["status"], result["reason"])
        results = {cell.id: store.result(cell) for cell in part}
