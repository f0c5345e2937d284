"""Out-of-fold files: one scan's probabilities at native size, quantised and compressed."""

from pathlib import Path

import numpy as np

from gutseg.paths import need_file, replacing


def save(path: Path, probabilities: np.ndarray, z: np.ndarray) -> None:
    """Write probabilities (C, len(z), H, W) uint8 of the planes z."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, probabilities=probabilities, z=z)


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (probabilities, z) of a file written by `save`."""
    need_file(path, "run: gutseg predict RUN")
    try:
        with np.load(path) as content:
            return content["probabilities"], content["z"]
    except Exception as error:
        raise ValueError(f"{path} is not a readable prediction: {error}; predict again") from None


def fill(parts: list[tuple[np.ndarray, np.ndarray]], depth: int) -> np.ndarray:
    """Put the parts of one scan, predicted by one fold or by several, into (C, Z, H, W).

    Planes that no part holds stay 0. Raises ValueError when two parts hold the same plane.
    """
    first = parts[0][0]
    whole = np.zeros((first.shape[0], depth, *first.shape[2:]), np.uint8)
    seen = np.zeros(depth, bool)
    for probabilities, z in parts:
        if seen[z].any():
            raise ValueError(f"plane {z[seen[z]][0]} was predicted by two folds")
        seen[z] = True
        whole[:, z] = probabilities
    return whole
