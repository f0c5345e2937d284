"""Generalised Dice and its relatives: classes weighed by their size inside one fraction.

Shared arguments: see gutseg.losses.reductions.
"""

from typing import Literal

import torch
from torch import Tensor

from gutseg.losses.inputs import checked
from gutseg.losses.reductions import (
    TINY,
    Mode,
    NotNegative,
    Reduction,
    Share,
    Sums,
    full_precision,
    mean_of_rows,
    one_hot,
    over_ranks,
    probabilities,
    region_sums,
    to_float32,
)


@checked
def generalised_dice(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    weighting: Literal["square", "simple", "uniform"] = "square",
    reduction: Reduction = "batch",
) -> Tensor:
    """One minus 2 Σ w TP / Σ w (2 TP + FP + FN) over classes l, w = 1 / (Σr)².

    weighting: `simple` 1 / Σr, `uniform` 1. A class without target pixels has no weight.
    multiclass: the sums run over the C classes; multilabel: over a class and its complement,
    and the result is averaged over the C. Source: Sudre et al. 2017 (paper 003) and NiftyNet;
    the print's w = 1 / Σ(r+p) is `generalised_dice_as_printed_003`.
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore, reduction=reduction)
    power = {"square": 2, "simple": 1, "uniform": 0}[weighting]
    common, total, size = with_complement(sums, mode)
    weight = torch.where(size > 0, size.clamp(min=1) ** -power, 0)
    return weighted_overlap(weight, common, total, sums)


def with_complement(sums: Sums, mode: Mode) -> tuple[Tensor, Tensor, Tensor]:
    """TP, 2TP + FP + FN and target pixels: (R, C), for multilabel (R · C, 2) with TN as TP."""
    common, size = sums.tp, sums.target
    total = 2 * sums.tp + sums.fp + sums.fn
    if mode == "multiclass":
        return common, total, size
    pairs = (
        (common, sums.tn),
        (total, 2 * sums.tn + sums.fp + sums.fn),
        (size, sums.tn + sums.fp),
    )
    common, total, size = (torch.stack(pair, dim=-1).flatten(0, 1) for pair in pairs)
    # (1-p)(1-g) sums in float32: an absent class can leave a rest of rounding
    return common, total, size.round()


def weighted_overlap(weight: Tensor, common: Tensor, total: Tensor, sums: Sums) -> Tensor:
    """One minus 2 Σ w TP / Σ w (2 TP + FP + FN) over classes, averaged over rows with any.

    sums: what weight, common and total were made of.
    """
    # relative weights: 1 / V² of 10,000 pixels would meet the guard against 0 / 0
    weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-30)
    overlap = 2 * (weight * common).sum(1) / (weight * total).sum(1).clamp(min=TINY)
    kept = weight.sum(1) > 0
    return mean_of_rows(((1 - overlap) * kept).sum(), kept.sum().to(overlap.dtype), sums)


@checked
def penalty_generalised_dice(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    k: NotNegative = 2.5,
    weighting: Literal["square", "simple", "uniform"] = "square",
    reduction: Reduction = "batch",
) -> Tensor:
    """(1 + k) L / (1 + k L) of the generalised Dice loss L; k = 0 is L itself.

    Source: Yang et al. 2019; survey 004 equation 8 with L_G the score, as k = 0 requires.
    """
    loss = generalised_dice(
        logits, target, ignore, mode=mode, weighting=weighting, reduction=reduction
    )
    return (1 + k) * loss / (1 + k * loss)


@checked
def sensitivity_specificity(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    sensitivity: Share = 0.05,
) -> Tensor:
    """Mean squared error of the positives times λ, plus that of the negatives times 1 - λ.

    Class by class over the batch, then averaged; a class without positives (or negatives) has
    no such term. λ = sensitivity: .01 to .10 did alike in NiftyNet, which swaps the names.
    Source: Brosch et al. 2015; paper 003.
    """
    with full_precision(logits):
        p = probabilities(to_float32(logits), mode)
        g = one_hot(target, logits.shape[1]).to(p.dtype)
        kept = torch.ones_like(p) if ignore is None else (~ignore[:, None]).expand_as(p).to(p.dtype)
        error = kept * (g - p) ** 2
        parts = (error * g, error * (1 - g), kept * g, kept * (1 - g))
        wrong, false, positives, negatives = over_ranks(
            torch.stack([part.sum((0, 2, 3)) for part in parts])
        )
        missed, invented = wrong / positives.clamp(min=1), false / negatives.clamp(min=1)
        return (sensitivity * missed + (1 - sensitivity) * invented).mean()
