"""What every loss is made of: float32 sums per class, and means of per-pixel maps.

Arguments that mean the same in every loss:

logits: (B, C, H, W). target: (B, C, H, W) in {0, 1} in mode `multilabel` (sigmoid, organs may
overlap); (B, H, W) class numbers, or one-hot, in mode `multiclass` (softmax).
ignore: (B, H, W) bool, True where a pixel counts for nothing. class_weights: C numbers.
reduction: `batch` sums over the whole batch before dividing, `sample` image by image.
absent: what a class without any target pixel adds: `present` nothing, `penalise`
Σp / (Σp + 1), so that false positives cost, `one` the constant 1 of a Dice without smoothing.

Half-precision logits are brought to float32 first: sums over 65,504 overflow float16. Under
distributed training sums are added over ranks before they are divided, not losses averaged.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

Mode = Literal["multilabel", "multiclass"]
Reduction = Literal["batch", "sample"]
Absent = Literal["present", "penalise", "one"]

TINY = 1e-8


def full_precision(logits: Tensor) -> AbstractContextManager:
    """Return a context in which autocast is off for the device of the logits."""
    return torch.autocast(logits.device.type, enabled=False)


def widen(tensor: Tensor) -> Tensor:
    """Return the tensor in float32, or in float64 when it is so already."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def one_hot(target: Tensor, classes: int) -> Tensor:
    """Spread class numbers (B, H, W) over channels (B, C, H, W); one-hot passes through."""
    if target.dim() == 4:
        return target
    return functional.one_hot(target.long(), classes).movedim(-1, 1)


def probabilities(logits: Tensor, mode: Mode) -> Tensor:
    """Sigmoid or softmax of the logits."""
    return logits.sigmoid() if mode == "multilabel" else logits.softmax(dim=1)


@dataclass(frozen=True)
class Sums:
    """Soft counts per (row, class): one row a batch or one a sample. All (R, C)."""

    tp: Tensor
    fp: Tensor
    fn: Tensor
    tn: Tensor

    @property
    def target(self) -> Tensor:
        """Pixels of the class in the target."""
        return self.tp + self.fn


def region_sums(
    logits: Tensor,
    target: Tensor,
    *,
    mode: Mode = "multilabel",
    ignore: Tensor | None = None,
    reduction: Reduction = "batch",
) -> Sums:
    """Return Σpg, Σp(1-g), Σ(1-p)g and Σ(1-p)(1-g) over pixels, and over the batch or not."""
    with full_precision(logits):
        p = probabilities(widen(logits), mode)
        g = one_hot(target, logits.shape[1]).to(p.dtype)
        kept = torch.ones_like(p[:, :1]) if ignore is None else (~ignore[:, None]).to(p.dtype)
        dims = (0, 2, 3) if reduction == "batch" else (2, 3)
        stacked = torch.stack(
            [
                (kept * p * g).sum(dims),
                (kept * p * (1 - g)).sum(dims),
                (kept * (1 - p) * g).sum(dims),
                (kept * (1 - p) * (1 - g)).sum(dims),
            ]
        )
        if reduction == "batch":
            stacked = over_ranks(stacked)[:, None]
        return Sums(*stacked)


def over_classes(
    loss: Tensor,
    sums: Sums,
    *,
    absent: Absent = "present",
    class_weights: Sequence[float] | None = None,
) -> Tensor:
    """Average a region loss (R, C) over rows and classes under the policy for absent ones."""
    present = sums.target > 0
    if absent == "penalise":
        loss = torch.where(present, loss, sums.fp / (sums.fp + 1))
    elif absent == "one":
        loss = torch.where(present, loss, torch.ones_like(loss))
    weight = loss.new_tensor(class_weights or [1.0] * loss.shape[1]).expand_as(loss)
    if absent == "present":
        weight = weight * present
        loss = torch.where(present, loss, 0 * sums.fp)  # keeps the graph when nothing is present
    return (weight * loss).sum() / weight.sum().clamp(min=TINY)


def pixel_mean(
    loss: Tensor,
    *,
    ignore: Tensor | None = None,
    class_weights: Sequence[float] | None = None,
) -> Tensor:
    """Average a per-pixel map (B, C, H, W) over the pixels that count, then over classes."""
    kept = torch.ones_like(loss[:, :1]) if ignore is None else (~ignore[:, None]).to(loss.dtype)
    sums = over_ranks(torch.cat([(kept * loss).sum((0, 2, 3)), kept.sum()[None]]))
    per_class = sums[:-1] / sums[-1].clamp(min=TINY)
    weight = loss.new_tensor(class_weights or [1.0] * loss.shape[1])
    return (weight * per_class).sum() / weight.sum()


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
