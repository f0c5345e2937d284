"""Work for other processes, one of them kills itself; apart, so that it imports in no time."""

import os
import signal
import time
from pathlib import Path


def die(*_: object) -> None:
    """End as the kernel ends a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def worked_once(mark: str, task: int) -> int:
    """Die on task 2 the first time; mark: a file that says it has happened."""
    if task == 2 and not Path(mark).exists():
        Path(mark).write_text("")
        die()
    return task


def double(task: int) -> int:
    return 2 * task


def process_of(_: int) -> int:
    return os.getpid()


def gpu_of(_: int) -> str | None:
    """What its process sees; slow enough that every process gets a task."""
    time.sleep(0.3)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def fail_on_two(task: int) -> int:
    if task == 2:
        raise ValueError("two is too many")
    return task
