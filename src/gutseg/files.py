"""Where the raw data lies, and how files and folders are written: whole, and over nothing else.

`replacing` takes the place of a regular file, `replacing_folder` of what this program wrote; a
folder that a command fills step by step is held by `claims.claimed`.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from gutseg.constants import COMPETITION

SUBMISSION = "submission.csv"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def competition_folder(start: Path) -> Path:
    """Return the folder that holds train.csv or sample_submission.csv, at or below start."""
    # the last two are where Kaggle mounts a competition
    candidates = [start, start / COMPETITION, start / "competitions" / COMPETITION]
    for folder in candidates:
        if any((folder / name).is_file() for name in ("train.csv", "sample_submission.csv")):
            return folder
    raise FileNotFoundError(
        f"no train.csv or sample_submission.csv in {', '.join(map(str, candidates))}; "
        f"download the data (kaggle competitions download -c {COMPETITION}), unzip it and "
        "give its folder, or write a synthetic one: gutseg phantom data/phantom"
    )


def need_file(path: Path, remedy: str) -> Path:
    """Return path when it is a regular file; otherwise raise FileNotFoundError with the remedy."""
    if path.is_file():
        return path
    if path.is_dir():
        raise FileNotFoundError(f"{path} is a folder, expected a file; {remedy}")
    if path.exists():
        raise FileNotFoundError(f"{path} is a device or a pipe, expected a file; {remedy}")
    if path.is_symlink():
        raise FileNotFoundError(f"{path} is a link to {path.readlink()}, which is gone; {remedy}")
    raise FileNotFoundError(f"{path} does not exist; {remedy}")


def read_text(path: Path, remedy: str, largest: int = 2**24) -> str:
    """Read a text file; one that is not UTF-8 or beyond `largest` bytes raises ValueError."""
    size = need_file(path, remedy).stat().st_size
    if size > largest:
        raise ValueError(f"{path} has {size} bytes, at most {largest} were expected; {remedy}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); {remedy}") from None


def check_output(path: Path, inputs: Iterable[Path] = (), begins: bytes = b"") -> Path:
    """Return the file that an output at path replaces, links followed; call it before the work.

    inputs: files and folders that the same command reads. begins: how a file of this kind
    starts. Raises FileExistsError for a folder, a device, an input and another kind of file.
    """
    target = Path(os.path.realpath(path))
    parts = Path(os.path.abspath(path)).parts  # noqa: PTH100, resolve() would follow the link
    # /dev/stdout is no place for a file even when it leads to one
    is_device = parts[1:2] in (("dev",), ("proc",)) and parts[1:3] != ("dev", "shm")
    if is_device or (path.exists() and not path.is_file() and not path.is_dir()):
        raise FileExistsError(f"{path} is a device or a pipe; expected the name of a file")
    if target.is_dir():
        raise FileExistsError(f"{path} is a folder; expected the name of a file to write")
    check_place(path, target, inputs)
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"{path} is write-protected; give another name")
    if begins and target.is_file():
        with target.open("rb") as stream:
            found = stream.read(len(begins))
        if found and found != begins:
            raise FileExistsError(
                f"{path} exists and begins with {found!r}, expected {begins!r}: it is not an "
                "earlier output of this command; give another name or delete it first"
            )
    return target


def check_output_folder(
    path: Path, written: Sequence[str], *, marker: str = "", inputs: Iterable[Path] = ()
) -> Path:
    """Return the folder that an output at path replaces, links followed; call it before the work.

    written: patterns of the files that this program puts there (bundle/*). marker: one of them
    that a finished folder always has. Raises FileExistsError when the folder holds anything else,
    is, holds or lies in an input, or has the working directory inside.
    """
    home = Path(os.path.realpath(os.path.expanduser("~")))  # noqa: PTH111, "~" where there is none
    target = Path(os.path.realpath(path))
    if any(target in (place, *place.parents) for place in (Path.cwd(), home)):
        raise FileExistsError(
            f"{path} is the working directory, your home or a folder above them, and its content "
            "would be replaced; give the name of a folder for this output alone"
        )
    check_folder(path, inputs)
    files = sorted(_leaves(target))
    foreign = [name for name in files if not any(fnmatch(name, form) for form in written)]
    if foreign := foreign or (files if marker and marker not in files else []):
        raise FileExistsError(
            f"{path} holds {foreign[0]}, which this command did not write, and would be replaced; "
            "give another folder or delete this one first"
        )
    return target


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write a file under; it takes the place of path once the block has succeeded.

    A kill or a full disk leaves the old file or none. A link at path stays and its target is
    replaced; the mode of an old file is kept. Raises as `check_output` does, and OSError naming
    path when the disk is full.
    """
    target = check_output(path)
    with _temporary(path, target) as temporary:
        yield temporary
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())  # a rename alone may survive a power cut without content
        temporary.replace(target)


@contextmanager
def replacing_folder(path: Path, written: Sequence[str], *, marker: str = "") -> Iterator[Path]:
    """Yield the name of a folder to make; it takes the place of path once the block has succeeded.

    written, marker: as for `check_output_folder`. The old folder stands until the new one is
    complete; after a kill at the worst moment the next call for the same path puts that in place.
    """
    target = check_output_folder(path, written, marker=marker)
    with _temporary(path, target) as temporary:
        yield temporary
        check_output_folder(path, written, marker=marker)
        if target.exists():
            target.rename(temporary.with_name(f"{target.name}.old"))
        temporary.rename(target)


def check_place(path: Path, target: Path, inputs: Iterable[Path]) -> None:
    """Raise when no folder can hold target, or when it is, holds or lies in one of the inputs."""
    for link in (path, *path.parents):
        # what a broken link names may lie anywhere, so no folder is made on the way to it
        if link.is_symlink() and not Path(os.path.realpath(link)).parent.exists():
            raise FileExistsError(
                f"{path} cannot be written: {link} is a link to {link.readlink()}, whose folder "
                "does not exist; delete the link or make that folder"
            )
    standing = next(folder for folder in target.parents if folder.exists())
    if not standing.is_dir():
        raise FileExistsError(f"{path} cannot be written: {standing} is not a folder")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written: {standing} is not writable")
    for given in inputs:
        read = Path(os.path.realpath(given))
        same = target.exists() and read.exists() and target.samefile(read)
        if same or read in target.parents or target in read.parents:
            raise FileExistsError(
                f"{path} cannot be written: this command reads {given}; give another place"
            )


def check_folder(path: Path, inputs: Iterable[Path]) -> Path:
    """Return the folder at path, links followed; raise FileExistsError where there can be none."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{path} is not a folder; give another name or delete it first")
    check_place(path, target, inputs)
    return target


def _leaves(folder: Path) -> Iterator[str]:
    """Every file, link and (with a slash at its end) empty folder below a folder."""
    for base, folders, files in os.walk(folder):
        here = Path(base).relative_to(folder)
        links = [name for name in folders if Path(base, name).is_symlink()]
        yield from (str(here / name) for name in files + links)
        if base != str(folder) and not folders and not files:
            yield f"{here}/"


# numpy.save keeps the number of the system's error to itself.
_NUMPY_FULL = re.compile(r"\d+ requested and \d+ written")
# A private folder next to the target, for what is being written: no other user can have put a
# link there, and a process that holds its lock is alive.
_ROOM = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.tmp", re.DOTALL)
_rooms: set[Path] = set()


@contextmanager
def _temporary(path: Path, target: Path) -> Iterator[Path]:
    name = target.name[:60]  # with what is added, a name may have 255 bytes
    room, handle = None, None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, name)
        room = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=target.parent))
        _rooms.add(room)
        handle = os.open(room, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield room / target.name
    except OSError as error:
        number = error.errno or (errno.ENOSPC if _NUMPY_FULL.fullmatch(str(error)) else None)
        if number not in FULL:
            raise
        why = f"{path} could not be written: {os.strerror(number)}"
        full = OSError(f"{why}; nothing that was there before is lost")
        full.errno = number  # the folder that this file was to be part of is named instead
        raise full from error
    finally:
        if room:
            _clear(room)
            _rooms.discard(room)
        if handle is not None:
            os.close(handle)


def remove_temporaries() -> None:
    """Remove what this process was writing; for an end that runs no `finally`."""
    for room in list(_rooms):
        _clear(room)


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed processes were writing to folder/name, or to any file in folder."""
    for entry in list(os.scandir(folder)):
        found = _ROOM.fullmatch(entry.name)
        if not found or name not in ("", found["name"]):
            continue
        try:
            handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # not ours: a link, or gone since
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(Path(entry.path))
        except OSError:
            continue  # its process is alive
        finally:
            os.close(handle)


def _clear(room: Path) -> None:
    """Delete a room; a folder that was moved aside without its successor in place comes first."""
    for old in room.glob("*.old"):
        target = room.parent / old.name.removesuffix(".old")
        new = room / target.name
        if not os.path.lexists(target):
            (new if new.exists() else old).rename(target)
    shutil.rmtree(room, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write content as indented JSON, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one raises ValueError naming it."""
    try:
        return json.loads(read_text(path, "delete it and rerun"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and rerun") from None
