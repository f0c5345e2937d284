"""Sums of losses; the terms stay apart so that a run can log them one by one."""

from collections.abc import Sequence

from torch import Tensor

from gutseg.losses.distribution import bce
from gutseg.losses.kernels import Absent, Reduction
from gutseg.losses.region import dice


def bce_dice(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    dice_weight: float = 0.5,
    class_weights: Sequence[float] | None = None,
    absent: Absent = "present",
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
        class_weights=class_weights,
        absent=absent,
        reduction=reduction,
    )
    pixels = bce(logits, target, ignore, class_weights=class_weights)
    return {"bce": pixels, "dice": dice_weight * overlap}
