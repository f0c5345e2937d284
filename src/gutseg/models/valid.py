"""Networks of valid convolutions: their answer is smaller than what they see.

The border of an image is mirrored by what is lost, as in [Ronneberger 2015] figure 2, so that the
logits have the size of the image and neither training nor prediction needs a special case.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def mirrored(images: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Mirror images beyond both ends of one axis, without repeating the outermost pixel.

    Any amount is possible: beyond the far end the mirror image is mirrored again, and an axis of
    one pixel repeats it. torch's own reflection stops at the side of the image minus one.
    """
    side = images.shape[dim]
    period = max(2 * (side - 1), 1)
    place = torch.arange(-before, side + after, device=images.device) % period
    return images.index_select(dim, torch.minimum(place, period - place))


def middle(features: Tensor, sides: Sequence[int]) -> Tensor:
    """Return the middle of features (B, C, ...): of all but the first two axes, these sides."""
    for dim, side in enumerate(sides, start=2):
        features = features.narrow(dim, (features.shape[dim] - side) // 2, side)
    return features


class ValidNet(nn.Module, ABC):
    """A network without padding, answering at the size of the image.

    images: (B, S, H, W) or (B, S, Z, H, W) of any size; returns logits of the same sides.
    A subclass says how many pixels of every side its `valid` loses (`shrink`, even), in which
    steps its answer grows (`stride`), and which sides it has: those that leave `remainder` when
    divided by it. Poolings meet the pixels that they meet in the image alone, from its first one;
    what fills up to a possible side is mirrored at the end.
    """

    shrink = 0
    stride = 1
    remainder = 0

    @property
    def margin(self) -> int:
        """Pixels of context that a tile needs on every side, a multiple of `stride`.

        A tile that starts and ends at multiples of `stride` is, with this context, answered as
        it is inside the whole image: the poolings meet the same pixels.
        """
        needed = self.shrink // 2 + self.remainder
        return -(-needed // self.stride) * self.stride

    def forward(self, images: Tensor) -> Tensor:
        sides = images.shape[2:]
        # pixels before the first one that are answered too, and cut
        early = self.margin - self.shrink // 2
        for dim, side in enumerate(sides, start=2):
            filling = (self.remainder - early - side) % self.stride
            images = mirrored(images, dim, self.margin, self.shrink // 2 + filling)
        logits = self.valid(images)
        for dim, side in enumerate(sides, start=2):
            logits = logits.narrow(dim, early, side)
        return logits

    @abstractmethod
    def valid(self, images: Tensor) -> Tensor:
        """Return the logits of the pixels whose whole context lies inside the images."""


def initialise(module: nn.Module) -> None:
    """He for convolutions before a ReLU, unit gain for upsampling ones; for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    elif isinstance(module, nn.ConvTranspose2d):
        # kernel 2, stride 2: every output pixel sees each input channel exactly once
        nn.init.normal_(module.weight, std=module.in_channels**-0.5)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
