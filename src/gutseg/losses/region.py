"""Losses that are closed forms of the sums TP, FP, FN and TN of each class.

Shared arguments: see gutseg.losses.reductions.
"""

from torch import Tensor

from gutseg.losses.inputs import checked, need_weight
from gutseg.losses.reductions import (
    TINY,
    Absent,
    ClassWeights,
    Mode,
    NotNegative,
    Positive,
    Reduction,
    Sums,
    over_classes,
    region_sums,
)

# A power below 1 has an infinite gradient at 0, and 0 · inf is NaN on the way back.
SMALLEST_BASE = 1e-7


@checked
def dice(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    squared: bool = False,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> Tensor:
    """One minus the Dice coefficient 2 Σpg / (Σp + Σg), averaged over classes.

    squared: Σp² + Σg² below, as Milletari et al. 2016 (V-Net) have it; the seeds print it
    without squares. Source: thesis 000 equations 2.6-2.9, survey 004.
    """
    sums = region_sums(
        logits, target, mode=mode, ignore=ignore, reduction=reduction, squared=squared
    )
    return over_classes(1 - _dice(sums), sums, absent=absent, class_weights=class_weights)


def _dice(sums: Sums) -> Tensor:
    return 2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn).clamp(min=TINY)


@checked
def jaccard(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> Tensor:
    """One minus the intersection over union TP / (TP + FP + FN). Source: survey 004."""
    sums = region_sums(logits, target, mode=mode, ignore=ignore, reduction=reduction)
    loss = 1 - sums.tp / (sums.tp + sums.fp + sums.fn).clamp(min=TINY)
    return over_classes(loss, sums, absent=absent, class_weights=class_weights)


@checked
def dl2(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> Tensor:
    """Two-class Dice: the mean Dice loss of every class and of its complement.

    A class absent from target and prediction scores 0. Source: Sudre et al. 2017 (paper 003);
    its print adds ε once above and below, which would make that case -1/2.
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore, reduction=reduction)
    inside = (sums.tp + TINY) / (2 * sums.tp + sums.fp + sums.fn + 2 * TINY)
    outside = (sums.tn + TINY) / (2 * sums.tn + sums.fp + sums.fn + 2 * TINY)
    loss = 1 - inside - outside
    return over_classes(loss, sums, absent=absent, class_weights=class_weights)


@checked
def tversky(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    alpha: NotNegative = 0.3,
    beta: NotNegative = 0.7,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> Tensor:
    """One minus TP / (TP + α FP + β FN); β above α raises recall.

    Source: Salehi et al. 2017, arXiv:1706.05721. Survey 004 writes false positives for β.
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore, reduction=reduction)
    loss = 1 - _tversky(sums, alpha, beta)
    return over_classes(loss, sums, absent=absent, class_weights=class_weights)


def _tversky(sums: Sums, alpha: float, beta: float) -> Tensor:
    need_weight(alpha=alpha, beta=beta)
    return sums.tp / (sums.tp + alpha * sums.fp + beta * sums.fn).clamp(min=TINY)


@checked
def focal_tversky(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    alpha: NotNegative = 0.3,
    beta: NotNegative = 0.7,
    gamma: Positive = 4 / 3,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> Tensor:
    """(1 - Tversky index)^(1/γ), class by class.

    Source: Abraham and Khan 2018, whose α sits on FN where Salehi's sits on FP: here α is FP.
    With γ = 4/3 the gradient grows towards easy classes (2.4 at an index of .99, .8 at .1):
    the claim that it focuses on hard ones needs an exponent above 1, γ below 1.
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore, reduction=reduction)
    loss = (1 - _tversky(sums, alpha, beta)).clamp(min=SMALLEST_BASE) ** (1 / gamma)
    return over_classes(loss, sums, absent=absent, class_weights=class_weights)


@checked
def focal_dice(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    beta: Positive = 2.0,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> Tensor:
    """1 - Dice^(1/β), averaged over classes.

    Source: Wang and Chung 2018; survey 004 equation 5 with D the coefficient, not the loss.
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore, reduction=reduction)
    loss = 1 - _dice(sums).clamp(min=SMALLEST_BASE) ** (1 / beta)
    return over_classes(loss, sums, absent=absent, class_weights=class_weights)


@checked
def asymmetric(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    beta: NotNegative = 1.5,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> Tensor:
    """Asymmetric similarity: Tversky with FN weighing β²/(1+β²) and FP the rest.

    β = 1 is Dice. Source: Hashemi et al. 2018; `asymmetric_as_printed_004` has them swapped.
    """
    share = beta**2 / (1 + beta**2)
    return tversky(
        logits,
        target,
        ignore,
        mode=mode,
        alpha=1 - share,
        beta=share,
        class_weights=class_weights,
        absent=absent,
        reduction=reduction,
    )
