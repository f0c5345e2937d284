"""What can happen to any file: gone, empty, something else in its place, cut, flipped bits.

A mutator takes a file's bytes and a random generator and returns other bytes; a disaster takes
the path and leaves something else there. Which verdict each has for a kind of file stands in
`kinds.py`:

fail    the input is wrong: status 2 and a sentence
same    harmless, or the verb has a remedy: either status 2, or status 0 and the very files and
        words that the untouched world gives
remade  as `same`, but the words may differ: the verb says that it made something again
either  still valid, with another meaning: status 0 or 2, and never half of an output
"""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

Mutator = Callable[[bytes, Random], bytes]
Disaster = Callable[[Path, Random], None]


def cut(data: bytes, rng: Random) -> bytes:
    """Keep the beginning: a download or a copy that stopped."""
    keep = rng.choice([1, 8, 30, len(data) // 2, len(data) - 8, len(data) - 1])
    return data[: min(max(keep, 1), len(data) - 1)]


def flip(data: bytes, rng: Random) -> bytes:
    """Turn one bit of one to eight bytes over: a bad disk."""
    found = bytearray(data)
    for place in rng.sample(range(len(data)), min(rng.choice([1, 1, 8]), len(data))):
        found[place] ^= 1 << rng.randrange(8)
    return bytes(found)


def insert(data: bytes, rng: Random) -> bytes:
    """Put a few random bytes somewhere."""
    place = rng.randrange(len(data))
    return data[:place] + rng.randbytes(rng.choice([1, 7, 64])) + data[place:]


def append(data: bytes, rng: Random) -> bytes:
    """Put garbage behind the end."""
    return data + rng.randbytes(rng.choice([1, 100])).replace(b"\0", b"x")


def garbage(data: bytes, rng: Random) -> bytes:
    """Replace everything by random bytes."""
    return b"\xff" + rng.randbytes(rng.choice([3, 60, len(data)]))


def zeros(data: bytes, rng: Random) -> bytes:
    """Replace everything by zeros: what a crashed file system leaves."""
    return bytes(len(data))


def empty(data: bytes, rng: Random) -> bytes:
    """Leave a file of no bytes."""
    return b""


def prose(data: bytes, rng: Random) -> bytes:
    """Replace it by the page that a download without a login gives."""
    return b"<!DOCTYPE html>\n<html><body>Please log in: you, <b>too</b></body></html>\n"


def zipped(data: bytes, rng: Random) -> bytes:
    """Compress it, name unchanged."""
    import gzip

    return gzip.compress(data, mtime=0)


CONTENT: dict[str, Mutator] = {
    function.__name__: function
    for function in (cut, flip, insert, append, garbage, zeros, empty, prose, zipped)
}


def remove(path: Path, rng: Random) -> None:
    """Delete it."""
    path.unlink()


def folder(path: Path, rng: Random) -> None:
    """Put a folder in its place, with something in it or not."""
    path.unlink()
    path.mkdir()
    if rng.random() < 0.5:
        (path / "keep.txt").write_text("somebody's\n")


def broken_link(path: Path, rng: Random) -> None:
    """Put a link to nowhere in its place."""
    path.unlink()
    path.symlink_to(rng.choice(["nowhere", "nowhere/at/all", path.name]))


def pipe(path: Path, rng: Random) -> None:
    """Put a named pipe in its place: whoever opens it waits for ever."""
    path.unlink()
    os.mkfifo(path)


def device(path: Path, rng: Random) -> None:
    """Put a link to a device in its place: one without content, or without end."""
    path.unlink()
    path.symlink_to(rng.choice(["/dev/null", "/dev/zero"]))


def linked(path: Path, rng: Random) -> None:
    """Move it elsewhere and leave a link, which is followed in both directions."""
    other = path.with_name(f"moved-{path.name}.bin")
    path.rename(other)
    path.symlink_to(other.name)


OTHERS = [
    *("folds.csv", "tiny.yaml", "encoder.pth", "cache/index.parquet", "phantom/phantom.json"),
    *("cache/case1_day0/mask.npy", "pictures/images/0.png", "encoder.safetensors"),
]


def other_kind(path: Path, rng: Random) -> None:
    """Replace it by a valid file of another kind."""
    other = rng.choice([kind for kind in OTHERS if Path(kind).suffix != path.suffix])
    replace(path, Path(other).read_bytes())


DISASTERS: dict[str, Disaster] = {
    function.__name__: function
    for function in (remove, folder, broken_link, pipe, device, linked, other_kind)
}


def replace(path: Path, data: bytes) -> None:
    """Write a new file in the place of path, which may be a hard link to the untouched world."""
    path.unlink()
    path.write_bytes(data)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    import zlib

    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
