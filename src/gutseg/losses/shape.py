"""Losses that see more of a class than its size: its outline, its pieces, its skeleton.

The names of map arguments (pieces, signed, skeleton) are keys of gutseg.data.maps.MAPS.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from gutseg.losses.inputs import need_weight
from gutseg.losses.reductions import TINY, Pixels, over_ranks, ratio_over_ranks, region_sums
from gutseg.losses.region import dice
from gutseg.losses.rows import MULTILABEL, loss
from gutseg.settings import Count, NotNegative, Share

Terms = dict[str, Tensor]
# A root has an infinite gradient at 0, and 0 · inf is NaN on the way back; float32 has nothing
# between 0 and 6e-8 below 1.
SMALLEST_BASE = 1e-12


@loss
def generalised_surface(x: Pixels, signed: Tensor) -> Tensor:
    """1 - Σ w (D (1 - g - p))² / Σ w D², D the distance to the edge, w = 1 / Σg of the class.

    signed: (B, C, H, W), D with any sign. 0 where p = g, 1 where p = 1 - g; a class without an
    edge has D = 0 and says nothing. Soft labels are rounded. Source: [Celaya 2023].
    """
    g = (x.g >= 0.5).to(x.p)
    squares = signed.to(x.p.dtype) ** 2 * x.kept
    # 1 - (1 - g - p)², which is p (2 - p) where g = 0 and 1 - p² where g = 1
    missed = torch.where(g > 0, 1 - x.p**2, x.p * (2 - x.p))
    parts = torch.stack([squares * missed, squares, g * x.kept])
    wrong, all_of_it, size = over_ranks(parts.sum((1, 3, 4)))  # (C,) each
    weight = torch.where(size > 0, 1 / size.clamp(min=1), 0)
    weight = weight / weight.sum().clamp(min=1e-30)
    return (weight * wrong).sum() / (weight * all_of_it).sum().clamp(min=TINY)


@loss(planar=True)
def boundary_dou(x: Pixels, *, largest: Share = 0.8) -> Tensor:
    """Difference over union, (z + y - 2 I) / (z + y - (1 + α) I), the mean of present classes.

    I = Σpg, z = Σp², y = Σg² over the batch; α = 1 - 2 edge / size of the class, between 0 and
    `largest`: the larger the class, the less its inside counts. Edge pixels have one of their four
    neighbours outside the class or the image. Source: [Sun 2023], whose code stops α at .8.
    """
    inside = (x.g >= 0.5).to(x.p) * x.kept
    within = _erode(functional.pad(inside, (1, 1, 1, 1)))[:, :, 1:-1, 1:-1]
    parts = torch.stack([x.p * x.g, x.p**2, x.g**2, inside - within, inside]) * x.kept
    common, of_p, of_g, outline, size = over_ranks(parts.sum((1, 3, 4)))  # (C,) each
    alpha = (1 - 2 * outline / size.clamp(min=1)).clamp(0, largest)
    # never below 0 in exact arithmetic, and Σ(p - g)² is
    apart = (of_p + of_g - 2 * common).clamp(min=0)
    return _over_present(apart / (apart + (1 - alpha) * common).clamp(min=TINY), size)


@loss(modes=MULTILABEL)
def unified_focal(
    x: Pixels,
    *,
    weight: Share = 0.5,
    delta: Share = 0.6,
    gamma: Annotated[float, Field(ge=0, lt=1)] = 0.5,
) -> Terms:
    """weight · asymmetric focal + (1 - weight) · asymmetric focal Tversky, as two terms.

    The focal part weights the cross-entropy of positives by δ and of negatives by (1 - δ) p^γ.
    The Tversky part has index TP / (TP + δ FN + (1 - δ) FP), for a class to the power 1 - γ and
    for its complement as it is; their mean. Every class against its complement; an absent class
    has the complement's half alone. Source: [Yeung 2022].
    """
    positive = delta * x.g * functional.softplus(-x.logits)
    # p^γ as an exponential: its slope at p = 0 is 0 and not infinite
    damped = torch.exp(gamma * functional.logsigmoid(x.logits))
    focal = x.mean(positive + (1 - delta) * (1 - x.g) * damped * functional.softplus(x.logits))
    sums = region_sums(x, None, "batch")
    inside = 1 - sums.tp / (sums.tp + delta * sums.fn + (1 - delta) * sums.fp).clamp(min=TINY)
    outside_all = sums.tn + delta * sums.fp + (1 - delta) * sums.fn
    outside = (delta * sums.fp + (1 - delta) * sums.fn) / outside_all.clamp(min=TINY)
    rare = inside.clamp(min=SMALLEST_BASE) ** (1 - gamma)
    both = (torch.where(sums.target > 0, rare, 0 * inside) + outside) / 2
    return {"focal": weight * focal, "tversky": (1 - weight) * both.mean()}


@loss(modes=MULTILABEL, planar=True)
def cc_dice_ce(
    x: Pixels, pieces: Tensor, *, dice_weight: NotNegative = 1.0, ce_weight: NotNegative = 1.0
) -> Terms:
    """Dice and cross-entropy of every connected piece in its own part of the image, averaged.

    pieces: (B, C, H, W), the number of the piece that a pixel is nearest to, so that the parts
    cover the image; 0 throughout where a class is absent: that image has the cross-entropy
    alone. A small piece counts as much as a large one. Source: [Bouteille 2025], with the regions
    of [Jaus 2025]; added to a loss of the whole image by `weighted_sum`.
    """
    need_weight(dice_weight=dice_weight, ce_weight=ce_weight)
    kept = x.kept.to(x.p)
    planes = (torch.minimum(x.p, x.g), x.p, x.g, x.entropy, torch.ones_like(x.p))
    common, of_p, of_g, entropy, size = _by_piece(pieces, *(kept * plane for plane in planes))
    there, seen = (of_g > 0).to(size), (size > 0).to(size)
    missed = there * (1 - 2 * common / (of_p + of_g).clamp(min=TINY))
    return {
        "dice": dice_weight * ratio_over_ranks(missed.sum(), there.sum()),
        "ce": ce_weight * ratio_over_ranks((entropy / size.clamp(min=1)).sum(), seen.sum()),
    }


@loss(modes=MULTILABEL, planar=True)
def blob_dice(
    x: Pixels, pieces: Tensor, *, whole: NotNegative = 2.0, blobs: NotNegative = 1.0
) -> Terms:
    """whole · Dice loss + blobs · the mean Dice loss of single pieces, the others left out.

    pieces: (B, C, H, W), the number of the nearest piece. The Dice of a piece is over it and
    all the background, so that a false positive counts for every piece. Source: [Kofler 2023].
    """
    need_weight(whole=whole, blobs=blobs)
    kept, inside = x.kept.to(x.p), (x.g >= 0.5).to(x.p)
    planes = (torch.minimum(x.p, x.g), x.p, x.g)
    common, of_p, of_g = _by_piece(pieces, *(kept * inside * plane for plane in planes))
    outside = (kept * (1 - inside) * x.p).sum((2, 3)).flatten()  # (B C,)
    outside = outside.repeat_interleave(len(of_g) // len(outside))
    there = (of_g > 0).to(of_g)
    missed = there * (1 - 2 * common / (of_p + of_g + outside).clamp(min=TINY))
    together = dice(x.logits, x.target, x.ignore)
    return {
        "dice": whole * together,
        "blobs": blobs * ratio_over_ranks(missed.sum(), there.sum()),
    }


@loss(modes=MULTILABEL, planar=True)
def cl_dice(x: Pixels, *, share: Share = 0.5, iterations: Count = 3) -> Terms:
    """(1 - share) · Dice loss + share · (1 - clDice) of soft skeletons, for thin structures.

    clDice is the harmonic mean of the share of p's skeleton inside g and of g's inside p, of
    sums + 1 over the batch, class by class. iterations: erosions of the soft skeleton, at least
    the half width of what is segmented, in pixels. Source: [Shit 2021].
    """
    of_p, of_g = (_soft_skeleton(planes, x.kept, iterations) for planes in (x.p, x.g))
    parts = torch.stack([of_p * x.g, of_p, of_g * x.p, of_g]) * x.kept
    precise, all_p, found, all_g = 1 + over_ranks(parts.sum((1, 3, 4)))  # (C,) each
    precision, recall = precise / all_p, found / all_g
    centre = 1 - 2 * precision * recall / (precision + recall)
    overlap = dice(x.logits, x.target, x.ignore)
    return {"dice": (1 - share) * overlap, "cldice": share * centre.mean()}


@loss(planar=True)
def skeleton_recall(x: Pixels, skeleton: Tensor) -> Tensor:
    """1 - Σps / Σs, s the skeleton of the labels drawn thicker, the mean of present classes.

    skeleton: (B, C, H, W) bool. False positives cost nothing: it is added to a region loss.
    Source: [Kirchhoff 2024].
    """
    drawn = skeleton.to(x.p.dtype) * x.kept
    found, size = over_ranks(torch.stack([drawn * x.p, drawn]).sum((1, 3, 4)))  # (C,) each
    return _over_present((size - found) / size.clamp(min=TINY), size)


def _over_present(values: Tensor, size: Tensor) -> Tensor:
    """Mean of values (C,) over the classes whose size is not 0; 0 when there is none."""
    present = (size > 0).to(values)
    return (values * present).sum() / present.sum().clamp(min=1)


def _by_piece(pieces: Tensor, *planes: Tensor) -> list[Tensor]:
    """Sum planes (B, C, H, W) over every piece of every plane: (B C N,) each, N pieces at most."""
    numbers = pieces.long().flatten(0, 1).flatten(1)  # (B C, H W)
    most = int(numbers.max()) + 1
    first = torch.arange(len(numbers), device=numbers.device)[:, None] * most
    place = (numbers + first).flatten()
    empty = planes[0].new_zeros(len(numbers) * most)
    return [empty.index_add(0, place, plane.flatten()) for plane in planes]


def _erode(planes: Tensor) -> Tensor:
    """Smallest value of a pixel and its four neighbours inside the image: (B, C, H, W)."""
    tall, wide = ((3, 1), (1, 0)), ((1, 3), (0, 1))
    sides = [-functional.max_pool2d(-planes, size, 1, padding) for size, padding in (tall, wide)]
    return torch.minimum(*sides)


def _soft_skeleton(planes: Tensor, kept: Tensor, iterations: int) -> Tensor:
    """What an opening takes away, after 0 to `iterations` erosions: (B, C, H, W) in [0, 1].

    Pixels that are not kept are as those beyond the image, which no minimum or maximum sees.
    """
    void = ~kept.bool()
    skeleton = torch.zeros_like(planes)
    for _ in range(iterations + 1):
        eroded = _erode(planes.masked_fill(void, 1))
        opened = functional.max_pool2d(eroded.masked_fill(void, 0), 3, 1, 1)
        ridge = functional.relu(planes - opened)
        skeleton = skeleton + functional.relu(ridge - skeleton * ridge)
        planes = eroded
    return skeleton
