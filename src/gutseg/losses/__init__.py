"""Segmentation losses: logits in, float32 inside. LOSSES is the table of all of them."""

from functools import partial
from typing import Any

from torch import Tensor

from gutseg.losses.compound import bce_dice
from gutseg.losses.distribution import bce
from gutseg.losses.region import dice, soft_dice_001
from gutseg.registry import Spec

# A loss returns a scalar, or a dict of named terms whose sum is the loss.
LOSSES = {
    "bce": Spec(bce, "binary cross-entropy; course papers 001 and 002"),
    "dice": Spec(dice, "Milletari et al. 2016 without squares; thesis 000 equations 2.6-2.9"),
    "soft_dice_001": Spec(soft_dice_001, "course paper 001 section V.F.3"),
    "bce_dice": Spec(bce_dice, "course paper 001 sections V.F.4 and V.F.5"),
}


class Criterion:
    """A loss with its parameters set; returns the total and its terms."""

    def __init__(self, name: str, **params: Any) -> None:
        """name, params: a row of LOSSES and its keyword arguments."""
        self.name = name
        self.function = partial(LOSSES[name].build, **params)

    def __call__(self, logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its terms; logits, target: (B, C, H, W)."""
        value = self.function(logits, target)
        terms = value if isinstance(value, dict) else {self.name: value}
        return sum(terms.values()), terms
