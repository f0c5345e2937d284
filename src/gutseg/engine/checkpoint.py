"""Run folders: last.pt to go on from, best.pt to predict with; written whole or not at all."""

from pathlib import Path
from typing import Any

import torch

from gutseg.paths import replacing


def save(path: Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, lists and dicts of them under a temporary name first."""
    with replacing(path) as temporary:
        torch.save(content, temporary)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; only plain data is unpickled."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; train this fold first: gutseg train")
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        # torch raises RuntimeError, UnpicklingError, EOFError ... for a damaged file
        raise ValueError(f"{path} is not a readable checkpoint: {error}") from None
