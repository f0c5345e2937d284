"""What the seeds printed where it differs from what works, so that their results can be shown.

Never a default. Shared arguments: see gutseg.losses.reductions.
"""

import torch
from torch import Tensor

from gutseg.losses.generalised import generalised_dice, weighted_overlap, with_complement
from gutseg.losses.inputs import checked
from gutseg.losses.reductions import (
    TINY,
    Mode,
    NotNegative,
    full_precision,
    one_hot,
    over_classes,
    pixel_mean,
    probabilities,
    region_sums,
    to_float32,
)
from gutseg.losses.region import tversky


@checked
def soft_dice_001(
    logits: Tensor, target: Tensor, ignore: Tensor | None = None, *, mode: Mode = "multilabel"
) -> Tensor:
    """Minus the mean of 2yp / (y² + p²) over pixels and classes; in [-1, 0].

    The term is 0 wherever y = 0, so false positives are never punished and p = 1 everywhere
    is a minimiser: this explains the row's Dice of .448 in the seed. 0/0 is taken for 0.
    Source: course paper 001 section V.F.3.
    """
    with full_precision(logits):
        p = probabilities(to_float32(logits), mode)
        y = one_hot(target, logits.shape[1]).to(p.dtype)
        ratio = torch.where(y > 0, 2 * y * p / (y * y + p * p).clamp(min=TINY), 0 * p)
        return pixel_mean(-ratio, target, ignore=ignore)


@checked
def dice_as_printed_001(
    logits: Tensor, target: Tensor, ignore: Tensor | None = None, *, mode: Mode = "multilabel"
) -> Tensor:
    """The Dice coefficient itself, without "1 -": minimising it destroys overlap.

    This is the seed's row "Dice cannot be optimised"; its BCE + Dice worked, so its code there
    had another sign. Source: course paper 001 section V.F.2.
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore)
    coefficient = 2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn).clamp(min=TINY)
    return over_classes(coefficient, sums)


@checked
def generalised_dice_as_printed_003(
    logits: Tensor, target: Tensor, ignore: Tensor | None = None, *, mode: Mode = "multilabel"
) -> Tensor:
    """Generalised Dice with w = 1 / Σ(r + p), which makes it a plain mean of Dice losses.

    Source: paper 003 as translated; the original has w = 1 / (Σr)².
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore)
    common, total, _ = with_complement(sums, mode)
    weight = torch.where(total > 0, 1 / total.clamp(min=TINY), 0).detach()
    return weighted_overlap(weight, common, total, sums)


@checked
def asymmetric_as_printed_004(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    beta: NotNegative = 1.5,
) -> Tensor:
    """Asymmetric similarity with β²/(1+β²) on FP: it rewards missing pixels.

    Source: survey 004 equation 7, against its own next sentence.
    """
    share = beta**2 / (1 + beta**2)
    return tversky(logits, target, ignore, mode=mode, alpha=share, beta=1 - share)


@checked
def penalty_as_printed_004(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    k: NotNegative = 2.5,
) -> Tensor:
    """1 - L / (1 + k (1 - L)) with L the generalised Dice *loss*: perfect is 1, worst is 0.

    Source: survey 004 equation 8 read literally.
    """
    loss = generalised_dice(logits, target, ignore, mode=mode)
    return 1 - loss / (1 + k * (1 - loss))
