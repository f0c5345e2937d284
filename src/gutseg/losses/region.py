"""Losses made of overlap sums. Shared arguments: see gutseg.losses.kernels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gutseg.losses.kernels import (
    TINY,
    Absent,
    Mode,
    Reduction,
    full_precision,
    one_hot,
    over_classes,
    pixel_mean,
    probabilities,
    region_sums,
    widen,
)


def dice(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    class_weights: Sequence[float] | None = None,
    absent: Absent = "present",
    reduction: Reduction = "batch",
) -> Tensor:
    """One minus the Dice coefficient 2 TP / (2 TP + FP + FN), averaged over classes.

    Source: thesis 000 equations 2.6-2.9; Milletari et al. 2016 square the denominator.
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore, reduction=reduction)
    loss = 1 - 2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn).clamp(min=TINY)
    return over_classes(loss, sums, absent=absent, class_weights=class_weights)


def soft_dice_001(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    class_weights: Sequence[float] | None = None,
) -> Tensor:
    """Minus the mean of 2yp / (y² + p²) over pixels; in [-1, 0].

    The term is 0 wherever y = 0, so false positives are never punished and p = 1 everywhere
    is a minimiser: this explains the row's Dice of .448 in the seed. Source: course paper 001,
    section V.F.3, as printed, with 0/0 defined as 0.
    """
    with full_precision(logits):
        p = probabilities(widen(logits), mode)
        y = one_hot(target, logits.shape[1]).to(p.dtype)
        ratio = torch.where(y > 0, 2 * y * p / (y * y + p * p).clamp(min=TINY), 0 * p)
        return pixel_mean(-ratio, ignore=ignore, class_weights=class_weights)
