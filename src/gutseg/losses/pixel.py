"""Losses made of a per-pixel map times a weight or a selection.

The names of map arguments (distance, band, border, lesion, signed) are keys of
gutseg.data.maps.MAPS, which draws them in the data workers after the geometric augmentation.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from gutseg.losses.inputs import need_weight
from gutseg.losses.reductions import TINY, Pixels, over_ranks, ratio_over_ranks
from gutseg.losses.rows import MULTICLASS, MULTILABEL, loss, pixel_loss
from gutseg.settings import MOST, Count, NotNegative, Share


@pixel_loss(modes=MULTILABEL)
def bce(x: Pixels) -> Tensor:
    """Binary cross-entropy, averaged over pixels and classes.

    [Xu 2022] divides by the pixels alone, which is C times as much.
    """
    return x.entropy


@pixel_loss(modes=MULTICLASS)
def ce(x: Pixels) -> Tensor:
    """Softmax cross-entropy; with class_weights the WCE of [Chen 2023] and [Tongji 2022].

    divide_by="pixels" is the printed form, "weights" torch's: 0.492 and 1.452 on one example.
    """
    return x.entropy


@loss(modes=MULTILABEL)
def weighted_bce_from_predictions(
    x: Pixels, *, largest: Annotated[float, Field(ge=1, le=MOST)] = 100.0
) -> Tensor:
    """Cross-entropy whose positives have weight (N - Σp) / Σp, from the predictions themselves.

    The weight is per class over the batch, without gradient, between 1 / largest and largest.
    Source: WCE of [Sudre 2017], with the sum that its print lost.
    """
    inside = over_ranks((x.p * x.kept).sum((0, 2, 3))).detach()  # (C,)
    outside = over_ranks(((1 - x.p) * x.kept).sum((0, 2, 3))).detach()  # (C,)
    weight = (outside / inside.clamp(min=TINY)).clamp(1 / largest, largest)
    return x.mean((weight[:, None, None] * x.g + (1 - x.g)) * x.entropy)


@pixel_loss(modes=MULTILABEL)
def focal(x: Pixels, *, alpha: Share | None = 0.25, gamma: NotNegative = 2.0) -> Tensor:
    """Binary focal loss of every class; alpha weights the positives, None both sides alike.

    Source: [Lin 2017]; [Tongji 2022] equation 2.1 with the label that its print dropped.
    """
    if alpha is None:
        return _focal(x, gamma)
    return _focal(x, gamma) * (1 - x.g).mul_(1 - alpha).add_(x.g, alpha=alpha)


@pixel_loss(modes=MULTICLASS, divide_by="pixels")
def focal_softmax(x: Pixels, *, gamma: NotNegative = 2.0) -> Tensor:
    """Multi-class focal loss -α_y (1 - p_y)^γ log p_y of the softmax; α is class_weights.

    Source: [Tongji 2022] equation 2.2, [Chen 2023] equation 3.
    """
    return _focal(x, gamma)


def _focal(x: Pixels, gamma: float) -> Tensor:
    """Cross-entropy times (1 - p_true)^γ, which rises with it: soft labels keep its minimum."""
    wrong = 1 - torch.exp(-x.entropy)  # 1 - p_true
    if gamma < 1:  # a power below 1 of exactly 0 would have an infinite gradient
        wrong = wrong.clamp(min=TINY)
    return x.entropy * wrong**gamma


@loss
def topk_threshold(
    x: Pixels, *, threshold: Annotated[float, Field(gt=0, le=1)] = 0.7, keep: Count = 1
) -> Tensor:
    """Mean cross-entropy of the pixels whose true class has a probability below a threshold.

    When fewer than `keep` of an image lie below it, its `keep` hardest are taken, so that the
    mean is never 0 / 0. Source: [Wu 2016]; [Chen 2023].
    """
    limit = -torch.log(x.entropy.new_tensor(threshold))
    return x.hardest_mean(
        x.entropy, x.entropy, lambda scores: max(int((scores > limit).sum()), keep)
    )


@loss
def topk_percent(x: Pixels, *, percent: Annotated[float, Field(gt=0, le=100)] = 10.0) -> Tensor:
    """Mean of the worst `percent` of each image's cross-entropies, at least one pixel.

    Source: [Chen 2023]; nnU-Net [Isensee 2021] and [Ma 2021] take 10. Ignored pixels leave first.
    """
    return x.hardest_mean(x.entropy, x.entropy, lambda scores: int(len(scores) * percent / 100))


@loss
def online_bootstrapping(x: Pixels, *, n: Count = 512) -> Tensor:
    """Mean cross-entropy of the n hardest pixels of each image.

    Hard is a large mean |p - y| over classes, which for a softmax is 2 (1 - p_true) / C and
    ranks as the cross-entropy does. Source: [Tongji 2022] equations 2.3-2.4.
    """
    distance = (x.p - x.g).abs().mean(1, keepdim=True)  # (B, 1, H, W)
    return x.hardest_mean(x.entropy.mean(1, keepdim=True), distance, lambda _: n)


@pixel_loss
def distance_ce(x: Pixels, distance: Tensor) -> Tensor:
    """Cross-entropy times 1 + D, where D is 1 at the organ's edge and falls to 0 away from it.

    distance: (B, C, H, W) in [0, 1]. The product is taken inside the sum over pixels; a public
    implementation returns the unweighted mean. Source: [Caliva 2019], [Chen 2023] equation 10.
    """
    return x.of_the_truth(1 + distance.to(torch.float32)) * x.entropy


@loss
def boundary_aware(
    x: Pixels, band: Tensor, *, boundary: NotNegative = 0.7, interior: NotNegative = 0.3
) -> Tensor:
    """Mean cross-entropy of the boundary band and of the rest, weighted apart.

    band: (B, C, H, W) bool, dilated minus eroded target. Source: [Kim 2021] as [Chen 2023]
    equation 11 gives it, boundary above interior; its own values could not be read.
    """
    need_weight(boundary=boundary, interior=interior)
    inside = band.any(1, keepdim=True) if x.mode == "multiclass" else band
    kept = x.kept[:, : inside.shape[1]]
    on, off = (inside * kept).to(x.entropy), (~inside * kept).to(x.entropy)
    sums = torch.stack([(x.entropy * on).sum(), on.sum(), (x.entropy * off).sum(), off.sum()])
    edge, edges, rest, rests = over_ranks(sums)
    return boundary * edge / edges.clamp(min=1) + interior * rest / rests.clamp(min=1)


@pixel_loss
def border_weight_ce(x: Pixels, border: Tensor) -> Tensor:
    """Cross-entropy times the U-Net's weight map, which is large between touching cells.

    border: (B, 1, H, W), the whole weight: class balance plus w0 exp(-(d1 + d2)² / 2σ²).
    Source: [Ronneberger 2015] equation 2, with the minus sign that [Wang T 2022] lost.
    """
    return border.to(torch.float32) * x.entropy


@loss
def pixel_lesion(
    x: Pixels, lesion: Tensor, *, alpha: Share = 0.5, gamma: NotNegative = 2.0
) -> Tensor:
    """α times the mean over lesions of their mean focal loss, plus 1 - α times that of pixels.

    lesion: (B, C, H, W), 1 / (pixels of the connected component) inside the target, else 0: a
    small lesion counts as much as a large one. α below .5 for recall. Source: [Zhu 2022] as read
    from [Chen 2023] equation 9; the original could not be read.
    """
    focal_map, weight = _focal(x, gamma), x.of_the_truth(lesion.to(x.logits.dtype))
    if x.ignore is not None:
        weight = weight * ~x.ignore[:, None]
    lesions = ratio_over_ranks((weight * focal_map).sum(), weight.sum())
    return alpha * lesions + (1 - alpha) * x.mean(focal_map)


@pixel_loss
def boundary_kervadec(x: Pixels, signed: Tensor) -> Tensor:
    """Mean probability times signed distance; negative inside the organ, so it may be below 0.

    signed: (B, C, H, W) distance to the organ's edge in pixels, negative inside. Meant to be
    added to a region loss. Source: [Kervadec 2019].
    """
    return x.p * signed.to(x.p.dtype)


@pixel_loss
def soft_dice_per_pixel(x: Pixels) -> Tensor:
    """Minus the mean of 2yp / (y² + p²) over pixels and classes; in [-1, 0]. Never a default.

    The term is 0 wherever y = 0, so false positives are never punished and p = 1 everywhere
    is a minimiser: this explains the row's Dice of .448 in [Xu 2022]. 0/0 is taken for 0.
    Source: [Xu 2022] section V.F.3, as printed.
    """
    squares = (x.g * x.g + x.p * x.p).clamp(min=TINY)
    return -torch.where(x.g > 0, 2 * x.g * x.p / squares, 0 * x.p)
