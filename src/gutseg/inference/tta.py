"""Test-time augmentation: flips whose predictions are flipped back and averaged."""

from collections.abc import Callable

from torch import Tensor

from gutseg.losses.reductions import Mode

# The dimensions to flip, of (B, C, H, W); () is the image as it is.
FLIPS = {
    "none": ((),),
    "hflip": ((), (3,)),
    "flips": ((), (3,), (2,), (2, 3)),
}


def activation(logits: Tensor, mode: Mode = "multilabel") -> Tensor:
    """Return the probabilities (B, C, H, W) of logits: a sigmoid a class, or softmax over all."""
    return logits.sigmoid() if mode == "multilabel" else logits.softmax(dim=1)


def probabilities(
    network: Callable[[Tensor], Tensor], images: Tensor, flips: str, mode: Mode = "multilabel"
) -> Tensor:
    """Return the mean probabilities over the flips: (B, C, h, w) float32 in [0, 1].

    images: (B, S, h, w). flips: a key of FLIPS.
    """
    total = None
    for dims in FLIPS[flips]:
        seen = images.flip(dims) if dims else images
        found = activation(network(seen).float(), mode)
        found = found.flip(dims) if dims else found
        total = found if total is None else total + found
    return total / len(FLIPS[flips])
