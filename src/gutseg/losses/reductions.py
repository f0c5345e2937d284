"""What every loss is made of: float32 sums per class, and means of per-pixel maps.

Arguments that mean the same in every loss:

logits: (B, C, H, W). target: (B, C, H, W) in {0, 1} in mode `multilabel` (sigmoid, organs may
overlap); (B, H, W) class numbers, or one-hot, in mode `multiclass` (softmax).
ignore: (B, H, W) bool, True where a pixel counts for nothing, as the class number -100 does;
gutseg.losses.inputs sees to both. class_weights: C numbers, none below 0.
reduction: `batch` sums over the whole batch before dividing, `sample` image by image.
absent: what a class without any target pixel adds: `skip` nothing, `penalise`
Σp / (Σp + 1), so that false positives cost, `one` the constant 1 of a Dice without smoothing.
A class of which no pixel counts, ignored or not annotated, adds nothing under any of them.

Half-precision logits are brought to float32 first: sums over 65,504 overflow float16. Under
distributed training sums are added over ranks before they are divided, not losses averaged: those
of pixels under `batch`, those of (image, class) losses under `sample`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.distributed as dist
from pydantic import Field
from torch import Tensor
from torch.nn import functional

Mode = Literal["multilabel", "multiclass"]
Reduction = Literal["batch", "sample"]
Absent = Literal["skip", "penalise", "one"]
DivideBy = Literal["weights", "pixels"]
# What configs may set: gutseg.registry.check holds them to these ranges. The squares of larger
# numbers would leave float32.
MOST = 10**9
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=MOST)]
NotNegative = Annotated[float, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=1, le=MOST)]
ClassWeights = Sequence[NotNegative] | None

TINY = 1e-8


def full_precision(logits: Tensor) -> AbstractContextManager:
    """Return a context in which autocast is off for the device of the logits."""
    return torch.autocast(logits.device.type, enabled=False)


def to_float32(tensor: Tensor) -> Tensor:
    """Return the tensor in float32, or in float64 when it is so already."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def one_hot(target: Tensor, classes: int) -> Tensor:
    """Spread class numbers (B, H, W) over channels (B, C, H, W); one-hot passes through."""
    if target.dim() == 4:
        return target
    # torch's one_hot makes eight bytes a pixel and class
    size = (len(target), classes, *target.shape[1:])
    planes = torch.zeros(size, device=target.device)
    return planes.scatter_(1, target.long()[:, None], 1.0)


def probabilities(logits: Tensor, mode: Mode) -> Tensor:
    """Sigmoid or softmax of the logits."""
    return logits.sigmoid() if mode == "multilabel" else logits.softmax(dim=1)


@dataclass(frozen=True)
class Sums:
    """Soft counts per (row, class): one row a batch or one a sample. All (R, C).

    gathered: the rows are of all ranks, so that every rank has the same.
    """

    tp: Tensor
    fp: Tensor
    fn: Tensor
    tn: Tensor
    gathered: bool

    @property
    def target(self) -> Tensor:
        """Pixels of the class in the target."""
        return self.tp + self.fn

    @property
    def counted(self) -> Tensor:
        """Whether any pixel counts: not all are ignored, and the class was annotated."""
        return self.tp + self.fp + self.fn + self.tn > 0.5  # whole pixels, up to rounding


def region_sums(
    logits: Tensor,
    target: Tensor,
    *,
    mode: Mode = "multilabel",
    ignore: Tensor | None = None,
    annotated: Tensor | None = None,
    reduction: Reduction = "batch",
    squared: bool = False,
) -> Sums:
    """Return TP = Σpg, FP = Σp(1-g), FN = Σ(1-p)g and TN over pixels, and over the batch or not.

    annotated: (B, C) bool, False where a class was not annotated in an image. squared: p² for p
    in the size of the prediction, as in V-Net's Dice.
    """
    with full_precision(logits):
        p = probabilities(to_float32(logits), mode)
        g = one_hot(target, logits.shape[1]).to(p.dtype)
        pixels = p.new_full((len(p), p.shape[1]), p.shape[2] * p.shape[3])
        if ignore is not None:
            kept = ~ignore[:, None]
            p, g = p * kept, g * kept
            pixels = kept.sum((2, 3)).to(p.dtype).expand_as(pixels)
        # three passes over the pixels; TP, FP, FN and TN follow from them
        sizes = torch.stack(
            [
                (p * g).sum((2, 3)),
                (p * p if squared else p).sum((2, 3)),
                g.sum((2, 3)),
                pixels,
            ]
        )
        if annotated is not None:
            sizes = sizes * annotated
        if reduction == "batch":
            sizes = over_ranks(sizes.sum(dim=1))[:, None]
        tp, predicted, present, pixels = sizes
        outside = pixels - predicted - present + tp
        return Sums(tp, predicted - tp, present - tp, outside, gathered=reduction == "batch")


