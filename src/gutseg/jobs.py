"""Independent tasks, run side by side in processes of this machine or on a Ray cluster."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import typer

from gutseg.files import remove_temporaries
from gutseg.progress import progress

log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")
# The options of the verbs that run tasks.
Jobs = Annotated[int, typer.Option(help="at a time; 0: one per GPU, else one per core", min=0)]
RayAddress = Annotated[
    str, typer.Option(help="address of a Ray cluster that sees the same folders, or auto")
]
Gpus = Annotated[
    int | None, typer.Option(help="GPUs to use, 0: the processor; default: all there are", min=0)
]
KILLED = "its process was killed, perhaps for want of memory (then fewer --jobs help)"


def run(
    tasks: Sequence[Task],
    work: Callable[[Task], Result],
    *,
    jobs: int = 0,
    gpus: int | None = None,
    ray: str = "",
    failed: Callable[[Task, Exception], Result] | None = None,
    desc: str,
    unit: str,
) -> Generator[tuple[Task, Result], None, None]:
    """Yield every task with work(task), in the order in which they end, under a progress bar.

    jobs: processes at a time, 0 for one per GPU or else per core; one job runs in this process.
    gpus: how many GPUs the processes share, None for all; of each a process sees one.
    ray: the address of a cluster to use instead. An error of a task is raised, and tasks that have
    not begun are dropped; with `failed` its result is failed(task, error) instead. Tasks whose
    process is killed are tried once more, each alone, before they fail with a ChildProcessError.
    """
    jobs = min(at_once(jobs, gpus), len(tasks))
    attempt = Attempt(work, failed)
    results: Iterable[tuple[Task, Result]]
    if ray:
        results = _on_ray(tasks, attempt, ray)
    elif jobs > 1:
        results = _in_processes(tasks, attempt, jobs, unit, gpu_names(gpus))
    else:
        results = ((task, attempt(task)) for task in tasks)
    is_quiet = len(tasks) < 2 or os.environ.get("RANK", "0") != "0"
    with progress(total=len(tasks), desc=desc, unit=unit, disable=is_quiet) as bar:
        for task, result in results:
            bar.update()
            yield task, result


def at_once(jobs: int, gpus: int | None = None, ray: str = "") -> int:
    """Return how many tasks run at a time: as many as asked for, and on every GPU at least one.

    Of a Ray cluster as many as it has GPUs, or else cores.
    """
    if ray:
        if gpus is not None:
            raise ValueError("--gpus is for this machine; a Ray cluster gives every part its own")
        resources = _cluster(ray).cluster_resources()
        return int(resources.get("GPU") or resources.get("CPU") or 1)
    asked = len(gpu_names(gpus)) if gpus is not None else 0
    return max(jobs or (num_cores() if gpus == 0 else asked or default_jobs()), asked)


def gpu_names(wanted: int | None) -> list[str]:
    """Return what CUDA calls so many GPUs, None for all; raises ValueError where there are fewer.

    They are numbers, or what CUDA_VISIBLE_DEVICES lists.
    """
    count = num_gpus()
    if wanted is not None and wanted > count:
        raise ValueError(f"--gpus {wanted}: this machine has {count}; leave it out to use all")
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = given.split(",") if given else [str(gpu) for gpu in range(count)]
    return names[: count if wanted is None else wanted]


def default_jobs() -> int:
    """Return one job per GPU, or per core where there is none."""
    # a small U-Net gains little from a second core; two of them side by side gain all of it
    return num_gpus() or num_cores()


def num_gpus() -> int:
    """Return how many GPUs this process sees, 0 where nothing has imported torch."""
    torch = sys.modules.get("torch")  # a command that does not need it does not wait for it
    return torch.cuda.device_count() if torch else 0


def num_cores() -> int:
    """Return how many cores this process may use; a container often has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Attempt(Generic[Task, Result]):
    """What a process does with a task."""

    work: Callable[[Task], Result]
    # makes the result of a task that has failed; None: its error is raised
    failed: Callable[[Task, Exception], Result] | None

    def __call__(self, task: Task) -> Result:
        try:
            return self.work(task)
        except Exception as error:
            return self.fail(task, error)

    def fail(self, task: Task, error: Exception) -> Result:
        if self.failed is None:
            raise error
        return self.failed(task, error)


