"""Losses made of a per-pixel map. Shared arguments: see gutseg.losses.kernels."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from gutseg.losses.kernels import full_precision, pixel_mean, widen


def bce(
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    class_weights: Sequence[float] | None = None,
) -> Tensor:
    """Binary cross-entropy, averaged over pixels and classes.

    Course paper 001 divides by the pixels alone, which is C times as much.
    """
    with full_precision(logits):
        wide = widen(logits)
        loss = functional.binary_cross_entropy_with_logits(
            wide, target.to(wide.dtype), reduction="none"
        )
        return pixel_mean(loss, ignore=ignore, class_weights=class_weights)
