"""Running one case: a copy of the world, one change, one verb in a child process."""

import gc
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

from gutseg import cli
from tests.fuzz import world
from tests.fuzz.cases import Case
from tests.fuzz.commands import COMMANDS
from tests.fuzz.contract import Command, Outcome, Reference, changes, check, tree
from tests.fuzz.processes import instead_of_processes

LIMIT_SECONDS = 60
LIMIT_MEMORY = 4 << 30  # what a child may allocate; /dev/zero as a csv stops here
LIMIT_FILE = 64 << 20  # what it may write into one file; a copy of /dev/zero stops here


class Runner:
    """Runs cases against one world; a child that dies or hangs is a failure like any other."""

    def __init__(self, folder: Path, limit: float = LIMIT_SECONDS) -> None:
        """folder: empty; the world is built here and every case gets a copy beside it."""
        self.folder = folder
        self.untouched = folder / "world"
        self.limit = limit
        self.reference = cache(self._reference)
        self.untouched.mkdir(parents=True)
        os.chdir(self.untouched)
        _quietly(folder / "built.txt", world.build, self.untouched)
        gc.collect()
        gc.freeze()  # else every child's collector writes to, and so copies, the parent's pages

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_: object) -> None:
        """Give the collector back what was kept from it, or libraries complain at the end."""
        gc.unfreeze()

    def problems(self, case: Case) -> tuple[list[str], Outcome]:
        """Run a case; return what is wrong with it, and all that came of it."""
        touched: list[Path | None] = []
        outcome = self._run(
            case.command, case.words, self.folder / "copy", lambda: touched.append(case.apply())
        )
        reference = partial(self.reference, case.arm.name)
        return check(case.expected(*touched, outcome.root), outcome, reference), outcome

    def _reference(self, name: str) -> Reference:
        command = COMMANDS[name]
        if not command.reads:  # never succeeds here: it would take minutes
            return Reference(None, {}, frozenset())
        places = (self.folder / "reference0", self.folder / "reference1")
        return Reference.of(*(self._run(command, list(command.words), place) for place in places))

    def _run(
        self,
        command: Command,
        words: list[str],
        copy: Path,
        change: Callable[[], None] | None = None,
    ) -> Outcome:
        temporary = self.folder / "tmp"
        for left in (copy, temporary):
            shutil.rmtree(left, ignore_errors=True)
        world.copy(self.untouched, copy)
        temporary.mkdir()
        os.chdir(copy)
        if command.setup:
            command.setup()
        if change:
            change()
        before = tree(copy)
        outcome = self._in_child(words, temporary)
        changed = changes(copy, before)
        left = sorted(path.name for path in temporary.iterdir())
        os.chdir(self.folder)
        return replace(outcome, root=copy, changed=changed, leftovers=left)

    def _in_child(self, words: list[str], temporary: Path) -> Outcome:
        out, err = self.folder / "stdout", self.folder / "stderr"
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _become(words, temporary, out, err)
        status = self._wait(child)
        texts = [path.read_text(errors="replace") for path in (out, err)]
        return Outcome(status, *texts, seconds=time.monotonic() - started)

    def _wait(self, child: int) -> int | None:
        """Return the exit status, minus the signal, or None after the time limit."""
        end = time.monotonic() + self.limit
        while time.monotonic() < end:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None


def _become(words: list[str], temporary: Path, out: Path, err: Path) -> NoReturn:
    """Be a process that somebody started with `gutseg WORDS`; never returns."""
    code = 1
    try:
        os.setsid()
        _redirect(out, err)
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_MEMORY, LIMIT_MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_FILE, LIMIT_FILE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ.update(TMPDIR=str(temporary), HOME=str(temporary.parent / "home"))
        import tempfile

        tempfile.tempdir = str(temporary)
        sys.argv = ["gutseg", *words]
        with instead_of_processes():
            cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(out: Path, err: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    # pytest and progress bars may have put others there
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="replace", closefd=False)


def _quietly(log: Path, function, *arguments) -> None:
    """Call a function with its words written to a file; they are shown when it fails."""
    sys.stdout.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with log.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            function(*arguments)
        finally:
            sys.stdout.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
