"""The kernel's own process, without the seconds that starting Python and torch takes."""

import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gutseg.kaggle import commands, sandbox
from gutseg.kaggle.commands import Watched


@contextmanager
def instead_of_processes() -> Iterator[None]:
    """Let `kernel check` fork this process where it would start Python anew, in no namespace."""
    real = commands.run_watched, sandbox.allowed, sandbox.make_environment

    def run(command: list[str], *, cwd: Path, env: dict[str, str], limit_bytes: int) -> Watched:
        done = _forked(command[-1], cwd, env)
        return Watched(done.returncode, done.stdout, done.stderr, 0.0, 0, False)

    def make_environment(folder: Path) -> Path:
        (folder / "lib/python3/site-packages").mkdir(parents=True)
        return folder / "bin" / "python"

    commands.run_watched, sandbox.allowed = run, lambda command: False
    sandbox.make_environment = make_environment
    try:
        yield
    finally:
        commands.run_watched, sandbox.allowed, sandbox.make_environment = real


def _forked(script: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    out, err = os.memfd_create("out"), os.memfd_create("err")
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None  # a new process would look at TMPDIR
        code = 1
        try:
            runpy.run_path(script, run_name="__main__")
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
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = []
    for stream in (out, err):
        os.lseek(stream, 0, 0)
        texts.append(os.fdopen(stream).read())
    return subprocess.CompletedProcess([script], status, *texts)
