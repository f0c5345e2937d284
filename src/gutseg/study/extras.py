"""What a study's tables ask of trained cells: functions of finished run folders."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gutseg import runs
from gutseg.data.sources.source import Source
from gutseg.engine import checkpoint
from gutseg.inference.background import is_background, reuse_background
from gutseg.inference.predictor import activation
from gutseg.metrics import pooled


def amounts(source: Source, table: pd.DataFrame, fold: int) -> dict[str, Any]:
    """Return how many images a fold has, and how much of each class they show.

    pixels.<class>: of the held-out images; share.<class>: of the training images' pixels.
    """
    training, held_out = table[table["fold"] != fold], table[table["fold"] == fold]
    counts = source.pixels(held_out)[0].sum(axis=0)
    shares = source.class_shares(training)
    return {
        "train_images": len(training),
        "images": len(held_out),
        **{f"pixels.{key}": int(n) for key, n in zip(source.classes, counts, strict=True)},
        **{f"share.{key}": part for key, part in zip(source.classes, shares, strict=True)},
        "background": "" if source.background is None else source.classes[source.background],
    }


def hard_pixels(folder: Path, numbers: Sequence[int]) -> dict[str, int]:
    """Return `hard<n>.<class>`: the classes of the n hardest pixels of each held-out image.

    Hard is a large mean |p - y| over classes, as online bootstrapping has it.
    """
    fold = runs.open_fold(folder)
    found = dict.fromkeys((f"hard{n}.{key}" for n in numbers for key in fold.data.classes), 0)
    for probabilities, truth, ignored in _predicted(fold):
        distance = np.abs(probabilities - truth).mean(axis=0)  # (H, W)
        distance[ignored] = -1  # never among the hardest
        most = min(max(numbers), int((~ignored).sum()))
        order = torch.from_numpy(distance.ravel()).topk(most).indices.numpy()
        for key, plane in zip(fold.data.classes, truth, strict=True):
            hardest = plane.ravel()[order]
            for number in numbers:
                found[f"hard{number}.{key}"] += int(hardest[:number].sum())
    return found


def reuse(folder: Path, binary: Path) -> dict[str, float]:
    """Return `reuse.<measure>`: of a prediction with the background of another network laid over.

    binary: the run folder of the network that knows background and object alone. Source:
    [Tongji 2022], equation 3.4.
    """
    fold, second = runs.open_fold(folder), runs.open_fold(binary)
    data, counts = fold.data, pooled.Counts.none(len(fold.data.classes))
    for (found, truth, ignored), (objects, *_) in zip(
        _predicted(fold), _predicted(second), strict=True
    ):
        decided = pooled.decided(found, data.mode)  # (C, H, W)
        covered = is_background(objects, data.mode, second.data.background)  # (H, W)
        laid = reuse_background(decided, covered, data.background)
        counts += pooled.count(laid, truth, data.mode, ignored)
    measured = pooled.measures(counts, data.classes, data.mode, data.background)
    return {f"reuse.{key}": value for key, value in measured.items()}


@torch.inference_mode()
def _predicted(fold: runs.Fold) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield of every held-out image probabilities (C, H, W), truth (C, H, W) and ignored (H, W).

    The weights are those of the last epoch, as in all measures of a cell.
    """
    predictor = runs.predictor(fold, "none")
    checkpoint.fill(predictor.model, _last_weights(fold.folder), fold.folder / "last.pt")
    for name, planes in fold.planes.items():
        scan = fold.data.scan(name)
        answers = predictor.parts(
            scan, planes, lambda _, __, images: activation(predictor.logits(images), predictor.mode)
        )
        for z, found in answers:  # found: (C, B, H, W)
            truth, ignored = fold.data.truth(scan, z), fold.data.ignored(scan, z)
            if ignored is None:
                ignored = np.zeros(truth.shape[1:], bool)
            yield from zip(found.swapaxes(0, 1), truth.swapaxes(0, 1), ignored, strict=True)


def _last_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights that the last epoch was judged by: of the average, where there is one."""
    learner = checkpoint.state(folder / "last.pt")["learner"]
    if learner["average"] is None:
        return learner["model"]
    start = "module."  # torch counts updates next to it
    return {
        key.removeprefix(start): v for key, v in learner["average"].items() if key.startswith(start)
    }
