"""Out-of-fold predictions: one compressed file a scan and fold, at native size, in bytes."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.inference.ensemble import weighted_mean
from gutseg.inference.postprocess import Rule, finish_scan
from gutseg.metrics.bitrows import BitRows
from gutseg.metrics.competition import Metric, ScanResult, compare
from gutseg.paths import need_file, replacing
from gutseg.progress import progress


def save(path: Path, probabilities: np.ndarray, z: np.ndarray) -> None:
    """Write probabilities (C, len(z), H, W) uint8 (255 = 1) of the planes z."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, probabilities=probabilities, z=z)


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (probabilities, z) of a file written by `save`."""
    need_file(path, "run: gutseg predict RUN")
    try:
        with np.load(path) as content:
            return content["probabilities"], content["z"]
    except Exception as error:
        # zipfile, zlib, KeyError or ValueError, depending on where the file is damaged
        raise ValueError(f"{path} is not a readable prediction: {error}; predict again") from None


class OutOfFold:
    """The predictions of a run: RUN/fold<k>/oof/<scan>.npz."""

    def __init__(self, run: Path) -> None:
        """Raises FileNotFoundError when `gutseg predict` has not been run."""
        self.run = run
        self.files: dict[str, dict[int, Path]] = defaultdict(dict)
        for path in sorted(run.glob("fold*/oof/*.npz")):
            self.files[path.stem][int(path.parts[-3].removeprefix("fold"))] = path
        if not self.files:
            raise FileNotFoundError(f"{run} holds no predictions; run: gutseg predict {run}")

    @property
    def folds(self) -> list[int]:
        """The folds that have predictions."""
        return sorted({fold for parts in self.files.values() for fold in parts})

    @property
    def scans(self) -> list[str]:
        """The scans that have predictions."""
        return sorted(self.files)

    def load(self, scan: str, depth: int, fold: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return a scan's probabilities (C, Z, H, W) uint8 and which planes (Z,) were predicted.

        fold: only its part. Raises ValueError when two folds predicted the same plane.
        """
        whole, seen = None, np.zeros(depth, bool)
        for number, path in self.files[scan].items():
            if fold not in (None, number):
                continue
            probabilities, z = load(path)
            if whole is None:
                classes, _, *size = probabilities.shape
                whole = np.zeros((classes, depth, *size), np.uint8)
            if seen[z].any():
                raise ValueError(f"{path}: plane {z[seen[z]][0]} was predicted by two folds")
            seen[z] = True
            whole[:, z] = probabilities
        return whole, seen


def compare_scans(
    members: Sequence[OutOfFold],
    weights: Sequence[float],
    rules: Sequence[Rule],
    cache: Cache,
    metric: Metric,
) -> dict[str, list[ScanResult]]:
    """Compare blended out-of-fold predictions with the cache's labels.

    Returns the results of every fold, `fold 0` ..., and of all scans, `all`. Only planes that
    were predicted count; where folds divide single scans, `all` joins their parts again.
    """
    found: dict[str, list[ScanResult]] = {f"fold {fold}": [] for fold in members[0].folds}
    found["all"] = []
    for name in progress(members[0].scans, desc="score", unit="scan"):
        scan = cache.scan(name)
        folds = list(members[0].files[name])
        for fold in [*folds, None] if len(folds) > 1 else folds:
            parts = [member.load(name, len(scan.image), fold) for member in members]
            mean = weighted_mean([whole for whole, _ in parts], weights)
            truth = np.where(parts[0][1][:, None, None], scan.mask, 0)
            masks = finish_scan(mean, rules), BitRows.from_class_bits(truth, len(CLASSES))
            result = compare(name, *masks, metric)
            result.dice[:, ~parts[0][1]] = np.nan
            if fold is not None:
                found[f"fold {fold}"].append(result)
            if fold is None or len(folds) == 1:
                found["all"].append(result)
    return found
