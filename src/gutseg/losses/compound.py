"""Sums of losses; the terms stay apart so that a run can log them one by one.

Shared arguments: see gutseg.losses.reductions.
"""

from typing import Literal

import torch
from torch import Tensor

from gutseg.losses.distribution import bce, focal_map
from gutseg.losses.inputs import checked, need_weight
from gutseg.losses.reductions import (
    Absent,
    ClassWeights,
    Mode,
    NotNegative,
    Reduction,
    full_precision,
    mean_over_ranks,
    one_hot,
    over_classes,
    over_ranks,
    probabilities,
    region_sums,
    to_float32,
)
from gutseg.losses.region import dice, jaccard

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


@checked
def bce_dice(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    dice_weight: NotNegative = 0.5,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> dict[str, Tensor]:
    """BCE + dice_weight · (1 - Dice), as terms `bce` and `dice`.

    BCE carries the empty slices, on which a Dice over present classes says nothing.
    Source: course paper 001 sections V.F.4-5, which found 0.5 best (.7006 to .6957, one run).
    """
    overlap = dice(
        logits,
        target,
        ignore,
        mode=mode,
        class_weights=class_weights,
        absent=absent,
        reduction=reduction,
    )
    pixels = bce(logits, target, ignore, class_weights=class_weights)
    return {"bce": pixels, "dice": dice_weight * overlap}


@checked
def d_bce(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    gamma: NotNegative = 1.0,
) -> dict[str, Tensor]:
    """(1 - Dice) + γ BCE. Source: survey 004 equation 1 with L_D the coefficient."""
    return {
        "dice": dice(logits, target, ignore, mode=mode),
        "bce": gamma * bce(logits, target, ignore),
    }


@checked
def bce_iou_ssim(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    weights: tuple[NotNegative, NotNegative, NotNegative] = (1.0, 1.0, 1.0),
) -> dict[str, Tensor]:
    """W1 BCE + W2 (1 - IoU) + W3 (1 - SSIM): pixel, region and structure.

    Source: survey 004 equation 2 (BASNet, UNet3+), whose L_S must be 1 - SSIM.
    """
    need_weight(weights=sum(weights))
    pixel, region, structure = weights
    return {
        "bce": pixel * bce(logits, target, ignore),
        "iou": region * jaccard(logits, target, ignore, mode=mode),
        "ssim": structure * ssim_loss(logits, target, ignore, mode=mode),
    }


@checked
def ssim_loss(
    logits: Tensor, target: Tensor, ignore: Tensor | None = None, *, mode: Mode = "multilabel"
) -> Tensor:
    """One minus the mean structural similarity of probabilities and target.

    Gaussian window of 11 pixels, σ = 1.5, data range 1, valid positions only; ignored pixels
    are taken for right. Source: Wang et al. 2004 equation 13.
    """
    with full_precision(logits):
        p = probabilities(to_float32(logits), mode)
        g = one_hot(target, logits.shape[1]).to(p.dtype)
        if ignore is not None:
            p = torch.where(ignore[:, None], g, p)
        size = min(SSIM_WINDOW, *p.shape[2:])
        rows, columns = (_gaussian_band(side, size, p) for side in p.shape[2:])
        # two small matrix products: a third of the time of a convolution on a CPU
        blurred = rows.T @ torch.stack([p, g, p * p, p * g]) @ columns
        mean_p, mean_g, square_p, product = blurred
        spread_p, spread_g = square_p - mean_p**2, mean_g - mean_g**2  # g² = g
        common = product - mean_p * mean_g
        small, smaller = 0.01**2, 0.03**2
        similar = (2 * mean_p * mean_g + small) / (mean_p**2 + mean_g**2 + small)
        structure = (2 * common + smaller) / (spread_p + spread_g + smaller)
        total = similar * structure
        return 1 - mean_over_ranks(total.sum(), total.numel())


def _gaussian_band(side: int, size: int, like: Tensor) -> Tensor:
    """(side, side - size + 1) matrix whose columns are the Gaussian window, one step down each."""
    steps = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    window = torch.exp(-(steps**2) / (2 * SSIM_SIGMA**2))
    first = torch.arange(side - size + 1, device=like.device)
    band = like.new_zeros(side, side - size + 1)
    for step, weight in enumerate(window / window.sum()):
        band[first + step, first] = weight
    return band


@checked
def dice_focal(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    annotated: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    focal_weight: NotNegative = 0.5,
    gamma: NotNegative = 2.0,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
) -> dict[str, Tensor]:
    """(1 - Dice) + λ focal loss, leaving out classes that were not annotated in an image.

    annotated: (B, C) bool. focal_weight: λ, of which the paper tried .1, .5 and 1.
    Source: Zhu et al. 2019 (AnatomyNet); survey 004.
    """
    sums = region_sums(logits, target, mode=mode, ignore=ignore, annotated=annotated)
    overlap = 1 - 2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn).clamp(min=1e-8)
    region = over_classes(overlap, sums, absent=absent, class_weights=class_weights)
    with full_precision(logits):
        loss = focal_map(logits, target, mode, None, gamma)
        kept = torch.ones_like(loss) if ignore is None else (~ignore[:, None]).expand_as(loss)
        if annotated is not None:
            kept = kept * annotated[:, :, None, None]
        weight = loss.new_tensor(class_weights or [1.0] * loss.shape[1])
        kept = kept * weight[:, None, None]
        total, number = over_ranks(torch.stack([(kept * loss).sum(), kept.sum()]))
    return {"dice": region, "focal": focal_weight * total / number.clamp(min=1e-8)}