def _in_processes(
    tasks: Sequence[Task],
    attempt: Attempt[Task, Result],
    jobs: int,
    unit: str,
    gpus: Sequence[str],
) -> Iterator[tuple[Task, Result]]:
    """Yield tasks with their results; those of a pool that broke run again, each alone."""
    threads = max(num_cores() // jobs, 1)
    left = dict(enumerate(tasks))
    with workers(jobs, _settle, threads, gpus, attempt) as pool:
        running = {pool.submit(attempt, task): number for number, task in left.items()}
        for future in as_completed(running):
            number = running[future]
            try:
                result = future.result()
            except BrokenProcessPool:
                log.warning("a process was killed; what is left is run one %s at a time", unit)
                break
            except Exception:
                kind = f"{unit} {left[number]}"
                log.error("%s failed; what is already running continues to its end", kind)
                raise
            yield left.pop(number), result
    for task in left.values():
        with workers(1, _settle, threads, gpus, attempt) as pool:
            try:
                result = pool.submit(attempt, task).result()
            except BrokenProcessPool:
                result = attempt.fail(task, ChildProcessError(f"{unit} {task}: {KILLED}"))
        yield task, result


class Workers(ProcessPoolExecutor):
    """Fresh processes that leave a pressed Ctrl-C to their parent, which stops them."""

    def submit(self, *work: Any, **arguments: Any) -> Future:
        """Submit a call; a process that is started for it inherits that SIGINT is blocked.

        A press meanwhile is delivered afterwards. An ignored SIGINT would be lost.
        """
        _start_tracker()  # it would lift the block
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future = super().submit(*work, **arguments)
            # the pool's thread was told before the process was there, and would not see it die
            with self._shutdown_lock:
                self._executor_manager_thread_wakeup.wakeup()
            return future
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def workers(number: int, prepare: Callable[..., None], *arguments: Any) -> Iterator[Workers]:
    """Yield an executor of fresh processes, each made ready by prepare(*arguments).

    Where the block fails, calls that have not begun are dropped.
    """
    _start_tracker()
    # forking a process that has threads (OpenCV, numba, torch) can hang
    spawn = multiprocessing.get_context("spawn")
    with Workers(number, spawn, _begin, (prepare, *arguments)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_tracker() -> None:
    """Start Python's remover of semaphores; it reports those of a stopped command to nobody."""
    options = list(sys.warnoptions)
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")  # handed to the new process
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions[:] = options


def _begin(prepare: Callable[..., None], *arguments: Any) -> None:
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare(*arguments)


def _end(*_: object) -> None:
    remove_temporaries()
    os._exit(128 + signal.SIGTERM)


def _end_with_parent() -> None:
    """A killed parent must not leave children behind that write into the same folders."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)


def _settle(threads: int, gpus: Sequence[str], _: Callable) -> None:
    """Prepare a process of this machine: its share of the cores, one of the GPUs."""
    # the work comes along so that whatever it imports is loaded by now
    _share_cores(threads)
    if gpus:  # CUDA has not been started in this process
        number = multiprocessing.current_process()._identity[-1] - 1  # among its parent's, from 1
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]


def _share_cores(threads: int) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name, setter in (("torch", "set_num_threads"), ("cv2", "setNumThreads")):
        if module := sys.modules.get(name):
            getattr(module, setter)(threads)


def _on_ray(
    tasks: Sequence[Task], attempt: Attempt[Task, Result], address: str
) -> Iterator[tuple[Task, Result]]:
    """Yield tasks with their results as they end on a Ray cluster, one core or GPU a task."""
    # its workers run at niceness 15, which hardly progresses next to other work on a node
    # (RAY_worker_niceness=0 to change)
    ray = _cluster(address)
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    remote: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(_on_node)
    running = {remote.remote(attempt, task, Path.cwd()): task for task in tasks}
    while running:
        (reference,), _ = ray.wait(list(running), num_returns=1)
        task = running.pop(reference)
        try:
            result = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:  # the node or its process is gone
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            result = attempt.fail(task, ChildProcessError(f"{task}: {reason}"))
        yield task, result


def _cluster(address: str) -> Any:
    """Return the module ray, connected to a cluster."""
    try:
        import ray
    except ImportError:
        raise ValueError("--ray needs Ray: pip install 'gutseg[ray]'") from None
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    return ray


def _on_node(attempt: Attempt[Task, Result], task: Task, folder: Path) -> Result:
    if not folder.is_dir():
        raise FileNotFoundError(f"{os.uname().nodename} has no {folder}; all nodes must share it")
    os.chdir(folder)
    _share_cores(1)
    return attempt(task)
