"""Losses that are closed forms of the sums TP, FP, FN and TN of each class."""

from typing import Literal

import torch
from torch import Tensor

from gutseg.losses.inputs import need_weight
from gutseg.losses.reductions import TINY, Pixels, Sums, mean_of_rows, over_ranks
from gutseg.losses.rows import class_set_loss, loss, region_loss
from gutseg.settings import NotNegative, Positive, Share

Weighting = Literal["square", "simple", "uniform"]
# A power below 1 has an infinite gradient at 0, and 0 · inf is NaN on the way back.
SMALLEST_BASE = 1e-7


def _dice(sums: Sums) -> Tensor:
    return 2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn).clamp(min=TINY)


def _tversky(sums: Sums, alpha: float, beta: float) -> Tensor:
    need_weight(alpha=alpha, beta=beta)
    return sums.tp / (sums.tp + alpha * sums.fp + beta * sums.fn).clamp(min=TINY)


@region_loss
def dice(sums: Sums, *, squared: bool = False) -> Tensor:
    """One minus the Dice coefficient 2 Σpg / (Σp + Σg), averaged over classes.

    squared: Σp² + Σg² below, as [Milletari 2016] (V-Net) has it; [Tongji 2022] (equations 2.6 to
    2.9) and [Chen 2023] print it without squares.
    """
    return 1 - _dice(sums)  # `squared` has decided what the sums are


@region_loss
def jaccard(sums: Sums) -> Tensor:
    """One minus the intersection over union TP / (TP + FP + FN). Source: [Chen 2023]."""
    return 1 - sums.tp / (sums.tp + sums.fp + sums.fn).clamp(min=TINY)


@region_loss
def dl2(sums: Sums) -> Tensor:
    """Two-class Dice: the mean Dice loss of every class and of its complement.

    A class absent from target and prediction scores 0. Source: [Sudre 2017], whose print adds ε
    once above and below, which would make that case -1/2.
    """
    wrong = sums.fp + sums.fn
    inside = (sums.tp + TINY) / (2 * sums.tp + wrong + 2 * TINY)
    outside = (sums.tn + TINY) / (2 * sums.tn + wrong + 2 * TINY)
    return 1 - inside - outside


@region_loss
def tversky(sums: Sums, *, alpha: NotNegative = 0.3, beta: NotNegative = 0.7) -> Tensor:
    """One minus TP / (TP + α FP + β FN); β above α raises recall.

    Source: [Salehi 2017]. [Chen 2023] writes false positives for β.
    """
    return 1 - _tversky(sums, alpha, beta)


@region_loss
def focal_tversky(
    sums: Sums, *, alpha: NotNegative = 0.3, beta: NotNegative = 0.7, gamma: Positive = 4 / 3
) -> Tensor:
    """(1 - Tversky index)^(1/γ), class by class.

    Source: [Abraham 2018], whose α sits on FN where [Salehi 2017] has it on FP: here α is FP.
    With γ = 4/3 the gradient grows towards easy classes (2.4 at an index of .99, .8 at .1):
    the claim that it focuses on hard ones needs an exponent above 1, γ below 1.
    """
    return (1 - _tversky(sums, alpha, beta)).clamp(min=SMALLEST_BASE) ** (1 / gamma)


@region_loss
def focal_dice(sums: Sums, *, beta: Positive = 2.0) -> Tensor:
    """1 - Dice^(1/β), averaged over classes.

    Source: [Wang 2018]; [Chen 2023] equation 5 with D the coefficient, not the loss.
    """
    return 1 - _dice(sums).clamp(min=SMALLEST_BASE) ** (1 / beta)


@region_loss
def asymmetric(sums: Sums, *, beta: NotNegative = 1.5) -> Tensor:
    """Asymmetric similarity: Tversky with β²/(1+β²) on FN and the rest on FP.

    β = 1 is Dice. Source: [Hashemi 2018]; `asymmetric_as_printed` has them swapped.
    """
    share = beta**2 / (1 + beta**2)
    return 1 - _tversky(sums, 1 - share, share)


@class_set_loss
def generalised_dice(sums: Sums, *, weighting: Weighting = "square") -> Tensor:
    """One minus 2 Σ w TP / Σ w (2 TP + FP + FN) over classes l, w = 1 / (Σr)².

    weighting: `simple` 1 / Σr, `uniform` 1. A class without target pixels has no weight.
    multiclass: the sums run over the C classes; multilabel: over a class and its complement,
    and the result is averaged over the C. Source: [Sudre 2017] and NiftyNet [Gibson 2018]; the
    print's w = 1 / Σ(r+p) is `generalised_dice_as_printed`.
    """
    return _generalised(sums, weighting)


