"""The loss of a presence head, beside that of the masks."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from gutseg.config.sections import Presence
from gutseg.models.presence import Outputs, shows

# (logits, target, **maps) -> the loss and its terms
MaskLoss = Callable[..., tuple[Tensor, dict[str, Tensor]]]


class WithPresence:
    """Adds the binary cross-entropy of "the image shows the class" to the loss of the masks.

    It is the term `presence`, and only where there are `Outputs`: a network gives them in training,
    validation makes them.
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


def with_presence(loss: MaskLoss, presence: Presence | None) -> WithPresence:
    """Return the loss with that of a presence head, for a network that has one."""
    return WithPresence(loss, (presence or Presence()).weight)


def finest(outputs: Any) -> Tensor:
    """Return the logits (B, C, ...) at full size, whatever a network gives in training mode."""
    masks = outputs.masks if isinstance(outputs, Outputs) else outputs
    return masks if isinstance(masks, Tensor) else masks[0]
