"""gutseg bench CONFIG key=value... --jobs 2: compare losses and networks at an equal budget."""

import logging
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from gutseg.claims import check_claim, claimed
from gutseg.config import dump, read_with, validate
from gutseg.data.sources import labelled
from gutseg.data.sources.labelled import Labelled
from gutseg.jobs import Jobs, RayAddress, default_jobs
from gutseg.jobs import run as run_tasks
from gutseg.registry import check
from gutseg.study import grid
from gutseg.study.cell import Cell, run
from gutseg.study.report import page
from gutseg.study.report.tables import check_tables
from gutseg.study.sections import Bench, check_data

log = logging.getLogger(__name__)
# What the folder of a comparison holds; nothing is written into another folder.
MARKS = ("cells/*/settings.json",)


@dataclass(frozen=True)
class Work:
    """How a process runs cells; read: makes the data."""

    bench: Bench
    read: Callable[[], Labelled]

    def __call__(self, cell: Cell) -> dict:
        """Run one cell."""
        where = {"node": os.uname().nodename, "process": os.getpid()}
        return run(cell, self.bench, self.read()) | where


def bench(
    config: Annotated[Path, typer.Argument(help="a YAML of configs/bench/")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value ...")] = None,
    jobs: Jobs = 0,
    ray: RayAddress = "",
    out: Annotated[Path | None, typer.Option(help="default: bench/<name>")] = None,
) -> None:
    """Run the cells that have no result yet, then write bench.parquet and README.md."""
    settings = validate(Bench, read_with(config, overrides), str(config))
    check_tables(settings.tables)
    source = settings.dataset
    params = check(labelled.DATASETS, source.name, source.params, where="dataset")
    folder = out or Path("bench") / settings.name
    check_claim(folder, MARKS)
    work = Work(settings, partial(labelled.read, source.name, source.folder, params))
    frame = compare(settings, work, folder, jobs or default_jobs(), ray)
    path = page.write(frame, settings, folder)
    lost = frame[frame["status"] != "ok"]
    print(f"{path}: {len(frame) - len(lost)} of {len(frame)} cells ran to their end")
    if len(lost) == len(frame):
        raise ValueError(
            f"none of {len(frame)} cells ran to its end, {path} lists why; the first: "
            f"{lost['id'].iloc[0]}: {lost['reason'].iloc[0]}"
        )


def compare(settings: Bench, work: Work, folder: Path, jobs: int, ray: str = "") -> pd.DataFrame:
    """Run what is missing, first the grid, then the second network; return a row a cell."""
    work = replace(work, read=cache(work.read)) if jobs == 1 else work
    data = work.read()
    check_data(settings, data)
    store = grid.Store(folder, settings, grid.fingerprint(data))
    wanted = grid.cells(settings)
    with claimed(folder, MARKS):
        for cell in wanted:
            store.finished(cell)  # other settings are refused before config.yaml is replaced
        dump(settings, folder / "config.yaml")
        _run_missing(wanted, work, store, jobs, ray)
        second = grid.second_cells(settings, store.frame(wanted))
        _run_missing(second, work, store, jobs, ray)
        return store.frame(wanted + second)


def _run_missing(wanted: list[Cell], work: Work, store: grid.Store, jobs: int, ray: str) -> None:
    missing = [cell for cell in wanted if not store.finished(cell)]
    if not missing:
        return
    results = run_tasks(
        missing, work, jobs=jobs, ray=ray, failed=_failed, desc="bench", unit="cell"
    )
    with closing(results):
        for cell, result in results:
            store.write(cell, result)
            if result["status"] != "ok":
                log.warning("%s %s: %s", cell.id, result["status"], result["reason"])


def _failed(_: Cell, error: Exception) -> dict:
    return {"status": "failed", "reason": str(error)}
