"""What a run was made with: commit, versions, machine, fold file."""

import hashlib
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("torch", "timm", "segmentation-models-pytorch", "albumentations", "numpy")


def provenance(folds: Path) -> dict[str, Any]:
    """Return plain values to stand beside the weights; folds: the fold file that was used."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "commit": _commit(),
        "gutseg": version("gutseg"),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "machine": gpu or platform.processor() or platform.machine(),
        "folds": str(folds),
        "folds_sha256": hashlib.sha256(folds.read_bytes()).hexdigest(),
    }


def _commit() -> str | None:
    """Return the commit of the source tree, with + for uncommitted changes; None outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
