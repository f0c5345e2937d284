"""Losses made of a per-pixel map times a weight or a selection.

The names of map arguments (distance, band, border, lesion, signed) are keys of
gutseg.data.maps.MAPS, which draws them in the data workers after the geometric augmentation.
What all of them take besides: see gutseg.losses.rows.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from gutseg.losses.inputs import checked, need_weight
from gutseg.losses.reductions import (
    MOST,
    TINY,
    Count,
    DivideBy,
    Mode,
    NotNegative,
    Share,
    cross_entropy,
    of_the_truth,
    one_hot,
    over_ranks,
    pixel_mean,
    probabilities,
    ratio_over_ranks,
)
from gutseg.losses.rows import hard_pixel_loss, pixel_loss

HardPixels = tuple[Tensor, Tensor, Callable[[Tensor], int | Tensor]]


@pixel_loss
def bce(logits: Tensor, target: Tensor, mode: Literal["multilabel"]) -> Tensor:
    """Binary cross-entropy, averaged over pixels and classes.

    [Xu 2022] divides by the pixels alone, which is C times as much.
    """
    return cross_entropy(logits, target, mode)


@pixel_loss
def ce(logits: Tensor, target: Tensor, mode: Literal["multiclass"]) -> Tensor:
    """Softmax cross-entropy; with class_weights the WCE of [Chen 2023] and [Tongji 2022].

    divide_by="pixels" is the printed form, "weights" torch's: 0.492 and 1.452 on one example.
    """
    return cross_entropy(logits, target, mode)


@checked
def weighted_bce_from_predictions(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    largest: Annotated[float, Field(ge=1, le=MOST)] = 100.0,
) -> Tensor:
    """Cross-entropy whose positives weigh (N - Σp) / Σp, from the predictions themselves.

    The weight is per class over the batch, without gradient, between 1 / largest and largest.
    Source: WCE of [Sudre 2017], with the sum that its print lost.
    """
    p = probabilities(logits, mode)  # (B, C, H, W)
    kept = torch.ones_like(p) if ignore is None else (~ignore[:, None]).expand_as(p)
    inside = over_ranks((p * kept).sum((0, 2, 3))).detach()  # (C,)
    outside = over_ranks(((1 - p) * kept).sum((0, 2, 3))).detach()  # (C,)
    weight = (outside / inside.clamp(min=TINY)).clamp(1 / largest, largest)
    g = target.to(p.dtype)
    loss = (weight[:, None, None] * g + (1 - g)) * cross_entropy(logits, target, mode)
    return pixel_mean(loss, target, mode=mode, ignore=ignore)


@pixel_loss
def focal(
    logits: Tensor,
    target: Tensor,
    mode: Literal["multilabel"],
    *,
    alpha: Share | None = 0.25,
    gamma: NotNegative = 2.0,
) -> Tensor:
    """Binary focal loss of every class; alpha weights the positives, None both sides alike.

    Source: [Lin 2017]; [Tongji 2022] equation 2.1 with the label that its print dropped.
    """
    loss = _focal_map(logits, target, mode, gamma)
    if alpha is None:
        return loss
    g = target.to(loss.dtype)
    return loss * (1 - g).mul_(1 - alpha).add_(g, alpha=alpha)


@pixel_loss
def focal_softmax(
    logits: Tensor,
    target: Tensor,
    mode: Literal["multiclass"],
    *,
    gamma: NotNegative = 2.0,
    divide_by: DivideBy = "pixels",
) -> Tensor:
    """Multi-class focal loss -α_y (1 - p_y)^γ log p_y of the softmax; α is class_weights.

    divide_by: as for all pixel losses, but as printed unless it is set.
    Source: [Tongji 2022] equation 2.2, [Chen 2023] equation 3.
    """
    return _focal_map(logits, target, mode, gamma)


def _focal_map(logits: Tensor, target: Tensor, mode: Mode, gamma: float) -> Tensor:
    """Cross-entropy times (1 - p_true)^γ, which rises with it: soft labels keep its minimum."""
    loss = cross_entropy(logits, target, mode)
    wrong = 1 - torch.exp(-loss)  # 1 - p_true
    if gamma < 1:  # a power below 1 of exactly 0 would have an infinite gradient
        wrong = wrong.clamp(min=TINY)
    return loss * wrong**gamma


@hard_pixel_loss
def topk_threshold(
    logits: Tensor,
    target: Tensor,
    mode: Mode,
    *,
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7,
    keep: Count = 1,
) -> HardPixels:
    """Mean cross-entropy of the pixels whose true class has a probability below a threshold.

    When fewer than `keep` of an image lie below it, its `keep` hardest are taken, so that the
    mean is never 0 / 0. Source: [Wu 2016]; [Chen 2023].
    """
    loss = cross_entropy(logits, target, mode)
    limit = -torch.log(loss.new_tensor(threshold))
    return loss, loss, lambda scores: max((scores > limit).sum(), keep)


@hard_pixel_loss
def topk_percent(
    logits: Tensor,
    target: Tensor,
    mode: Mode,
    *,
    percent: Annotated[float, Field(gt=0, le=100)] = 10.0,
) -> HardPixels:
    """Mean of the worst `percent` of each image's cross-entropies, at least one pixel.

    Source: [Chen 2023]; nnU-Net [Isensee 2021] and [Ma 2021] take 10. Ignored pixels leave first.
    """
    loss = cross_entropy(logits, target, mode)
    return loss, loss, lambda scores: int(len(scores) * percent / 100)


@hard_pixel_loss
def online_bootstrapping(
    logits: Tensor, target: Tensor, mode: Mode, *, n: Count = 512
) -> HardPixels:
    """Mean cross-entropy of the n hardest pixels of each image.

    Hard is a large mean |p - y| over classes, which for a softmax is 2 (1 - p_true) / C and
    ranks as the cross-entropy does. Source: [Tongji 2022] equations 2.3-2.4.
    """
    p = probabilities(logits, mode)  # (B, C, H, W)
    distance = (p - one_hot(target, logits.shape[1]).to(p.dtype)).abs().mean(1, keepdim=True)
    return cross_entropy(logits, target, mode).mean(1, keepdim=True), distance, lambda scores: n


@pixel_loss
def distance_ce(logits: Tensor, target: Tensor, mode: Mode, distance: Tensor) -> Tensor:
    """Cross-entropy times 1 + D, where D is 1 at the organ's edge and falls to 0 away from it.

    distance: (B, C, H, W) in [0, 1]. The product is taken inside the sum over pixels; a public
    implementation returns the unweighted mean. Source: [Caliva 2019], [Chen 2023] equation 10.
    """
    weight = 1 + distance.to(torch.float32)
    if mode == "multiclass":
        weight = of_the_truth(weight, target)
    return weight * cross_entropy(logits, target, mode)


@checked
def boundary_aware(
    logits: Tensor,
    target: Tensor,
    band: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    boundary: NotNegative = 0.7,
    interior: NotNegative = 0.3,
) -> Tensor:
    """Mean cross-entropy of the boundary band and of the rest, weighted apart.

    band: (B, C, H, W) bool, dilated minus eroded target. Source: [Kim 2021] as [Chen 2023]
    equation 11 gives it, boundary above interior; its own values could not be read.
    """
    need_weight(boundary=boundary, interior=interior)
    loss = cross_entropy(logits, target, mode)
    inside = band.any(1, keepdim=True) if mode == "multiclass" else band
    kept = torch.ones_like(inside) if ignore is None else ~ignore[:, None] & True
    on, off = (inside & kept).to(loss.dtype), (~inside & kept).to(loss.dtype)
    sums = torch.stack([(loss * on).sum(), on.sum(), (loss * off).sum(), off.sum()])
    edge, edges, rest, rests = over_ranks(sums)
    return boundary * edge / edges.clamp(min=1) + interior * rest / rests.clamp(min=1)


@pixel_loss
def border_weight_ce(logits: Tensor, target: Tensor, mode: Mode, border: Tensor) -> Tensor:
    """Cross-entropy times the U-Net's weight map, which is large between touching cells.

    border: (B, 1, H, W), the whole weight: class balance plus w0 exp(-(d1 + d2)² / 2σ²).
    Source: [Ronneberger 2015] equation 2, with the minus sign that [Wang T 2022] lost.
    """
    return border.to(torch.float32) * cross_entropy(logits, target, mode)


@checked
def pixel_lesion(
    logits: Tensor,
    target: Tensor,
    lesion: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    alpha: Share = 0.5,
    gamma: NotNegative = 2.0,
) -> Tensor:
    """α times the mean over lesions of their mean focal loss, plus 1 - α times that of pixels.

    lesion: (B, C, H, W), 1 / (pixels of the connected component) inside the target, else 0: a
    small lesion counts as much as a large one. α below .5 for recall. Source: [Zhu 2022] as read
    from [Chen 2023] equation 9; the original could not be read.
    """
    loss = _focal_map(logits, target, mode, gamma)
    weight = lesion.to(torch.float32)
    if mode == "multiclass":
        weight = of_the_truth(weight, target)
    if ignore is not None:
        weight = weight * ~ignore[:, None]
    lesions = ratio_over_ranks((weight * loss).sum(), weight.sum().to(loss.dtype))
    return alpha * lesions + (1 - alpha) * pixel_mean(loss, target, mode=mode, ignore=ignore)


@pixel_loss
def boundary_kervadec(logits: Tensor, target: Tensor, mode: Mode, signed: Tensor) -> Tensor:
    """Mean probability times signed distance; negative inside the organ, so it may be below 0.

    signed: (B, C, H, W) distance to the organ's edge in pixels, negative inside. Meant to be
    added to a region loss. Source: [Kervadec 2019].
    """
    return probabilities(logits, mode) * signed.to(logits.dtype)


@pixel_loss
def soft_dice_per_pixel(logits: Tensor, target: Tensor, mode: Mode) -> Tensor:
    """Minus the mean of 2yp / (y² + p²) over pixels and classes; in [-1, 0]. Never a default.

    The term is 0 wherever y = 0, so false positives are never punished and p = 1 everywhere
    is a minimiser: this explains the row's Dice of .448 in [Xu 2022]. 0/0 is taken for 0.
    Source: [Xu 2022] section V.F.3, as printed.
    """
    p = probabilities(logits, mode)  # (B, C, H, W)
    y = one_hot(target, logits.shape[1]).to(p.dtype)  # (B, C, H, W)
    return -torch.where(y > 0, 2 * y * p / (y * y + p * p).clamp(min=TINY), 0 * p)
