"""What out-of-fold predictions were made with, and what has changed since."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from gutseg.files import read_text, write_json
from gutseg.registry import counted
from gutseg.settings import EarlierDay

NOTE = "made_with.json"


@dataclass(frozen=True)
class MadeWith:
    """Everything that the predictions of a fold depend on: RUN/fold<k>/oof/made_with.json."""

    # sha256 of best.pt; None where no network made them
    weights: str | None
    # a key of looks.LOOKS
    tta: str
    # sha256 of the settings that a prediction depends on
    settings: str
    # sha256 of the fold file
    folds: str
    # scan -> `cache`, the fingerprint of its images and labels, `planes`, those predicted, and
    # `earlier`, the scan of an earlier day that the network was shown and its fingerprint
    scans: dict[str, dict[str, str]]
    # of networks with channels of an earlier day: whether they saw it
    prior: EarlierDay | None = None

    def changes(self, now: "MadeWith") -> list[str]:
        """Name what is different now."""
        words = {
            "weights": "best.pt",
            "tta": "the flips",
            "prior": "--prior",
            "settings": "config.yaml",
            "folds": "the fold file",
        }
        found = [words[key] for key in words if getattr(self, key) != getattr(now, key)]
        every = self.scans.keys() | now.scans.keys()
        if scans := [name for name in every if self.scans.get(name) != now.scans.get(name)]:
            found.append(f"{counted(scans, 'scan')} of the cache")
        return found

    def holds_for(self, scan: str, now: "MadeWith") -> bool:
        """Say whether a scan would be predicted the same way now."""
        keys = ("weights", "tta", "prior", "settings")
        same = all(getattr(self, key) == getattr(now, key) for key in keys)
        return same and scan in now.scans and self.scans.get(scan) == now.scans[scan]


_NOTES = TypeAdapter(MadeWith)


def of_scan(fingerprint: str, planes: np.ndarray, earlier: str | None = None) -> dict[str, str]:
    """Return a value of `MadeWith.scans`."""
    found = {"cache": fingerprint, "planes": " ".join(map(str, planes.tolist()))}
    return found | {"earlier": earlier} if earlier else found


def hash_file(path: Path) -> str | None:
    """Return the sha256 of a file, None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def hash_values(values: Mapping[str, Any]) -> str:
    """Return the sha256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write(folder: Path, made: MadeWith) -> None:
    """Write the note next to the predictions of a fold."""
    content = asdict(made)
    if made.prior is None:  # as notes of earlier versions
        del content["prior"]
    write_json(folder / NOTE, content)


def read(folder: Path) -> MadeWith | None:
    """Read the note next to the predictions of a fold; None where none is complete."""
    try:
        return _NOTES.validate_json(read_text(folder / NOTE, "predict again"), strict=True)
    except (OSError, ValueError):
        return None
