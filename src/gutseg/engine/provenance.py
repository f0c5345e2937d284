"""What a run was made with: commit, versions, machine, fold file, encoder's weights."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from gutseg.files import need_file, read_json

LIBRARIES = ("torch", "timm", "segmentation-models-pytorch", "albumentations", "numpy")
# keys of meta.json: the hashes of model.encoder_weights and of what train.init_from led to
ENCODER, START = "encoder_weights_sha256", "init_from_sha256"
# that of the note beside the scans of data.extra
EXTRA = "extra_sha256"
# that of the network that found the windows
DETECTOR = "detector_sha256"
# the competition's cases of which the training has seen no slice
HELD_OUT = "held_out_cases"


def provenance(
    folds: Path | int,
    identity: str,
    encoder_weights: Path | None = None,
    start: Path | None = None,
) -> dict[str, Any]:
    """Return plain values to store next to the weights; folds: a file or a number of folds.

    encoder_weights, start: the local files that filled the encoder, or all of the network.
    """
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "commit": commit(),
        "gutseg": version("gutseg"),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "machine": gpu or platform.processor() or platform.machine(),
        "folds": str(folds),
        "folds_sha256": identity,
        ENCODER: _sha256(encoder_weights) if encoder_weights else None,
        START: _sha256(start) if start else None,
    }


def fold_identity(folds: Path | int, fold_of: Mapping[str, int]) -> str:
    """Return a hash of a fold file, or of who is held out where its folds were drawn.

    fold_of: plane id -> fold.
    """
    if isinstance(folds, Path):
        return _sha256(folds)
    text = "".join(f"{name} {fold}\n" for name, fold in sorted(fold_of.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _version(library: str) -> str | None:
    """Return the version of a library; None where it is absent, as some are on Kaggle."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_folds(
    folder: Path, fold: int | str, folds: Path | int, identity: str | None = None
) -> None:
    """Raise ValueError unless a run folder's meta.json names this fold and these folds.

    identity: what `fold_identity` returned; of a file it is computed here.
    """
    path = need_file(folder / "meta.json", "it names the fold file; train this fold first")
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("folds_sha256"), str):
        raise ValueError(f"{path} does not say which fold file was used; train this fold again")
    if found.get("fold") != fold:
        raise ValueError(
            f"{folder} was trained as fold {found.get('fold')}; give the folder its name back"
        )
    if identity is None and isinstance(folds, Path):
        identity = fold_identity(need_file(folds, f"{folder} was trained with it"), {})
    if found["folds_sha256"] == identity:
        return
    if isinstance(folds, int):
        raise ValueError(
            f"{folder} was trained on other folds: the images or labels have changed since; put "
            "the old ones back, or train under another name=..."
        )
    raise ValueError(
        f"{folds} has changed since {folder} was trained, so that slices it was trained on "
        "could pass for held out; put the old file back, or train under another name=..."
    )


def check_weights(folder: Path, key: str, weights: Path, setting: str) -> None:
    """Raise ValueError where the file that filled a run's network has other content by now.

    key: of meta.json. setting: the config key that named the file.
    """
    before = read_json(folder / "meta.json").get(key)
    need_file(weights, "give a local .pth or .safetensors file")
    if before is not None and before != _sha256(weights):
        raise ValueError(
            f"{setting}: {weights} has changed since {folder} was trained; put the old file back, "
            "or train under another name=..."
        )


@cache
def commit() -> str | None:
    """Return the commit of the source tree, with + for uncommitted changes; None outside git.

    Asked for once a process: what changes later is not the code that runs.
    """
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
