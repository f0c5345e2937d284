"""Work dealt out to devices: what comes next is read while they compute."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

import torch

from gutseg import gpu
from gutseg.jobs import num_cores

log = logging.getLogger(__name__)

# threads of a GPU: one prepares a batch while the other's is computed
PER_GPU = 2
# threads of the processor, each holds a scan and its probabilities: some 0.6 GB
MOST_CORES = 8

Unit = TypeVar("Unit")
Worker = TypeVar("Worker")
Result = TypeVar("Result")


def devices(gpus: int | None) -> list[torch.device]:
    """Return so many GPUs, None for all; the processor where torch can compute on none."""
    if problem := gpu.unsupported():
        log.warning("%s; the CPU computes", problem)
        return [torch.device("cpu")]
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus is not None and gpus > there:
        raise ValueError(f"--gpus {gpus}: this machine has {there}; leave it out to use all")
    count = there if gpus is None else gpus
    return [torch.device("cuda", number) for number in range(count)] or [torch.device("cpu")]


@contextmanager
def threads_of(devices: Sequence[torch.device]) -> Iterator[int]:
    """Yield how many threads work on each device; on the processor each has one core of its own.

    What a thread computes there does not depend on their number: oneDNN's last bit does depend
    on how many cores share a convolution, and several small convolutions side by side are faster
    than one that several cores share.
    """
    if devices[0].type != "cpu":
        yield PER_GPU
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(num_cores(), MOST_CORES)
    finally:
        torch.set_num_threads(before)


def deal(
    units: Iterable[Unit], work: Callable[[Worker, Unit], Result], workers: Sequence[Worker]
) -> Iterator[Result]:
    """Yield work(worker, unit) of every unit in order; each worker does one unit at a time.

    Units are taken from `units` in this thread while the workers are busy, at most two for each
    that are not done: memory does not grow with their number.
    """
    free: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def one(unit: Unit) -> Result:
        worker = free.get()
        try:
            return work(worker, unit)
        finally:
            free.put(worker)

    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(len(workers))
    try:
        for unit in units:
            waiting.append(pool.submit(one, unit))
            del unit  # its arrays are let go as soon as the worker is done
            if len(waiting) == 2 * len(workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # after an error nothing more begins
        pool.shutdown(wait=False, cancel_futures=True)
