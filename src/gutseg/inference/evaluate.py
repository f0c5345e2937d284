"""Validation during training: losses, and the competition metric on native-size volumes."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.data.dataset import unpack
from gutseg.data.maps import Maps
from gutseg.inference.postprocess import to_byte
from gutseg.inference.predictor import Predictor
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, combine, compare
from gutseg.metrics.overlap import accuracy_rows, iou_rows

# (logits, target, **maps) -> the loss and its terms
Criterion = Callable[..., tuple[Tensor, dict[str, Tensor]]]
METRIC = METRICS["default"]
COLUMNS = ("dice", "iou", "accuracy", "hausdorff")


class Evaluator:
    """Compares a network with the labels of some slices, scan by scan.

    rows: rows of the cache's index; a scan of which only some slices are listed is compared
    on those alone. Probabilities are cut at 0.5. Under distributed training every rank takes
    its share of the scans; all_reduce sums a tensor over ranks.
    """

    def __init__(
        self,
        cache: Cache,
        rows: pd.DataFrame,
        wrap: Callable[[nn.Module], Predictor],
        criterion: Criterion,
        *,
        maps: Maps | None = None,
        rank: int = 0,
        world_size: int = 1,
        all_reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    ) -> None:
        """wrap: turns the network into a Predictor. maps: what the loss needs beside labels."""
        self.cache = cache
        self.wrap = wrap
        self.criterion = criterion
        self.maps = maps or Maps()
        self.all_reduce = all_reduce
        scans = [(name, group["z"].to_numpy()) for name, group in rows.groupby("scan")]
        self.scans = scans[rank::world_size]

    def __call__(self, network: nn.Module, with_score: bool) -> dict[str, float]:
        """Return val_loss, its terms, and dice, iou, accuracy, overall and per class.

        with_score adds the normalised Hausdorff distance and the competition score.
        """
        predictor = self.wrap(network)
        sums = np.zeros((len(CLASSES), len(COLUMNS), 2))
        losses: dict[str, float] = {}
        slices = 0
        for name, z in self.scans:
            probabilities = self._predict(predictor, name, z, losses)
            slices += len(z)
            sums += self._compare(name, z, probabilities, with_score)
        keys = self._loss_names(losses)
        flat = torch.tensor([*sums.ravel(), *(losses[key] for key in keys), slices])
        total = np.array(self.all_reduce(flat.double()).tolist())
        found = {
            f"val_{key}": total[sums.size + i] / max(total[-1], 1) for i, key in enumerate(keys)
        }
        found |= _columns(total[: sums.size].reshape(sums.shape), with_score)
        # plain numbers: the history goes into a checkpoint, which holds no NumPy scalars
        return {key: float(value) for key, value in found.items()}

    def _loss_names(self, losses: dict[str, float]) -> list[str]:
        # a rank without scans has met no loss; every rank must send the same names
        if not losses:
            empty = torch.zeros(1, len(CLASSES), 2, 2)
            _, terms = self.criterion(empty, empty, **self.maps.tensors(empty.numpy()))
            losses.update(dict.fromkeys(["loss", *terms], 0.0))
        return list(losses)

    @torch.inference_mode()
    def _predict(
        self, predictor: Predictor, name: str, z: np.ndarray, losses: dict[str, float]
    ) -> np.ndarray:
        """Return (C, len(z), H, W) uint8 and add the losses, weighted by slices."""
        scan = self.cache.scan(name)
        parts = []
        for planes, images in predictor.batches(scan, z):
            logits = predictor.network(images).float()
            labels = unpack(predictor.inputs.labels(scan, planes))
            target = torch.from_numpy(labels).to(logits.device)
            drawn = self.maps.tensors(labels).items()
            maps = {key: plane.to(logits.device) for key, plane in drawn}
            total, terms = self.criterion(logits, target, **maps)
            for key, value in ({"loss": total} | terms).items():
                losses[key] = losses.get(key, 0.0) + float(value) * len(planes)
            parts.append(predictor.to_native(scan, logits.sigmoid()))
        return np.concatenate(parts, axis=1)

    def _compare(
        self, name: str, z: np.ndarray, probabilities: np.ndarray, with_score: bool
    ) -> np.ndarray:
        """Return sums and numbers of kept values: (C, columns, 2)."""
        scan = self.cache.scan(name)
        prediction = np.zeros((len(CLASSES), *scan.shape), bool)
        prediction[:, z] = probabilities >= to_byte(0.5)
        labels = np.zeros(scan.shape, np.uint8)
        labels[z] = scan.mask[z]
        truth = BitRows.from_class_bits(labels, len(CLASSES))
        predicted = BitRows.from_arrays(prediction)
        result = compare(name, predicted, truth, METRIC, distances=with_score)
        counts = (result.intersection[:, z], result.prediction[:, z], result.truth[:, z])
        pixels = scan.shape[1] * scan.shape[2]
        values = (
            result.dice[:, z],
            iou_rows(*counts),
            accuracy_rows(*counts, pixels),
            result.hausdorff[:, None],
        )
        return np.stack(
            [np.stack([np.nansum(v, axis=1), np.isfinite(v).sum(axis=1)], axis=1) for v in values],
            axis=1,
        )


def _columns(sums: np.ndarray, with_score: bool) -> dict[str, float]:
    """Name the means: sums (C, columns, 2) holds sums and numbers of kept values."""
    columns = {}
    for position, column in enumerate(COLUMNS[: None if with_score else -1]):
        total, kept = sums[:, position].T
        # nothing kept: no organ on either side, as bad as a miss so that it is never the best
        worst = 1.0 if column == "hausdorff" else 0.0
        columns[column] = total.sum() / kept.sum() if kept.sum() else worst
        for organ, value, number in zip(CLASSES, total, kept, strict=True):
            columns[f"{column}_{organ}"] = value / number if number else float("nan")
    if with_score:
        columns["score"] = combine(columns["dice"], columns["hausdorff"])
    return columns