@class_set_loss
def penalty_generalised_dice(
    sums: Sums, *, k: NotNegative = 2.5, weighting: Weighting = "square"
) -> Tensor:
    """(1 + k) L / (1 + k L) of the generalised Dice loss L; k = 0 is L itself.

    Source: [Yang 2019]; [Chen 2023] equation 8 with L_G the score, as k = 0 requires.
    """
    plain = _generalised(sums, weighting)
    return (1 + k) * plain / (1 + k * plain)


def _generalised(sums: Sums, weighting: Weighting) -> Tensor:
    power = {"square": 2, "simple": 1, "uniform": 0}[weighting]
    common, total, size = _with_complement(sums)
    weight = torch.where(size > 0, size.clamp(min=1) ** -power, 0)
    return _weighted_overlap(weight, common, total, sums)


def _with_complement(sums: Sums) -> tuple[Tensor, Tensor, Tensor]:
    """TP, 2TP + FP + FN and target pixels: (R, C), for multilabel (R · C, 2) with TN as TP."""
    wrong = sums.fp + sums.fn
    if sums.mode == "multiclass":
        return sums.tp, 2 * sums.tp + wrong, sums.target
    pairs = (
        (sums.tp, sums.tn),
        (2 * sums.tp + wrong, 2 * sums.tn + wrong),
        # not TN + FP, of which rounding can leave a rest where a class is everywhere
        (sums.target, sums.pixels - sums.target),
    )
    overlap, total, target = (torch.stack(pair, dim=-1).flatten(0, 1) for pair in pairs)
    return overlap, total, target


def _weighted_overlap(weight: Tensor, common: Tensor, total: Tensor, sums: Sums) -> Tensor:
    """One minus 2 Σ w TP / Σ w (2 TP + FP + FN) over classes, averaged over rows with any."""
    # relative weights: 1 / V² of 10,000 pixels would meet the guard against 0 / 0
    weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-30)
    overlap = 2 * (weight * common).sum(1) / (weight * total).sum(1).clamp(min=TINY)
    kept = weight.sum(1) > 0
    return mean_of_rows(((1 - overlap) * kept).sum(), kept.sum().to(overlap.dtype), sums)


@loss
def sensitivity_specificity(x: Pixels, *, sensitivity: Share = 0.05) -> Tensor:
    """Mean squared error of the positives times λ, plus that of the negatives times 1 - λ.

    Class by class over the batch, then averaged; a class without positives (or negatives) has
    no such term. λ = sensitivity: .01 to .10 did alike in NiftyNet, which swaps the names.
    Source: [Brosch 2015]; [Sudre 2017].
    """
    kept = x.kept.to(x.p.dtype)  # (B, C, H, W)
    error = kept * (x.g - x.p) ** 2
    parts = (error * x.g, error * (1 - x.g), kept * x.g, kept * (1 - x.g))
    sums = over_ranks(torch.stack([part.sum((0, 2, 3)) for part in parts]))  # (4, C)
    missed, invented = sums[:2] / sums[2:].clamp(min=1)
    return (sensitivity * missed + (1 - sensitivity) * invented).mean()


# As printed where that differs from what works, so that the results can be shown; never a default.


@region_loss
def dice_as_printed(sums: Sums) -> Tensor:
    """The Dice coefficient itself, without "1 -": minimising it destroys overlap.

    This is the row "Dice cannot be optimised" of [Xu 2022]; its BCE + Dice worked, so its code
    there had another sign. Source: [Xu 2022] section V.F.2.
    """
    return _dice(sums)


@class_set_loss
def generalised_dice_as_printed(sums: Sums) -> Tensor:
    """Generalised Dice with w = 1 / Σ(r + p), which makes it a plain mean of Dice losses.

    Source: [Sudre 2017] as translated; the original has w = 1 / (Σr)².
    """
    common, total, _ = _with_complement(sums)
    weight = torch.where(total > 0, 1 / total.clamp(min=TINY), 0).detach()
    return _weighted_overlap(weight, common, total, sums)


@region_loss
def asymmetric_as_printed(sums: Sums, *, beta: NotNegative = 1.5) -> Tensor:
    """Asymmetric similarity with β²/(1+β²) on FP: it rewards missing pixels.

    Source: [Chen 2023] equation 7, against its own next sentence.
    """
    share = beta**2 / (1 + beta**2)
    return 1 - _tversky(sums, share, 1 - share)


@class_set_loss
def penalty_as_printed(sums: Sums, *, k: NotNegative = 2.5) -> Tensor:
    """1 - L / (1 + k (1 - L)) with L the generalised Dice *loss*: perfect is 1, worst is 0.

    Source: [Chen 2023] equation 8 read literally.
    """
    plain = _generalised(sums, "square")
    return 1 - plain / (1 + k * (1 - plain))
