"""Losses made of a per-pixel map times a weight or a selection.

Shared arguments: see gutseg.losses.reductions.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from gutseg.losses.inputs import checked
from gutseg.losses.reductions import (
    MOST,
    TINY,
    ClassWeights,
    Count,
    DivideBy,
    Mode,
    NotNegative,
    Share,
    full_precision,
    mean_over_ranks,
    one_hot,
    over_ranks,
    pixel_loss,
    pixel_mean,
    probabilities,
    to_float32,
)


@checked
def bce(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    class_weights: ClassWeights = None,
    divide_by: DivideBy = "weights",
) -> Tensor:
    """Binary cross-entropy, averaged over pixels and classes.

    Course paper 001 divides by the pixels alone, which is C times as much.
    """
    return _cross_entropy(logits, target, ignore, mode, class_weights, divide_by)


@checked
def ce(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multiclass"] = "multiclass",
    class_weights: ClassWeights = None,
    divide_by: DivideBy = "weights",
) -> Tensor:
    """Softmax cross-entropy; with class_weights the WCE of the survey and the thesis.

    divide_by="pixels" is the printed form, "weights" torch's: 0.492 and 1.452 on one example.
    """
    return _cross_entropy(logits, target, ignore, mode, class_weights, divide_by)


def _cross_entropy(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None,
    mode: Mode,
    class_weights: Sequence[float] | None,
    divide_by: DivideBy,
) -> Tensor:
    with full_precision(logits):
        if ignore is None and class_weights is None:  # torch adds up without a map of pixels
            total = pixel_loss(logits, target, mode, reduction="sum")
            classes = 1 if mode == "multilabel" else logits.shape[1]
            return mean_over_ranks(total, logits.numel() // classes)
        loss = pixel_loss(logits, target, mode)
        return pixel_mean(
            loss,
            target,
            mode=mode,
            ignore=ignore,
            class_weights=class_weights,
            divide_by=divide_by,
        )


@checked
def wce_003(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    largest: Annotated[float, Field(ge=1, le=MOST)] = 100.0,
) -> Tensor:
    """Cross-entropy whose positives weigh (N - Σp) / Σp, from the predictions themselves.

    The weight is per class over the batch, without gradient, between 1 / largest and largest.
    Source: Sudre et al. 2017 (paper 003), with the sum that its print lost.
    """
    with full_precision(logits):
        p = probabilities(to_float32(logits), mode)
        kept = torch.ones_like(p) if ignore is None else (~ignore[:, None]).expand_as(p)
        inside = over_ranks((p * kept).sum((0, 2, 3))).detach()
        outside = over_ranks(((1 - p) * kept).sum((0, 2, 3))).detach()
        weight = (outside / inside.clamp(min=TINY)).clamp(1 / largest, largest)
        positive = torch.where(target > 0, weight[:, None, None], torch.ones_like(p))
        return pixel_mean(positive * pixel_loss(logits, target, mode), target, ignore=ignore)


@checked
def focal(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multilabel"] = "multilabel",
    alpha: Share | None = 0.25,
    gamma: NotNegative = 2.0,
    class_weights: ClassWeights = None,
    divide_by: DivideBy = "weights",
) -> Tensor:
    """Binary focal loss of every class; alpha weighs the positives, None both sides alike.

    Source: Lin et al. 2017; thesis 000 equation 2.1 with the label that its print dropped.
    """
    with full_precision(logits):
        loss = focal_map(logits, target, mode, alpha, gamma)
        return pixel_mean(
            loss, target, ignore=ignore, class_weights=class_weights, divide_by=divide_by
        )


@checked
def focal_softmax(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Literal["multiclass"] = "multiclass",
    gamma: NotNegative = 2.0,
    class_weights: ClassWeights = None,
    divide_by: DivideBy = "pixels",
) -> Tensor:
    """Multi-class focal loss -α_y (1 - p_y)^γ log p_y of the softmax; α is class_weights.

    Source: thesis 000 equation 2.2, survey 004 equation 3.
    """
    with full_precision(logits):
        loss = focal_map(logits, target, mode, None, gamma)
        return pixel_mean(
            loss,
            target,
            mode=mode,
            ignore=ignore,
            class_weights=class_weights,
            divide_by=divide_by,
        )


def focal_map(
    logits: Tensor, target: Tensor, mode: Mode, alpha: float | None, gamma: float
) -> Tensor:
    """Per-pixel focal loss: cross-entropy times (1 - p_true)^γ, times α or 1 - α."""
    loss = pixel_loss(logits, target, mode)
    wrong = 1 - torch.exp(-loss)  # 1 - p_true
    if gamma < 1:  # a power below 1 of exactly 0 would have an infinite gradient
        wrong = wrong.clamp(min=TINY)
    loss = loss * wrong**gamma
    if alpha is None:
        return loss
    return loss * torch.where(target > 0, alpha, 1 - alpha)


@checked
def topk_threshold(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7,
    keep: Count = 1,
) -> Tensor:
    """Mean cross-entropy of the pixels whose true class has a probability below a threshold.

    When fewer than `keep` of an image lie below it, its `keep` hardest are taken, so that the
    mean is never 0 / 0. Source: Wu et al. 2016; survey 004.
    """
    with full_precision(logits):
        loss = pixel_loss(logits, target, mode)
        limit = -torch.log(loss.new_tensor(threshold))
        return _hardest(loss, loss, ignore, lambda scores: max((scores > limit).sum(), keep))


@checked
def topk_percent(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    percent: Annotated[float, Field(gt=0, le=100)] = 10.0,
) -> Tensor:
    """Mean of the worst `percent` of each image's cross-entropies, at least one pixel.

    Source: survey 004; nnU-Net and SegLossOdyssey take 10. Ignored pixels leave first.
    """
    with full_precision(logits):
        loss = pixel_loss(logits, target, mode)
        return _hardest(loss, loss, ignore, lambda scores: int(len(scores) * percent / 100))


@checked
def online_bootstrapping(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    n: Count = 512,
) -> Tensor:
    """Mean cross-entropy of the n hardest pixels of each image.

    Hard is a large mean |p - y| over classes, which for a softmax is 2 (1 - p_true) / C and
    ranks as the cross-entropy does. Source: thesis 000 equations 2.3-2.4.
    """
    with full_precision(logits):
        wide = to_float32(logits)
        p = probabilities(wide, mode)
        distance = (p - one_hot(target, logits.shape[1]).to(p.dtype)).abs().mean(1, keepdim=True)
        loss = pixel_loss(wide, target, mode).mean(1, keepdim=True)
        return _hardest(loss, distance, ignore, lambda scores: n)


def _hardest(
    loss: Tensor,
    scores: Tensor,
    ignore: Tensor | None,
    count: Callable[[Tensor], int | Tensor],
) -> Tensor:
    """Mean loss of the highest-scored pixels, image by image; count: how many of the scores."""
    sums, numbers = [], []
    for image in range(len(loss)):
        kept = slice(None) if ignore is None else ~ignore[image].expand_as(loss[image]).flatten()
        values = loss[image].flatten()[kept]
        ranked = scores[image].detach().flatten()[kept]
        number = min(max(int(count(ranked)), 1), len(values))
        chosen = ranked.topk(number).indices
        sums.append(values[chosen].sum())
        numbers.append(number)
    total = over_ranks(torch.stack([torch.stack(sums).sum(), loss.new_tensor(sum(numbers))]))
    return total[0] / total[1].clamp(min=TINY)
