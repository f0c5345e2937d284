"""Fresh processes for work beside this one, which end when it does."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any

from gutseg.files import remove_temporaries


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
