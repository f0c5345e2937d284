"""Test-time augmentation: flips whose predictions are flipped back and averaged."""

from collections.abc import Callable

from torch import Tensor

# The dimensions to flip, of (B, C, H, W); () is the image as it is.
FLIPS = {
    "none": ((),),
    "hflip": ((), (3,)),
    "flips": ((), (3,), (2,), (2, 3)),
}


def probabilities(network: Callable[[Tensor], Tensor], images: Tensor, flips: str) -> Tensor:
    """Return the mean sigmoid over the flips: (B, C, h, w) float32 in [0, 1].

    images: (B, S, h, w). flips: a key of FLIPS.
    """
    total = None
    for dims in FLIPS[flips]:
        seen = images.flip(dims) if dims else images
        found = network(seen).float().sigmoid()
        found = found.flip(dims) if dims else found
        total = found if total is None else total + found
    return total / len(FLIPS[flips])
