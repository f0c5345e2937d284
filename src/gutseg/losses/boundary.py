"""Losses that weigh pixels by where they lie; the maps come from the data workers.

The names of the map arguments (distance, band, border, lesion) are keys of
gutseg.data.maps.MAPS, which computes them after the geometric augmentation.
Shared arguments: see gutseg.losses.reductions.
"""

import torch
from torch import Tensor

from gutseg.losses.distribution import focal_map
from gutseg.losses.inputs import checked, need_weight
from gutseg.losses.reductions import (
    TINY,
    Mode,
    NotNegative,
    Share,
    full_precision,
    over_ranks,
    pixel_loss,
    pixel_mean,
    probabilities,
    to_float32,
    true_class,
)


@checked
def distance_ce(
    logits: Tensor,
    target: Tensor,
    distance: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
) -> Tensor:
    """Cross-entropy times 1 + D, where D is 1 at the organ's edge and falls to 0 away from it.

    distance: (B, C, H, W) in [0, 1]. The product is taken inside the sum over pixels; a public
    implementation returns the unweighted mean. Source: Caliva et al. 2019, survey 004
    equation 10.
    """
    with full_precision(logits):
        weight = 1 + distance.to(torch.float32)
        if mode == "multiclass":
            weight = true_class(weight, target)
        return pixel_mean(weight * pixel_loss(logits, target, mode), target, ignore=ignore)


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
    """Mean cross-entropy of the boundary band and of the rest, weighed apart.

    band: (B, C, H, W) bool, dilated minus eroded target. Source: Kim et al. 2021 as survey 004
    equation 11 gives it, boundary above interior; its own values could not be read.
    """
    need_weight(boundary=boundary, interior=interior)
    with full_precision(logits):
        loss = pixel_loss(logits, target, mode)
        inside = band.any(1, keepdim=True) if mode == "multiclass" else band
        kept = torch.ones_like(inside) if ignore is None else ~ignore[:, None] & True
        on, off = (inside & kept).to(loss.dtype), (~inside & kept).to(loss.dtype)
        sums = torch.stack([(loss * on).sum(), on.sum(), (loss * off).sum(), off.sum()])
        edge, edges, rest, rests = over_ranks(sums)
        return boundary * edge / edges.clamp(min=1) + interior * rest / rests.clamp(min=1)


@checked
def border_weight_ce(
    logits: Tensor,
    target: Tensor,
    border: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
) -> Tensor:
    """Cross-entropy times the U-Net's weight map, which is large between touching cells.

    border: (B, 1, H, W), the whole weight: class balance plus w0 exp(-(d1 + d2)² / 2σ²).
    Source: Ronneberger et al. 2015 equation 2, with the minus sign that report 002 lost.
    """
    with full_precision(logits):
        weight = border.to(torch.float32)
        return pixel_mean(weight * pixel_loss(logits, target, mode), target, ignore=ignore)


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
    small lesion weighs as much as a large one. α below .5 for recall. Source: Zhu et al. 2022
    as read from survey 004 equation 9; the original could not be read.
    """
    with full_precision(logits):
        loss = focal_map(logits, target, mode, None, gamma)
        weight = lesion.to(torch.float32)
        if mode == "multiclass":
            weight = true_class(weight, target)
        if ignore is not None:
            weight = weight * ~ignore[:, None]
        lesions, number = over_ranks(torch.stack([(weight * loss).sum(), weight.sum()]))
        pixels = pixel_mean(loss, target, ignore=ignore)
        return alpha * lesions / number.clamp(min=TINY) + (1 - alpha) * pixels


@checked
def boundary_kervadec(
    logits: Tensor,
    target: Tensor,
    signed: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
) -> Tensor:
    """Mean probability times signed distance; negative inside the organ, so it may be below 0.

    signed: (B, C, H, W) distance to the organ's edge in pixels, negative inside. Meant to be
    added to a region loss. Source: Kervadec et al. 2019, arXiv:1812.07032.
    """
    with full_precision(logits):
        p = probabilities(to_float32(logits), mode)
        return pixel_mean(p * signed.to(p.dtype), target, ignore=ignore)
