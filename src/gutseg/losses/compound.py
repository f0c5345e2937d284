"""Sums of losses; the terms stay apart so that a run can log them one by one.

What all of them take besides: see gutseg.losses.rows.
"""

from typing import Literal

import torch
from torch import Tensor

from gutseg.losses.inputs import checked, need_weight
from gutseg.losses.pixel import bce, focal
from gutseg.losses.reductions import (
    Absent,
    ClassWeights,
    Mode,
    NotNegative,
    Reduction,
    mean_over_ranks,
    one_hot,
    probabilities,
)
from gutseg.losses.region import dice, jaccard

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


@checked
def bce_dice(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    annotated: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    dice_weight: NotNegative = 0.5,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> dict[str, Tensor]:
    """BCE + dice_weight · (1 - Dice), as terms `bce` and `dice`.

    BCE carries the empty slices, on which a Dice over present classes says nothing.
    Source: [Xu 2022] sections V.F.4-5, which found 0.5 best (.7006 to .6957, one run).
    """
    shared = {"ignore": ignore, "annotated": annotated, "class_weights": class_weights}
    overlap = dice(logits, target, absent=absent, reduction=reduction, **shared)
    return {"bce": bce(logits, target, **shared), "dice": dice_weight * overlap}


@checked
def d_bce(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    annotated: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    gamma: NotNegative = 1.0,
) -> dict[str, Tensor]:
    """(1 - Dice) + γ BCE. Source: [Su 2021]; [Chen 2023] equation 1, L_D the coefficient."""
    return {
        "dice": dice(logits, target, ignore, annotated),
        "bce": gamma * bce(logits, target, ignore, annotated),
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

    Source: [Chen 2023] equation 2 (BASNet [Qin 2019], UNet 3+), whose L_S must be 1 - SSIM.
    """
    need_weight(weights=sum(weights))
    pixel, region, structure = weights
    return {
        "bce": pixel * bce(logits, target, ignore),
        "iou": region * jaccard(logits, target, ignore),
        "ssim": structure * ssim(logits, target, ignore),
    }


@checked
def ssim(
    logits: Tensor, target: Tensor, ignore: Tensor | None = None, *, mode: Mode = "multilabel"
) -> Tensor:
    """One minus the mean structural similarity of probabilities and target.

    Gaussian window of 11 pixels, σ = 1.5, data range 1, valid positions only; ignored pixels
    are taken for right. Source: [Wang 2004] equation 13.
    """
    p = probabilities(logits, mode)  # (B, C, H, W)
    g = one_hot(target, logits.shape[1]).to(p.dtype)  # (B, C, H, W)
    if ignore is not None:
        p = torch.where(ignore[:, None], g, p)
    size = min(SSIM_WINDOW, *p.shape[2:])
    rows, columns = (_gaussian_band(side, size, p) for side in p.shape[2:])
    # two small matrix products: a third of the time of a convolution on a CPU
    blurred = rows.T @ torch.stack([p, g, p * p + g * g, p * g]) @ columns
    mean_p, mean_g, squares, product = blurred  # (B, C, H - 10, W - 10) each
    spread = squares - mean_p**2 - mean_g**2  # of both, added up
    common = product - mean_p * mean_g
    small, smaller = 0.01**2, 0.03**2
    similar = (2 * mean_p * mean_g + small) / (mean_p**2 + mean_g**2 + small)
    total = similar * (2 * common + smaller) / (spread + smaller)
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

    focal_weight: λ, of which [Zhu 2019] (AnatomyNet) tried .1, .5 and 1; [Chen 2023].
    """
    shared = {"ignore": ignore, "annotated": annotated, "class_weights": class_weights}
    pixels = focal(logits, target, alpha=None, gamma=gamma, **shared)
    return {"dice": dice(logits, target, absent=absent, **shared), "focal": focal_weight * pixels}
