"""Cells side by side: in processes of this machine, or on a Ray cluster."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from gutseg.data.sources.labelled import Labelled
from gutseg.engine.processes import settle
from gutseg.jobs import Workers, workers
from gutseg.study.cell import Cell, run
from gutseg.study.sections import Bench

log = logging.getLogger(__name__)

# A cell whose process was killed this often is given up.
ATTEMPTS = 2


@dataclass(frozen=True)
class Work:
    """How a process runs cells; read: makes the data, once a process."""

    bench: Bench
    read: Callable[[], Labelled]

    def __call__(self, cell: Cell) -> dict:
        """Run one cell."""
        return run(cell, self.bench, self.read())


Results = Iterator[tuple[Cell, dict]]


def default_jobs() -> int:
    """One cell a core, or one on a GPU."""
    return 1 if torch.cuda.is_available() else os.cpu_count() or 1


def on_this_machine(cells: Sequence[Cell], work: Work, jobs: int) -> Results:
    """Yield cells with their results as they end; one job runs in this process.

    Where a process is killed (memory), the cells that ran are tried once more, one at a time.
    """
    if jobs == 1:
        yield from ((cell, work(cell)) for cell in cells)
        return
    left = {cell.id: cell for cell in cells}
    for cell, result in _in_processes(list(cells), work, jobs):
        del left[cell.id]
        yield cell, result
    for cell in left.values():  # of a pool that broke
        yield cell, _alone(cell, work)


def _in_processes(cells: list[Cell], work: Work, jobs: int) -> Results:
    with _pool(work, min(jobs, len(cells)), 1) as pool:
        running = {pool.submit(_in_child, cell): cell for cell in cells}
        for future in as_completed(running):
            try:
                result = future.result()
            except BrokenProcessPool:
                log.warning("a process was killed; the rest is run one cell at a time")
                return
            yield running[future], result


def _alone(cell: Cell, work: Work) -> dict:
    """Run a cell in a process of its own; one that is killed again has failed."""
    threads = 1 if not torch.cuda.is_available() else os.cpu_count() or 1
    with _pool(work, 1, threads) as pool:
        try:
            return pool.submit(_in_child, cell).result()
        except BrokenProcessPool:
            return {"status": "failed", "reason": "its process was killed; out of memory?"}


def _pool(work: Work, jobs: int, threads: int) -> AbstractContextManager[Workers]:
    return workers(jobs, _settle, work, threads)


_work: Work | None = None


def _settle(work: Work, threads: int) -> None:
    """Prepare a process for one cell after the other."""
    global _work
    _work = replace(work, read=cache(work.read))
    settle(threads)


def _in_child(cell: Cell) -> dict:
    return _work(cell)


def on_ray(cells: Sequence[Cell], work: Work, address: str) -> Results:
    """Yield cells with their results as they end on a Ray cluster, one core or GPU a cell.

    The data is read here and shared through the cluster's object store. Ray's workers run at
    niceness 15: beside other work on a node they hardly move (RAY_worker_niceness=0 to change).
    """
    ray = _ray()
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=ATTEMPTS - 1)(_on_node)
    data = ray.put(work.read())
    running = {remote.remote(cell, work.bench, data): cell for cell in cells}
    while running:
        done, _ = ray.wait(list(running), num_returns=1)
        for reference in done:
            cell = running.pop(reference)
            yield cell, _fetched(ray, reference)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise ValueError("--ray needs Ray: pip install 'gutseg[ray]'") from None
    return ray


def _fetched(ray: Any, reference: Any) -> dict:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return {"status": "failed", "reason": reason}


def _on_node(cell: Cell, bench: Bench, data: Labelled) -> dict:
    """Run a cell on a node; plain values come back, so the file system need not be shared."""
    torch.set_num_threads(1)
    return run(cell, bench, data) | {"node": os.uname().nodename, "process": os.getpid()}
