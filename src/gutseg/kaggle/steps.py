"""What a push has done, in push.json of its build: a repeated one goes on after it."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gutseg.files import read_json, write_json
from gutseg.kaggle.metadata import Kind
from gutseg.kaggle.opening import MANIFEST, sha256

STATE = "push.json"


class Steps:
    """Finished steps by name, each with the content that it was done for and its result."""

    def __init__(self, folder: Path) -> None:
        """folder: the build. A push.json that does not read is taken for none."""
        self.path = folder / STATE
        try:
            found = read_json(self.path)
        except (ValueError, OSError):
            found = {}
        rows = found.items() if isinstance(found, dict) else ()
        self.done = {
            name: row
            for name, row in rows
            if isinstance(row, dict) and {"of", "result"} <= set(row)
        }

    def result(self, name: str, of: str) -> Any:
        """Return the result of a step that was done for this content; None where it was not."""
        row = self.done.get(name, {})
        return row["result"] if row.get("of") == of else None

    def record(self, name: str, of: str, result: Any) -> None:
        """Note a finished step."""
        self.done[name] = {"of": of, "result": result}
        write_json(self.path, self.done)

    def forget(self, *names: str) -> None:
        """Have steps done again."""
        self.done = {name: row for name, row in self.done.items() if name not in names}
        write_json(self.path, self.done)


def content_of_bundle(folder: Path) -> str:
    """Return a name for what the dataset of a build holds; its files agree with its manifest."""
    return sha256(folder / "bundle" / MANIFEST)


def content_of_kernel(folder: Path, kind: Kind = "infer") -> str:
    """Return a name for what a build's kernel runs: its files and the bundle that it reads."""
    files = sorted(path for path in (folder / kind).iterdir() if path.is_file())
    sums = [content_of_bundle(folder), *((path.name, sha256(path)) for path in files)]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Keep push.json while a build replaces its folder: what did not change is not pushed again."""
    path = folder / STATE
    before = path.read_bytes() if path.is_file() else b""
    yield
    if before:
        path.write_bytes(before)