def over_classes(
    loss: Tensor,
    sums: Sums,
    *,
    absent: Absent = "skip",
    class_weights: Sequence[float] | None = None,
) -> Tensor:
    """Average a region loss (R, C) over rows and classes under the policy for absent ones."""
    present = kept = sums.target > 0
    if absent != "skip":
        missed = sums.fp / (sums.fp + 1) if absent == "penalise" else torch.ones_like(loss)
        loss = torch.where(present, loss, missed)
        kept = sums.counted
    weight = loss.new_tensor(class_weights or [1.0] * loss.shape[1]) * kept
    loss = torch.where(kept, loss, 0 * sums.fp)  # keeps the graph when nothing is kept
    return mean_of_rows((weight * loss).sum(), weight.sum(), sums)


def mean_of_rows(total: Tensor, number: Tensor, sums: Sums) -> Tensor:
    """Divide a sum over rows by how many were added, over all ranks where each has its own."""
    added = torch.stack([total, number])
    if not sums.gathered:
        added = over_ranks(added)
    return added[0] / added[1].clamp(min=TINY)


def pixel_loss(
    logits: Tensor, target: Tensor, mode: Mode, reduction: Literal["none", "sum"] = "none"
) -> Tensor:
    """Per-pixel cross-entropy: (B, C, H, W) of every sigmoid, (B, 1, H, W) of the softmax.

    reduction: `sum` returns the sum over everything instead.
    """
    wide = to_float32(logits)
    if mode == "multilabel":
        return functional.binary_cross_entropy_with_logits(
            wide, target.to(wide.dtype), reduction=reduction
        )
    numbers = target.argmax(dim=1) if target.dim() == 4 else target.long()
    loss = functional.cross_entropy(wide, numbers, reduction=reduction)
    return loss[:, None] if reduction == "none" else loss


def true_class(planes: Tensor, target: Tensor) -> Tensor:
    """Pick the plane of each pixel's class: (B, C, H, W) -> (B, 1, H, W)."""
    numbers = target.argmax(dim=1) if target.dim() == 4 else target.long()
    return planes.gather(1, numbers[:, None])


def class_weight_map(
    like: Tensor, target: Tensor, mode: Mode, class_weights: Sequence[float] | None
) -> Tensor:
    """Spread class weights over a pixel map: by channel, or by the class of each pixel."""
    if class_weights is None:
        return torch.ones_like(like)
    weights = like.new_tensor(class_weights)
    if mode == "multilabel":
        return weights[None, :, None, None].expand_as(like)
    numbers = target.argmax(dim=1) if target.dim() == 4 else target.long()
    return weights[numbers][:, None]


def pixel_mean(
    loss: Tensor,
    target: Tensor,
    *,
    mode: Mode = "multilabel",
    ignore: Tensor | None = None,
    class_weights: Sequence[float] | None = None,
    divide_by: DivideBy = "weights",
) -> Tensor:
    """Average a per-pixel map (B, C or 1, H, W) over the pixels that count.

    divide_by: `weights` divides by the sum of the class weights, as torch does with
    reduction="mean"; `pixels` by the number of pixels, as papers print it.
    """
    if ignore is None and class_weights is None:
        return mean_over_ranks(loss.sum(), loss.numel())
    kept = torch.ones_like(loss) if ignore is None else (~ignore[:, None]).expand_as(loss)
    weight = class_weight_map(loss, target, mode, class_weights) * kept
    divisor = weight if divide_by == "weights" else kept.to(loss.dtype)
    total = over_ranks(torch.stack([(weight * loss).sum(), divisor.sum()]))
    return total[0] / total[1].clamp(min=TINY)


def mean_over_ranks(total: Tensor, number: int) -> Tensor:
    """Divide a sum by how many were added, both over all ranks."""
    sums = over_ranks(torch.stack([total, total.new_tensor(float(number))]))
    return sums[0] / sums[1].clamp(min=TINY)


def over_ranks(sums: Tensor) -> Tensor:
    """Add sums over the ranks of a distributed training step, with gradients.

    Without gradients (validation, where ranks see different numbers of batches) and in a
    single process the sums come back as they are.
    """
    if not (torch.is_grad_enabled() and dist.is_available() and dist.is_initialized()):
        return sums
    return _SumOverRanks.apply(sums)


class _SumOverRanks(torch.autograd.Function):
    """All-reduce whose backward is an all-reduce too.

    Every rank computes the same loss L(S) of the sum S; adding dL/dS over ranks cancels the
    division by the number of ranks in DistributedDataParallel's gradient average.
    """

    @staticmethod
    def forward(ctx: object, sums: Tensor) -> Tensor:
        total = sums.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total
