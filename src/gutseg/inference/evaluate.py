"""Validation during training: losses, pooled measures, and the competition's on volumes."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from gutseg.constants import CLASSES
from gutseg.data.batches import as_target
from gutseg.data.maps import Maps
from gutseg.data.sources.source import Source
from gutseg.inference.postprocess import to_byte
from gutseg.inference.predictor import Predictor, activation, to_bytes
from gutseg.inference.volumes import VolumePredictor
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, accuracy_rows, combine, compare, iou_rows
from gutseg.metrics.pooled import Counts, count, decided, measures
from gutseg.metrics.presence import BINS, presence_measures, tally
from gutseg.models.presence import Outputs, gates, shows, ungated, watched

METRIC = METRICS["default"]
# dice_shown: over the rows that show the class, for networks whose false alarms a gate takes away
COLUMNS = ("dice", "iou", "accuracy", "hausdorff", "dice_shown")
# how many planes the sums of losses are over; no loss is called so
PLANES = "planes"


@dataclass
class Evaluator:
    """Compares a network with the labels of some planes, scan by scan.

    Probabilities are cut at 0.5, or the likeliest class is taken. Under distributed training
    every rank takes its share of the scans.
    """

    source: Source
    # of the source's index; of a volume only the slices that are listed are compared
    rows: pd.DataFrame
    # turns the network into a Predictor
    wrap: Callable[[nn.Module], Predictor]
    # of outputs as a network gives them in training
    criterion: Callable[..., tuple[Tensor, dict[str, Tensor]]]
    _: KW_ONLY
    # what the loss needs besides labels
    maps: Maps = field(default_factory=Maps)
    # the planes that the network sees and losses are taken of; None: those of the source
    seen: Source | None = None
    rank: int = 0
    world_size: int = 1
    # sums a tensor over ranks
    all_reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor

    def __post_init__(self) -> None:
        scans = [(name, group["z"].to_numpy()) for name, group in self.rows.groupby("scan")]
        self.scans = scans[self.rank :: self.world_size]

    def __call__(self, network: nn.Module, with_score: bool) -> dict[str, float]:
        """Return val_loss, its terms, and measures pooled over all pixels, `pooled.<name>`.

        Of volumes also dice, dice_shown, iou, accuracy, overall and per class, means over slices;
        with_score adds the normalised Hausdorff distance and the competition score. Of a presence
        head what `presence_measures` names. Losses are those of training: of masks before a gate.
        """
        predictor = self.wrap(network)
        classes = self.source.classes
        # what a head says of a window of slices is no answer for one of them
        of_volumes = isinstance(predictor, VolumePredictor)
        has_head = bool(gates(predictor.model)) and not of_volumes
        sums = np.zeros((len(COLUMNS), 2, len(CLASSES)) if self.source.has_volumes else 0)
        pooled = Counts.none(len(classes))
        shown = np.zeros((len(classes), 2, BINS) if has_head else 0)
        losses: dict[str, float] = {}
        for name, z in self.scans:
            scan = self.source.scan(name)
            probabilities, counts = self._predict(predictor, scan, z, losses, shown)
            pooled += counts
            if probabilities is not None:
                sums += _compare(scan, z, probabilities, with_score)
        planes = losses.pop(PLANES, 0)
        keys = self._loss_names(losses, has_head)
        lost = np.array([*(losses[key] for key in keys), planes])
        parts = (sums.ravel(), pooled.vector, shown.ravel(), lost)
        total = np.array(self.all_reduce(torch.tensor(np.concatenate(parts)).double()).tolist())
        summed, counted, told, lost = np.split(total, np.cumsum([len(part) for part in parts[:3]]))
        found = {f"val_{key}": lost[i] / max(lost[-1], 1) for i, key in enumerate(keys)}
        if self.source.has_volumes:
            found |= _columns(summed.reshape(sums.shape), with_score)
        found |= _pooled(Counts.of_vector(counted), self.source)
        if has_head:
            found |= presence_measures(told.reshape(shown.shape), classes)
        # plain numbers: the history goes into a checkpoint, which holds no NumPy scalars
        return {key: float(value) for key, value in found.items()}

    @property
    def columns(self) -> list[str]:
        """What training may be judged by."""
        found = _pooled(Counts.none(len(self.source.classes)), self.source)
        return ["val_loss", *(("score", *COLUMNS) if self.source.has_volumes else ()), *found]

    @torch.inference_mode()  # with gradients a loss would wait for the other ranks
    def _loss_names(self, losses: dict[str, float], has_head: bool) -> list[str]:
        # a rank without scans has met no loss; every rank must send the same names
        if not losses:
            parts = as_target(self.source, np.zeros((1, 2, 2), np.uint8), None, self.maps)
            logits = torch.zeros(1, len(self.source.classes), 2, 2)
            outputs = Outputs(logits, logits[..., 0, 0]) if has_head else logits
            _, terms = self.criterion(outputs, parts["target"], **parts["maps"])
            losses.update(dict.fromkeys(["loss", *terms], 0.0))
        return list(losses)

    @torch.inference_mode()
    def _predict(
        self,
        predictor: Predictor,
        scan: Any,
        z: np.ndarray,
        losses: dict[str, float],
        shown: np.ndarray,
    ) -> tuple[np.ndarray | None, Counts]:
        """Return a volume's probabilities (C, len(z), H, W) uint8 and the counts of its pixels.

        Adds the losses, weighted by planes, and to shown what a presence head says of them.
        """
        parts, pooled = [], Counts.none(len(self.source.classes))
        mode = self.source.mode

        def answer(seen: Any, planes: np.ndarray, images: Tensor) -> Tensor:
            logits, outputs = _both(predictor, images)  # (B, C, h, w)
            self._add_losses(seen, planes, outputs, losses, shown)
            return activation(logits, predictor.mode)

        for planes, native in predictor.parts(scan, z, answer):  # native: (C, B, H, W)
            truth, ignored = self.source.truth(scan, planes), self.source.ignored(scan, planes)
            pooled += count(decided(native, mode), truth, mode, ignored)
            if self.source.has_volumes:
                parts.append(to_bytes(native))
        return np.concatenate(parts, axis=1) if parts else None, pooled

    def _add_losses(
        self,
        scan: Any,
        planes: np.ndarray,
        outputs: Tensor | Outputs,
        losses: dict[str, float],
        shown: np.ndarray,
    ) -> None:
        source = self.seen or self.source
        parts = as_target(source, *source.seen_labels(scan, planes), self.maps)
        parts |= parts.pop("maps")
        first = outputs[0]  # a list of scales is what only training returns
        device = (first[0] if isinstance(first, list) else first).device
        moved = {key: plane.to(device) for key, plane in parts.items()}
        total, terms = self.criterion(outputs, **moved)
        if isinstance(outputs, Outputs):
            truth = shows(moved["target"], len(self.source.classes), moved.get("ignore"))
            shown += tally(outputs.presence.float().cpu().numpy(), truth.cpu().numpy())
        for key, value in ({"loss": total} | terms).items():
            losses[key] = losses.get(key, 0.0) + float(value) * len(planes)
        losses[PLANES] = losses.get(PLANES, 0) + len(planes)


def _both(predictor: Predictor, images: Tensor) -> tuple[Tensor, Tensor | Outputs]:
    """Return the logits that are predicted, and what the loss compares: those before a gate."""
    with watched(predictor.model) as seen:
        logits = predictor.logits(images)
    if not seen:
        return logits, logits
    if isinstance(predictor, VolumePredictor):
        with ungated(predictor.model):
            return logits, predictor.logits(images)
    # an image shows what one of its tiles shows
    presence = torch.stack([told for _, told in seen]).amax(dim=0)
    masks = seen[0][0].float()
    if len(seen) > 1 or masks.shape != logits.shape:  # tiles, or a gate on padded images
        with ungated(predictor.model):
            masks = predictor.logits(images)
    return logits, Outputs(masks, presence)


def batch_dice(source: Source, logits: Tensor, target: Tensor, ignored: Tensor | None) -> float:
    """Return the Dice of the objects, pooled over a batch.

    logits: (B, C, h, w). target: as `Source.target` returns it. ignored: (B, h, w) bool or None.
    """
    found = activation(logits.detach().float(), source.mode).cpu().numpy().swapaxes(0, 1)
    truth = source.masks(target.cpu().numpy()).swapaxes(0, 1) >= 0.5
    unseen = None if ignored is None else ignored.cpu().numpy()
    counts = count(decided(found, source.mode), truth, source.mode, unseen)
    return _pooled(counts, source)["pooled.dice_fg"]


def _pooled(counts: Counts, source: Source) -> dict[str, float]:
    found = measures(counts, source.classes, source.mode, source.background)
    return {f"pooled.{key}": value for key, value in found.items()}


def _compare(scan: Any, z: np.ndarray, probabilities: np.ndarray, with_score: bool) -> np.ndarray:
    """Return sums and numbers of kept values: (columns, 2, C)."""
    prediction = np.zeros((len(CLASSES), *scan.shape), bool)
    prediction[:, z] = probabilities >= to_byte(0.5)
    labels = np.zeros(scan.shape, np.uint8)
    labels[z] = scan.labels[z]
    masks = BitRows.from_arrays(prediction), BitRows.from_class_bits(labels, len(CLASSES))
    result = compare(scan.name, *masks, METRIC, distances=with_score)
    counts = (result.intersection[:, z], result.prediction[:, z], result.truth[:, z])
    values = (
        result.dice[:, z],
        iou_rows(*counts),
        accuracy_rows(*counts, scan.shape[1] * scan.shape[2]),
        result.hausdorff[:, None],
        np.where(counts[2] > 0, result.dice[:, z], np.nan),
    )
    return np.array([(np.nansum(v, axis=1), np.isfinite(v).sum(axis=1)) for v in values])


def _columns(sums: np.ndarray, with_score: bool) -> dict[str, float]:
    """Name the means: sums (columns, 2, C) holds sums and numbers of kept values."""
    columns = {}
    for column, (total, kept) in zip(COLUMNS, sums, strict=True):
        if column == "hausdorff" and not with_score:
            continue
        # nothing kept: no organ on either side, as bad as a miss so that it is never the best
        worst = 1.0 if column == "hausdorff" else 0.0
        columns[column] = total.sum() / kept.sum() if kept.sum() else worst
        for organ, value, number in zip(CLASSES, total, kept, strict=True):
            columns[f"{column}_{organ}"] = value / number if number else float("nan")
    if with_score:
        columns["score"] = combine(columns["dice"], columns["hausdorff"])
    return columns
