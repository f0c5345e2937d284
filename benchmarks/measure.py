"""How the benches measure: candidates in turn in one process, medians, peak memory, Markdown."""

import argparse
import ctypes
import gc
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

# a peer that needs longer than this for one call is stopped and counts as slower
LIMIT_SECONDS = 20.0
_WARM = 0.05


@dataclass
class Timing:
    """One candidate in one case; seconds is infinite when it was stopped."""

    seconds: float = math.inf
    value: Any = None
    runs: list[float] = field(default_factory=list)


def in_turn(
    candidates: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    budget: float = 3.0,
    before: Callable[[], None] | None = None,
) -> dict[str, Timing]:
    """Time candidates in turn, so that all see the same load; medians in seconds.

    Hot: calls that are not timed come right before each timed one, _WARM seconds of them, so that
    caches and allocator are the candidate's own. Cold, with `before`: that is called before every
    run instead. rounds: at most; a candidate stops early once its runs took `budget` seconds.
    """
    timings = {name: Timing() for name in candidates}
    for turn in range(rounds + 1):
        for name, call in candidates.items():
            timing = timings[name]
            if sum(timing.runs) > budget:
                continue
            if before is not None:
                before()
            elif turn:
                for _ in range(min(10, int(_WARM / timing.runs[-1]))):
                    call()
            start = time.perf_counter()
            timing.value = call()
            seconds = time.perf_counter() - start
            if turn == 1:
                # the first call of all may have compiled; a slow one counts, or it costs twice
                timing.runs = [run for run in timing.runs if run > budget]
            timing.runs.append(seconds)
    for timing in timings.values():
        timing.seconds = median(timing.runs)
    return timings


def _serve(pipe: Any) -> None:
    """Answer each prepare() with None once it has made the call, and with the call's seconds."""
    while True:
        prepare, arguments = pipe.recv()
        call = prepare(*arguments)
        pipe.send(None)
        start = time.perf_counter()
        call()
        pipe.send(time.perf_counter() - start)


class Probe:
    """Runs one call in another process and kills it at the limit."""

    def __init__(self) -> None:
        self._worker = None

    def __call__(self, prepare: Callable[..., Callable[[], Any]], *arguments: Any) -> float:
        """Seconds of the call that prepare(*arguments) makes; infinite beyond LIMIT_SECONDS.

        prepare: a function of a module, for it is imported anew in the other process.
        """
        if self._worker is None:
            # spawned, not forked: a fork after OpenMP has run hangs
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            self._worker = context.Process(target=_serve, args=(other,), daemon=True)
            self._worker.start()
        self._pipe.send((prepare, arguments))
        self._pipe.recv()
        if self._pipe.poll(LIMIT_SECONDS):
            return self._pipe.recv()
        self.close()
        return math.inf

    def close(self) -> None:
        """Stop the worker."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.join()
            self._worker = None


def peak_megabytes(call: Callable[[], Any]) -> float:
    """Growth of the peak resident memory during one call; NaN where Linux's /proc is absent.

    The call runs in a new thread, so buffers that a thread keeps between calls count. To be
    called after all timing: it makes every buffer of 64 KiB a mapping of its own.
    """
    refs = Path("/proc/self/clear_refs")
    if not refs.exists():
        return math.nan
    gc.collect()
    library = ctypes.CDLL(None)
    # M_MMAP_THRESHOLD: what was freed before must not hide what is allocated now
    library.mallopt(-3, 65536)
    library.malloc_trim(0)
    refs.write_text("5")
    before = _status("VmRSS")
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return max(0.0, (_status("VmHWM") - before) / 1024)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of positive numbers."""
    return math.exp(sum(map(math.log, logged := list(values))) / len(logged))


def table(header: list[str], rows: Iterable[list[Any]]) -> str:
    """A Markdown table; numbers with three significant digits."""
    lines = [header, ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return f">{LIMIT_SECONDS * 1e3:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def machine() -> str:
    """One line about where the numbers were taken."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, one thread each"


def main(run: Callable[[bool], str]) -> None:
    """Parse --quick and --out FILE, run one bench, print and write its Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    text = run(arguments.quick)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)
