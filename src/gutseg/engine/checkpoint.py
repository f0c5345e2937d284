"""Run folders: last.pt to resume from, best.pt to predict with; written whole or not at all.

A bundle holds the weights of a best.pt alone, as weights.safetensors.
"""

import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from gutseg.files import need_file, replacing
from gutseg.registry import brief, counted

BEST, BUNDLED = "best.pt", "weights.safetensors"
AGAIN = "train this fold again or copy the file again"


def save(path: Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, lists and dicts of them under a temporary name first.

    Raises OSError naming the file when the disk is full; the old file stays.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # torch's "unexpected pos 640 vs 598" hides what the system said
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load(path: Path, remedy: str = AGAIN) -> Any:
    """Read a checkpoint onto the CPU; only plain data is unpickled.

    Raises ValueError in one sentence, which ends with the remedy, for a file that is damaged (its
    checksums are compared), that is not a checkpoint or that holds code.
    """
    need_file(path, remedy if os.path.lexists(path) else "train this fold first: gutseg train")
    problem = _damage(path)
    if problem is None:
        try:
            with warnings.catch_warnings(action="ignore"):  # on pickles that torch did not write
                return torch.load(path, weights_only=True, map_location="cpu")
        except MemoryError:
            raise  # no issue of the file's
        except Exception as error:
            # RuntimeError, UnpicklingError, EOFError, KeyError ...: torch's own text is advice to
            # its users, and weights_only=False, which it proposes, would run what the file says
            code = re.search(r"GLOBAL (\S+)", str(error))
            problem = (
                f"holds code ({code[1]}) where plain tensors and numbers are expected"
                if code
                else "is not a checkpoint that torch can read"
            )
    raise ValueError(f"{path} {problem}; {remedy}")


def _damage(path: Path) -> str | None:
    """Say what is wrong with the bytes of a file, None where nothing is.

    torch.save writes a zip with a checksum a tensor and torch.load does not look at them.
    """
    if path.stat().st_size == 0:
        return "is empty"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile:
        # an encoder's file may have torch's old format, which torch.load knows by itself
        return None
    except Exception as error:
        # OSError, NotImplementedError, RuntimeError, zlib.error ...: a header that makes no sense
        return f"is damaged ({type(error).__name__})"
    return f"is damaged: the checksum of its part {damaged} differs" if damaged else None


def weights_file(folder: Path) -> Path:
    """Return the best.pt of a fold's folder, or the weights.safetensors that a bundle has there."""
    best, bundled = folder / BEST, folder / BUNDLED
    return bundled if os.path.lexists(bundled) and not os.path.lexists(best) else best


def save_weights(path: Path, found: Mapping[str, Tensor]) -> None:
    """Write weights by name as safetensors, which hold no code."""
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        # it refuses tensors that share their memory
        save_file(
            {key: value.detach().clone().contiguous() for key, value in found.items()}, temporary
        )


def read_safetensors(path: Path, remedy: str = AGAIN) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors; raises ValueError, which ends with the remedy."""
    need_file(path, remedy)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    # KeyError for a type of numbers that torch does not have
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        problem = f"is not a readable safetensors ({brief(error)})"
        raise ValueError(f"{path} {problem}; {remedy}") from None


def weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a best.pt or of a .safetensors.

    Raises ValueError unless all of them are finite.
    """
    found: Any
    if path.suffix == ".safetensors":
        found = read_safetensors(path)
    else:
        content = load(path)
        found = content.get("model") if isinstance(content, dict) else None
    if not _is_state(found):
        raise ValueError(f"{path} holds no weights under the key 'model'; {AGAIN}")
    if bad := not_finite(found):
        raise ValueError(
            f"{path} holds weights that are not finite ({counted(bad, 'tensor')}); train "
            "this fold again with a lower optim.lr under another name=..."
        )
    return found


def copy_network(source: Path, target: Path) -> None:
    """Copy what predicts from the folder of a fold: config.yaml, and weights that hold no code."""
    target.mkdir(parents=True, exist_ok=True)
    save_weights(target / BUNDLED, weights(weights_file(source)))
    config = need_file(source / "config.yaml", "train this fold first")
    with replacing(target / config.name) as temporary:
        shutil.copyfile(config, temporary)


def history(path: Path) -> list[dict[str, float]]:
    """Return the history that a last.pt holds, one row an epoch."""
    return _state(path)["history"]


def state(path: Path) -> dict[str, Any]:
    """Return what a last.pt holds, `learner` and `history`.

    Raises ValueError unless training can resume from it: whole, and every number finite.
    """
    content = _state(path)
    if bad := not_finite(content["learner"]):
        raise ValueError(
            f"{path} holds numbers that are not finite ({counted(bad, 'tensor')}), so "
            f"training cannot resume; delete {path.parent} or give another name=..., and train "
            "with a lower optim.lr"
        )
    return content


def _state(path: Path) -> dict[str, Any]:
    again = f"delete {path.parent} and train this fold again"
    content = load(path, again)
    whole = isinstance(content, dict) and isinstance(content.get("learner"), dict)
    if not whole or not _is_history(content.get("history")):
        raise ValueError(
            f"{path} does not hold the state of a training (`learner`) and its `history`; {again}"
        )
    return content


def fill(network: nn.Module, found: Mapping[str, Tensor], path: Path) -> None:
    """Copy weights into a network; raises ValueError naming what does not fit, path and all."""
    if problem := misfit(network, found):
        raise ValueError(
            f"{path} does not fit the network of the config.yaml next to it: {problem}; put the "
            "config.yaml back that it was trained with, or train this fold again"
        )
    network.load_state_dict(dict(found))


def misfit(network: nn.Module, found: Any) -> str:
    """Say why weights do not fit a network; nothing where they do."""
    if not _is_state(found):
        return "it holds no weights by name"
    wanted = network.state_dict()
    parts = {
        "missing": wanted.keys() - found.keys(),
        "left over": found.keys() - wanted.keys(),
        "of another shape": {
            key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape
        },
    }
    return ", ".join(f"{counted(keys, 'tensor')} {kind}" for kind, keys in parts.items() if keys)


def not_finite(content: Any, place: str = "") -> list[str]:
    """Return the places of tensors, at any depth of what lies at place, with NaN or infinity."""
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if isinstance(content, Mapping):
        start = f"{place}." if place else ""
        return [bad for key, part in content.items() for bad in not_finite(part, f"{start}{key}")]
    return [place] if isinstance(content, Tensor) and not torch.isfinite(content).all() else []


def _is_state(found: Any) -> TypeGuard[dict[str, Tensor]]:
    if not isinstance(found, dict) or not found:
        return False
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in found.items())


def _is_history(rows: Any) -> bool:
    """Say whether there is one row an epoch, in order, each of numbers by name."""
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and row.get("epoch") == number
        and all(isinstance(value, int | float) for value in row.values())
        for number, row in enumerate(rows)
    )
