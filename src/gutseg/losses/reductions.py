"""What losses are made of: sums per class, and means of per-pixel maps, in float32.

Half-precision logits are brought to float32 first (gutseg.losses.inputs): sums over 65,504
overflow float16. Under distributed training sums are added over ranks before they are divided,
not losses averaged: those of pixels under `batch`, those of (image, class) losses under `sample`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from gutseg.settings import Mode, NotNegative

Reduction = Literal["batch", "sample"]
Absent = Literal["skip", "penalise", "one"]
DivideBy = Literal["weights", "pixels"]
ClassWeights = Sequence[NotNegative] | None

TINY = 1e-8


@dataclass(frozen=True)
class Pixels:
    """What every loss is called with, and a formula of pixels sees."""

    # (B, C, H, W) in float32 or float64
    logits: Tensor
    # (B, C, H, W) or, of class numbers, (B, H, W)
    target: Tensor
    # (B, H, W)
    ignore: Tensor | None = None
    mode: Mode = field(kw_only=True)

    @cached_property
    def p(self) -> Tensor:
        """Probabilities (B, C, H, W): sigmoids or a softmax of the logits."""
        return self.logits.sigmoid() if self.mode == "multilabel" else self.logits.softmax(dim=1)

    @cached_property
    def g(self) -> Tensor:
        """Labels (B, C, H, W); class numbers are spread over channels."""
        if self.target.dim() == 4:
            return self.target.to(self.logits.dtype)
        # torch's one_hot makes eight bytes a pixel and class
        planes = self.logits.new_zeros(self.logits.shape)
        return planes.scatter_(1, self.target.long()[:, None], 1.0)

    @cached_property
    def entropy(self) -> Tensor:
        """Cross-entropies -Σ g log p: (B, C, H, W) of sigmoids, (B, 1, H, W) of a softmax."""
        if self.mode == "multiclass":
            return -self.of_the_truth(self.logits.log_softmax(dim=1))
        return functional.binary_cross_entropy_with_logits(self.logits, self.g, reduction="none")

    @property
    def kept(self) -> Tensor:
        """1 where a pixel counts, else 0, of any type: (B, C, H, W)."""
        if self.ignore is None:
            return torch.ones_like(self.logits)
        return (~self.ignore[:, None]).expand_as(self.logits)

    def of_the_truth(self, planes: Tensor) -> Tensor:
        """All planes of sigmoids; of a softmax that of each pixel's label: (B, 1, H, W)."""
        if self.mode == "multilabel":
            return planes
        if self.target.dim() == 4:
            return (planes * self.target).sum(1, keepdim=True)
        return planes.gather(1, self.target.long()[:, None])

    def mean(
        self,
        loss: Tensor,
        annotated: Tensor | None = None,
        class_weights: Sequence[float] | None = None,
        divide_by: DivideBy = "weights",
    ) -> Tensor:
        """Average (B, C or 1, H, W) over the pixels that count; weights as in rows.pixel_loss."""
        if self.ignore is None and annotated is None and class_weights is None:
            return ratio_over_ranks(loss.sum(), loss.numel())
        kept = self.kept[:, : loss.shape[1]]  # as the loss
        if annotated is not None:
            kept = kept * annotated[:, :, None, None]
        # once: every product and sum with bool would make a copy in the type of the loss
        weight = kept = kept.to(loss.dtype)
        if class_weights is not None:
            planes = loss.new_tensor(class_weights)[:, None, None].expand_as(self.logits)
            # a map of every class is weighted by channel
            weight = kept * (planes if loss.shape[1] > 1 else self.of_the_truth(planes))
        divisor = weight if divide_by == "weights" else kept
        return ratio_over_ranks((weight * loss).sum(), divisor.sum())

    def hardest_mean(
        self, losses: Tensor, scores: Tensor, count: Callable[[Tensor], int]
    ) -> Tensor:
        """Mean of the losses of each image's highest scores, count(scores) of them."""
        sums, numbers = [], []
        for image, (loss, score) in enumerate(zip(losses, scores.detach(), strict=True)):
            kept: slice | Tensor = slice(None)
            if self.ignore is not None:
                kept = ~self.ignore[image].expand_as(loss).flatten()
            values, ranked = loss.flatten()[kept], score.flatten()[kept]
            number = min(max(count(ranked), 1), len(values))
            sums.append(values[ranked.topk(number).indices].sum())
            numbers.append(number)
        return ratio_over_ranks(torch.stack(sums).sum(), sum(numbers))


