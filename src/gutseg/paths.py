"""Where the raw data lies, and how files are written so that none is ever half there."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gutseg.constants import COMPETITION

KAGGLE_INPUT = Path("/kaggle/input")
SUBMISSION = "submission.csv"


def competition_folder(start: Path) -> Path:
    """Return the folder that holds train.csv or sample_submission.csv, at or below start.

    Kaggle mounts a competition at <start>/<slug> or at <start>/competitions/<slug>; both
    forms, and the folder itself, are tried. Raises FileNotFoundError naming all of them.
    """
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
    """Return path when it is a file; otherwise raise FileNotFoundError with the remedy."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; {remedy}")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside path and rename it to path once the block has succeeded.

    A kill or a full disk leaves the old file or none. The temporary is removed on an error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if path.is_dir():  # rename does not replace a folder that holds files
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write content as indented JSON, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one raises ValueError naming it."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and rerun") from None
