"""Sums of losses; the terms stay apart so that a run can log them one by one."""

import torch
from torch import Tensor

from gutseg.losses.inputs import need_weight
from gutseg.losses.pixel import bce, focal
from gutseg.losses.reductions import Absent, ClassWeights, Pixels, Reduction, ratio_over_ranks
from gutseg.losses.region import dice, jaccard
from gutseg.losses.rows import MULTILABEL, Mask, loss
from gutseg.settings import NotNegative

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
Terms = dict[str, Tensor]


@loss(modes=MULTILABEL)
def bce_dice(
    x: Pixels,
    annotated: Mask = None,
    *,
    dice_weight: NotNegative = 0.5,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
) -> Terms:
    """BCE + dice_weight · (1 - Dice), as terms `bce` and `dice`.

    BCE carries the empty slices, on which a Dice over present classes says nothing.
    Source: [Xu 2022] sections V.F.4-5, which found 0.5 best (.7006 to .6957, one run).
    """
    given = (x.logits, x.target, x.ignore, annotated)
    overlap = dice(*given, class_weights=class_weights, absent=absent, reduction=reduction)
    return {"bce": bce(*given, class_weights=class_weights), "dice": dice_weight * overlap}


@loss(modes=MULTILABEL)
def d_bce(x: Pixels, annotated: Mask = None, *, gamma: NotNegative = 1.0) -> Terms:
    """(1 - Dice) + γ BCE. Source: [Su 2021]; [Chen 2023] equation 1, L_D the coefficient."""
    given = (x.logits, x.target, x.ignore, annotated)
    return {"dice": dice(*given), "bce": gamma * bce(*given)}


@loss(modes=MULTILABEL, planar=True)
def bce_iou_ssim(
    x: Pixels, *, weights: tuple[NotNegative, NotNegative, NotNegative] = (1.0, 1.0, 1.0)
) -> Terms:
    """W1 BCE + W2 (1 - IoU) + W3 (1 - SSIM): pixel, region and structure.

    Source: [Chen 2023] equation 2 (BASNet [Qin 2019], UNet 3+), whose L_S must be 1 - SSIM.
    """
    need_weight(weights=sum(weights))
    parts = {"bce": bce, "iou": jaccard, "ssim": ssim}
    return {
        name: weight * part(x.logits, x.target, x.ignore)
        for weight, (name, part) in zip(weights, parts.items(), strict=True)
    }


@loss(modes=MULTILABEL)
def dice_focal(
    x: Pixels,
    annotated: Mask = None,
    *,
    focal_weight: NotNegative = 0.5,
    gamma: NotNegative = 2.0,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
) -> Terms:
    """(1 - Dice) + λ focal loss, leaving out classes that were not annotated in an image.

    focal_weight: λ, of which [Zhu 2019] (AnatomyNet) tried .1, .5 and 1; [Chen 2023].
    """
    given = (x.logits, x.target, x.ignore, annotated)
    pixels = focal(*given, alpha=None, gamma=gamma, class_weights=class_weights)
    overlap = dice(*given, class_weights=class_weights, absent=absent)
    return {"dice": overlap, "focal": focal_weight * pixels}


@loss(planar=True)
def ssim(x: Pixels) -> Tensor:
    """One minus the mean structural similarity of probabilities and target.

    Gaussian window of 11 pixels, σ = 1.5, data range 1, valid positions only; ignored pixels
    are taken for correct. Source: [Wang 2004] equation 13.
    """
    p = x.p if x.ignore is None else torch.where(x.ignore[:, None], x.g, x.p)  # (B, C, H, W)
    size = min(SSIM_WINDOW, *p.shape[2:])
    rows, columns = (_gaussian_band(side, size, p) for side in p.shape[2:])
    # two small matrix products: a third of the time of a convolution on a CPU
    blurred = rows.T @ torch.stack([p, x.g, p * p + x.g * x.g, p * x.g]) @ columns
    mean_p, mean_g, squares, product = blurred  # (B, C, H - 10, W - 10) each
    spread = squares - mean_p**2 - mean_g**2  # of both, added up
    common = product - mean_p * mean_g
    small, smaller = 0.01**2, 0.03**2
    similar = (2 * mean_p * mean_g + small) / (mean_p**2 + mean_g**2 + small)
    total = similar * (2 * common + smaller) / (spread + smaller)
    return 1 - ratio_over_ranks(total.sum(), total.numel())


def _gaussian_band(side: int, size: int, like: Tensor) -> Tensor:
    """(side, side - size + 1) matrix whose columns are the Gaussian window, one step down each."""
    steps = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    window = torch.exp(-(steps**2) / (2 * SSIM_SIGMA**2))
    first = torch.arange(side - size + 1, device=like.device)
    band = like.new_zeros(side, side - size + 1)
    for step, weight in enumerate(window / window.sum()):
        band[first + step, first] = weight
    return band
