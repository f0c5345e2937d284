"""Folders that a command fills step by step: one process at a time, and nobody else's folder."""

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gutseg.paths import check_place, sweep

# In every claimed folder: its lock while a process fills it, and its mark afterwards.
CLAIM = ".gutseg"
_claims: set[str] = set()


@contextmanager
def claimed(folder: Path, marks: Sequence[str], inputs: Iterable[Path] = ()) -> Iterator[None]:
    """Hold a folder that a command fills: a second process is refused, leftovers are removed.

    marks: patterns of which a folder of this kind, if it is not empty, has one. The lock is the
    system's, on the file .gutseg: it ends with the process, however that ends. Raises
    FileExistsError for a foreign folder and for one that another process fills.
    """
    check_claim(folder, marks, inputs)
    folder.mkdir(parents=True, exist_ok=True)
    key = os.path.realpath(folder)
    if key in _claims:
        raise FileExistsError(f"{folder} is being written by this process already")
    handle = os.open(folder / CLAIM, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    _claims.add(key)
    try:
        _lock(handle, folder)
        sweep(folder)
        yield
    finally:
        _claims.discard(key)
        os.close(handle)


def check_claim(folder: Path, marks: Sequence[str], inputs: Iterable[Path] = ()) -> None:
    """Raise FileExistsError when `claimed` would; call it before the work starts."""
    target = Path(os.path.realpath(folder))
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{folder} is not a folder; give another name or delete it first")
    check_place(folder, target, inputs)
    content = [] if not target.exists() else sorted(target.iterdir())
    shown = [entry.name for entry in content if not entry.name.startswith(".")]
    if shown and not any(any(target.glob(mark)) for mark in (CLAIM, *marks)):
        raise FileExistsError(
            f"{folder} holds {shown[0]} and nothing that this command wrote; expected a new or "
            f"empty folder, or one with {' or '.join(marks)}: give another"
        )


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # a file system without locks: nobody can be kept out
        holder = os.read(handle, 300).decode(errors="replace").strip()
        raise FileExistsError(
            f"{folder} is being written by another process ({holder}); wait for it or stop it"
        ) from None
    os.ftruncate(handle, 0)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    os.write(handle, f"process {os.getpid()} on {os.uname().nodename} since {since}\n".encode())
