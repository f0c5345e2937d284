"""Folders that a command fills step by step: one process at a time, and nobody else's folder."""

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gutseg.files import check_folder, sweep

# In every claimed folder: its lock while a process fills it, and its mark afterwards.
CLAIM = ".gutseg"
_claims: set[str] = set()


@contextmanager
def claimed(folder: Path, marks: Sequence[str], inputs: Iterable[Path] = ()) -> Iterator[None]:
    """Hold a folder that a command fills: a second process is refused, leftovers are removed.

    marks: patterns of which a folder of this kind has one, unless it is empty. The file .gutseg,
    locked until the process ends, stays only where no mark does, as after a kill.
    """
    check_claim(folder, marks, inputs)
    key = os.path.realpath(folder)
    if key in _claims:
        raise FileExistsError(f"{folder} is being written by this process already")
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = _locked(folder)
    _claims.add(key)
    try:
        sweep(folder)
        yield
    finally:
        _claims.discard(key)
        is_empty = {path.name for path in folder.glob("*")} == {CLAIM}
        if is_empty or _is_marked(folder, marks):
            (folder / CLAIM).unlink(missing_ok=True)
        os.close(handle)
        if is_new and is_empty:
            with suppress(OSError):  # somebody needs it already
                folder.rmdir()


def check_claim(folder: Path, marks: Sequence[str], inputs: Iterable[Path] = ()) -> None:
    """Raise FileExistsError when `claimed` would; call it before the work starts."""
    target = check_folder(folder, inputs)
    content = sorted(target.iterdir()) if target.exists() else []
    shown = [entry.name for entry in content if not entry.name.startswith(".")]
    if shown and not _is_marked(target, (CLAIM, *marks)):
        raise FileExistsError(
            f"{folder} holds {shown[0]} and nothing that this command wrote; expected a new or "
            f"empty folder, or one with {' or '.join(marks)}: give another"
        )


def _is_marked(folder: Path, marks: Iterable[str]) -> bool:
    return any(any(folder.glob(mark)) for mark in marks)


def _locked(folder: Path) -> int:
    """Open and lock the folder's lock file; one that its last holder deleted does not count."""
    path = folder / CLAIM
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            _lock(handle, folder)
            if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # a file system without locks: no process can be kept out
        holder = os.read(handle, 300).decode(errors="replace").strip()
        raise FileExistsError(
            f"{folder} is being written by another process ({holder}); wait for it or stop it"
        ) from None
    os.ftruncate(handle, 0)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    os.write(handle, f"process {os.getpid()} on {os.uname().nodename} since {since}\n".encode())