@dataclass(frozen=True)
class Sums:
    """Soft counts of every class, in one row a batch or one a sample. All (R, C)."""

    # Σ min(p, g), of squares Σpg
    tp: Tensor
    # Σp, of squares Σp²
    predicted: Tensor
    # Σg, of squares Σg²
    target: Tensor
    # how many count: neither ignored nor of a class that was not annotated
    pixels: Tensor
    # the rows are of all ranks, so that every rank has the same
    gathered: bool
    mode: Mode

    @property
    def fp(self) -> Tensor:
        """What is predicted and not there."""
        return self.predicted - self.tp

    @property
    def fn(self) -> Tensor:
        """What is there and not predicted."""
        return self.target - self.tp

    @property
    def tn(self) -> Tensor:
        """What is neither there nor predicted."""
        return self.pixels - self.predicted - self.target + self.tp


def region_sums(
    x: Pixels, annotated: Tensor | None, reduction: Reduction, squared: bool = False
) -> Sums:
    """Sum over pixels, and over the batch or not; squared: p² and g² for p and g in the sizes."""
    p, g = x.p, x.g  # (B, C, H, W)
    pixels = p.new_full(p.shape[:2], p[0, 0].numel())  # (B, C)
    if x.ignore is not None:
        kept = ~x.ignore[:, None]  # (B, 1, H, W)
        p, g = p * kept, g * kept
        pixels = kept.sum((2, 3)).to(p.dtype).expand_as(pixels)
    if squared:
        sizes = [(one * other).sum((2, 3)) for one, other in ((p, g), (p, p), (g, g))]
    else:
        sizes = [*_Overlap.apply(p, g), g.sum((2, 3))]
    sums = torch.stack([*sizes, pixels])  # (4, B, C)
    if annotated is not None:
        sums = sums * annotated
    if reduction == "batch":
        sums = over_ranks(sums.sum(dim=1))[:, None]  # (4, 1, C)
    tp, predicted, target, pixels = sums  # (R, C) each
    return Sums(tp, predicted, target, pixels, reduction == "batch", x.mode)


class _Overlap(torch.autograd.Function):
    """Σ min(p, g) and Σp of every plane, as fast as Σpg, which is the same for g of 0 and 1.

    Autograd's own gradient of min() takes twice the time.
    """

    @staticmethod
    def forward(ctx: Any, p: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(p, g)
        return torch.minimum(p, g).sum((2, 3)), p.sum((2, 3))

    @staticmethod
    def backward(ctx: Any, overlap: Tensor, size: Tensor) -> tuple[Tensor, None]:
        p, g = ctx.saved_tensors
        # 1.0 where p < g; written as a float, and at once, it costs a third of a mask and where()
        below = torch.gt(g, p, out=torch.empty_like(p))
        return below.mul_(overlap[..., None, None]).add_(size[..., None, None]), None


def over_classes(
    loss: Tensor, sums: Sums, *, absent: Absent, class_weights: Sequence[float] | None
) -> Tensor:
    """Average a region loss (R, C) over rows and classes under the policy for absent ones."""
    present = kept = sums.target > 0
    if absent != "skip":
        missed = sums.fp / (sums.fp + 1) if absent == "penalise" else torch.ones_like(loss)
        loss = torch.where(present, loss, missed)
        kept = sums.pixels > 0
    weight = loss.new_tensor(class_weights or [1.0] * loss.shape[1]) * kept
    loss = torch.where(kept, loss, 0 * sums.fp)  # keeps the graph when nothing is kept
    return mean_of_rows((weight * loss).sum(), weight.sum(), sums)


def mean_of_rows(total: Tensor, number: Tensor, sums: Sums) -> Tensor:
    """Divide a sum over rows by how many were added, over all ranks where each has its own."""
    return total / number.clamp(min=TINY) if sums.gathered else ratio_over_ranks(total, number)


def ratio_over_ranks(total: Tensor, divisor: Tensor | int) -> Tensor:
    """Divide a sum by another, or by how many were added, both over all ranks; 0 / 0 is 0."""
    divisor = divisor if isinstance(divisor, Tensor) else total.new_tensor(float(divisor))
    sums = over_ranks(torch.stack([total, divisor]))
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
        return _SumOverRanks.apply(gradient)
