"""The loss of a presence head, beside that of the masks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gutseg.models.presence import Outputs

# (logits, target, **maps) -> the loss and its terms
MaskLoss = Callable[..., tuple[Tensor, dict[str, Tensor]]]


class WithPresence:
    """Adds the binary cross-entropy of "the image shows the class" to the loss of the masks.

    It is the term `presence`, and only where the network gives `Outputs`: in training.
    """

    def __init__(self, criterion: MaskLoss, weight: float):
        self.criterion = criterion
        self.weight = weight

    def __call__(
        self, outputs: Any, target: Tensor, **extras: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its terms; outputs: what the network gives in training mode."""
        if not isinstance(outputs, Outputs):
            return self.criterion(outputs, target, **extras)
        loss, terms = self.criterion(outputs.masks, target, **extras)
        shown = shows(target, outputs.presence.shape[1], extras.get("ignore"))  # (B, C)
        presence = functional.binary_cross_entropy_with_logits(outputs.presence.float(), shown)
        presence = self.weight * presence
        return loss + presence, terms | {"presence": presence}


def shows(target: Tensor, classes: int, ignore: Tensor | None = None) -> Tensor:
    """Return whether each image shows each class: (B, C) float32 in {0, 1}.

    target: (B, C, ...) in [0, 1], a class being where it is 0.5 or more, or class numbers
    (B, ...). ignore: (B, ...), pixels that show nothing.
    """
    if target.is_floating_point():
        planes = target >= 0.5  # (B, C, ...)
    else:
        planes = torch.stack([target == number for number in range(classes)], dim=1)
    if ignore is not None:
        planes = planes & ~ignore.bool()[:, None]
    return planes.flatten(2).any(dim=2).float()


def finest(outputs: Any) -> Tensor:
    """Return the logits (B, C, ...) at full size, whatever a network gives in training mode."""
    masks = outputs.masks if isinstance(outputs, Outputs) else outputs
    return masks if isinstance(masks, Tensor) else masks[0]
