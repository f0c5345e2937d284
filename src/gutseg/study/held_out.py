"""Held-out images: predicted whole or in tiles, and counted over all their pixels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from gutseg.data.sources.labelled import Labelled
from gutseg.losses.reductions import probabilities
from gutseg.study.crops import as_masks

# An image (H, W, S) to its logits (C, H, W).
Predict = Callable[[np.ndarray], Tensor]

# Pixels of context around a tile, of which nothing is kept.
MARGIN = 32


@torch.inference_mode()
def logits_of(model: nn.Module, image: np.ndarray, tile: int, device: torch.device) -> Tensor:
    """Return logits (C, H, W) of an image (H, W, S); sides above `tile` are cut into tiles."""
    height, width = image.shape[:2]
    whole = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    rows = []
    for top, bottom in _spans(height, tile):
        row = []
        for left, right in _spans(width, tile):
            up, start = max(top - MARGIN, 0), max(left - MARGIN, 0)
            part = whole[:, :, up : bottom + MARGIN, start : right + MARGIN].to(device)
            logits = model(part)[0].float()
            row.append(logits[:, top - up : bottom - up, left - start : right - start])
        rows.append(torch.cat(row, dim=2))
    return torch.cat(rows, dim=1)


@torch.inference_mode()
def with_background_of(
    predict: Predict, binary: Predict, image: np.ndarray, background: int
) -> Tensor:
    """Return a prediction's logits with the background wherever another network sees no object.

    binary: gives logits of (background, object). Source: thesis 000 equation 3.4.
    """
    logits = predict(image)
    logits[background, binary(image).argmax(0) == 0] = torch.inf
    return logits


def _spans(length: int, tile: int) -> Iterator[tuple[int, int]]:
    """Cut a side into the fewest parts of nearly equal length, none above tile."""
    edges = np.linspace(0, length, -(-length // tile) + 1).round().astype(int).tolist()
    return pairwise(edges)


@dataclass
class Counts:
    """Pixels per class, summed over images: tp, fp, fn (C,); correct, pixels: of all classes.

    correct counts pixels (multiclass) or pixels of each class (multilabel). hard: n -> classes of
    the n hardest pixels of each image (C,); truth: pixels of each class (C,).
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    correct: int
    pixels: int
    hard: dict[int, np.ndarray]

    @property
    def truth(self) -> np.ndarray:
        """Pixels of each class in the labels."""
        return self.tp + self.fn


def count(
    predict: Predict,
    data: Labelled,
    indices: Sequence[int],
    hard_shares: Sequence[int] = (),
) -> Counts:
    """Compare predictions with labels; raises FloatingPointError where a prediction is NaN."""
    classes = len(data.classes)
    zeros = np.zeros(classes, np.int64)
    counts = Counts(zeros, zeros, zeros, 0, 0, dict.fromkeys(hard_shares, zeros))
    for index in indices:
        labels = data.labels[index]
        logits = predict(data.images[index])
        if torch.isnan(logits).any():
            raise FloatingPointError(f"the network answers NaN to {data.names[index]}")
        truth = as_masks(labels[None], data)[0].astype(bool)
        found = _decided(logits, data)
        counts.tp = counts.tp + (found & truth).sum((1, 2))
        counts.fp = counts.fp + (found & ~truth).sum((1, 2))
        counts.fn = counts.fn + (~found & truth).sum((1, 2))
        agreed = found == truth
        counts.correct += int(agreed.sum() if data.mode == "multilabel" else agreed.all(0).sum())
        counts.pixels += labels.size * (classes if data.mode == "multilabel" else 1)
        if hard_shares:
            _count_hard(counts, logits, truth, data)
    return counts


def _decided(logits: Tensor, data: Labelled) -> np.ndarray:
    """Masks (C, H, W) bool: above 0, or the largest of the classes."""
    if data.mode == "multilabel":
        return (logits > 0).cpu().numpy()
    winner = logits.argmax(0).to(torch.uint8).cpu().numpy()
    return as_masks(winner[None], data)[0].astype(bool)


def _count_hard(counts: Counts, logits: Tensor, truth: np.ndarray, data: Labelled) -> None:
    """Hard is a large mean |p - y| over classes, as online bootstrapping has it."""
    target = torch.from_numpy(truth).to(logits.device, torch.float32)
    distance = (probabilities(logits[None], data.mode)[0] - target).abs().mean(0).flatten()
    order = distance.topk(min(max(counts.hard), distance.numel())).indices.cpu().numpy()
    flat = truth.reshape(len(truth), -1)
    for number in counts.hard:
        counts.hard[number] = counts.hard[number] + flat[:, order[:number]].sum(1)


def measures(counts: Counts, data: Labelled) -> dict[str, float]:
    """Return averages over classes and, as `iou.<class>`, what each class has.

    A class that is neither there nor predicted is not a number and left out of averages, and
    recall is so wherever the class is not there; precision of a class that is there and never
    predicted is 0. Averages named `_fg` leave the background out.
    """
    tp, fp, fn = (part.astype(float) for part in (counts.tp, counts.fp, counts.fn))
    seen = tp + fp + fn > 0
    parts = {
        "iou": (tp, tp + fp + fn),
        "dice": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }
    found = {"accuracy": counts.correct / max(counts.pixels, 1)}
    for name, (part, whole) in parts.items():
        defined = tp + fn > 0 if name == "recall" else seen
        values = np.where(defined, part / np.maximum(whole, 1), np.nan)
        found[name] = _mean(values)
        if data.background is not None and data.mode == "multiclass":
            found[f"{name}_fg"] = _mean(np.delete(values, data.background))
        else:
            found[f"{name}_fg"] = found[name]
        found |= {f"{name}.{key}": value for key, value in zip(data.classes, values, strict=True)}
    return {key: float(value) for key, value in found.items()}


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
