"""Other programs that are run: unshare, kaggle and the kernel itself, under watch."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVERY = 0.1  # seconds from look to look


@dataclass(frozen=True)
class Watched:
    """How a watched command ended."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    # the most that it and its children held at once; 0 where the system does not say
    peak_bytes: int
    # whether it was killed for it
    too_much: bool


def run_command(command: list[str], **settings: Any) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", **settings)


def run_watched(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], limit_bytes: int
) -> Watched:
    """Run a command; it is killed with its children when they hold more than limit_bytes."""
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=out, stderr=err, start_new_session=True
        )
        try:
            while process.poll() is None and peak <= limit_bytes:
                peak = max(peak, sum(map(_held, _family(process.pid))))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(EVERY)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        seconds = time.perf_counter() - start
        for stream in (out, err):
            stream.seek(0)
        stdout, stderr = (stream.read().decode(errors="replace") for stream in (out, err))
    return Watched(process.returncode, stdout, stderr, seconds, peak, peak > limit_bytes)


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1].strip()


def _family(pid: int) -> Iterator[int]:
    """A process and all below it, as far as they are still there."""
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in path.read_text().split():
                yield from _family(int(child))


def _held(pid: int) -> int:
    """Bytes of a process that count against a container's limit: not the pages of files."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        kinds = ("RssAnon:", "RssShmem:")
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(kinds))
    return 0
