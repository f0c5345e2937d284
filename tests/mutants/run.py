"""Runs the tests on mutants, each in a fork of a process that has torch loaded."""

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.generate import Mutant

LIBRARIES = """torch torchvision timm segmentation_models_pytorch albumentations cv2 numba
pandas pyarrow.parquet scipy.ndimage scipy.spatial scipy.stats sklearn.model_selection optuna
monai.losses monai.metrics matplotlib.pyplot hypothesis.strategies pydantic typer yaml tqdm"""
# fast tests that an unchanged file must pass before its first mutant
UNCHANGED = 50
# what these decorate runs in the first test that needs it, not in all that depend on it
ONCE = {"intrinsic", "cache"}
CLOCKS = signal.SIGALRM, signal.SIGPROF


def load_libraries() -> None:
    """Import what every test imports, one thread each: a fork must not copy a pool's locks."""
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    os.environ.update(NO_ALBUMENTATIONS_UPDATE="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    for name in LIBRARIES.split():
        importlib.import_module(name)
    from hypothesis import Phase, settings

    # the same examples every time, and no time spent on the smallest one
    phases = [Phase.explicit, Phase.generate]
    settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutants")
    # half of a short test run was collecting this garbage
    gc.freeze()


@dataclass(frozen=True)
class Tests:
    """What a group of tests runs: processor seconds and functions (`file:name`) by test."""

    paths: list[str]
    seconds: dict[str, float]
    functions: dict[str, list[str]]

    def of(self, mutant: Mutant) -> list[str]:
        """The tests that run the mutant's function, fast ones first; all when none is known."""
        place = f"{mutant.file}:{mutant.function}"
        once = mutant.decorators & ONCE
        running = [t for t, found in self.functions.items() if place in found and not once]
        order = sorted(running or self.seconds, key=self.seconds.__getitem__)
        return order if mutant.nodes else order[:UNCHANGED]


class _Recorder:
    """Notes which functions of gutseg each test runs."""

    def __init__(self, source: Path) -> None:
        self.source = f"{source}{os.sep}"
        self.seconds: dict[str, float] = {}
        self.functions: dict[str, list[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        seen, start = set(), time.process_time()

        def note(frame: Any, event: str, _: Any) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(self.source):
                seen.add(frame.f_code)

        sys.setprofile(note)
        threading.setprofile(note)
        result = yield
        sys.setprofile(None)
        threading.setprofile(None)
        self.seconds[item.nodeid] = time.process_time() - start
        self.functions[item.nodeid] = sorted({self._place(code) for code in seen})
        return result

    def _place(self, code: Any) -> str:
        file = code.co_filename.removeprefix(self.source)
        return f"{file}:{code.co_qualname.split('.<locals>')[0]}"


class _Chosen:
    """Keeps the chosen tests, fast ones first, and those nobody has seen before."""

    def __init__(self, tests: Tests, chosen: Iterable[str]) -> None:
        self.known, self.order = tests.seconds, {test: n for n, test in enumerate(chosen)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [i for i in items if i.nodeid in self.order or i.nodeid not in self.known]
        items.sort(key=lambda item: self.order.get(item.nodeid, -1))


class _Finder:
    """Imports one module from another file."""

    def __init__(self, module: str, path: Path) -> None:
        self.module, self.path = module, path

    def find_spec(self, name: str, path: Any = None, target: object = None) -> Any:
        if name != self.module:
            return None
        # the other modules of a package stay where they are
        here = [f"{path[0]}/{name.split('.')[-1]}"] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name, self.path, submodule_search_locations=here
        )


def record(root: Path, paths: list[str], out: Path) -> Tests:
    """Run the tests once, unchanged; raises ValueError when they fail."""
    if not out.exists():
        recorder = _Recorder(root / "src" / "gutseg")
        with tempfile.TemporaryDirectory() as folder:
            pid = _fork(partial(_record, recorder, paths, folder, out), out.with_suffix(".log"))
            _, status = os.waitpid(pid, 0)
        if status:
            raise ValueError(f"the tests fail without any mutant: see {out.with_suffix('.log')}")
    return Tests(paths, **json.loads(out.read_text()))


def _record(recorder: _Recorder, paths: list[str], folder: str, out: Path) -> int:
    failed = _pytest(paths, folder, recorder)
    if not failed:
        found = {"seconds": recorder.seconds, "functions": recorder.functions}
        out.write_text(json.dumps(found))
    return failed


def _pytest(paths: list[str], folder: str, plugin: object) -> int:
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "--basetemp", f"{folder}/tests"]
    return int(pytest.main([*paths, *quiet], plugins=[plugin]))


def run_all(
    work: list[tuple[Mutant, Tests]], jobs: int, logs: Path
) -> Iterator[tuple[Mutant, str, float]]:
    """Yield (mutant, "killed", "timeout" or "survived", seconds) as they end."""
    running, todo = {}, list(work)[::-1]
    try:
        while todo or running:
            while todo and len(running) < jobs:
                mutant, tests = todo.pop()
                folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
                job = partial(_attempt, mutant, tests, folder.name)
                running[_fork(job, logs / f"{mutant.key}.log")] = mutant, folder, time.monotonic()
            pid, status = os.wait()
            _end_group(pid)
            mutant, folder, start = running.pop(pid)
            folder.cleanup()
            late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in CLOCKS
            state = "survived" if status == 0 else "timeout" if late else "killed"
            yield mutant, state, time.monotonic() - start
    finally:
        for pid in running:
            _end_group(pid)


def _end_group(pid: int) -> None:
    """End what a fork has started, and the fork itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _attempt(mutant: Mutant, tests: Tests, folder: str) -> int:
    import numba

    chosen = tests.of(mutant)
    # processor seconds; compiling a file of kernels takes ten, and a deadlock none
    limit = 30 + 3 * sum(tests.seconds[test] for test in chosen)
    signal.setitimer(signal.ITIMER_PROF, limit)
    signal.alarm(int(10 * limit))
    size = 16 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    path = Path(folder) / Path(mutant.file).name
    path.write_text(mutant.code)
    if mutant.file == "masks/intrinsics.py":
        # every kernel is made of these and the cache on disk does not know
        numba.config.CACHE_DIR = folder
    module = "gutseg." + mutant.file.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, _Finder(module.removesuffix(".__init__"), path))
    files = sorted({test.split("::")[0] for test in chosen})
    return _pytest(files, folder, _Chosen(tests, chosen))


def _fork(work: Any, log: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    status = 3
    try:
        status = work()
    finally:
        os._exit(status)
