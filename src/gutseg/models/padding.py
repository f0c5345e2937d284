"""The one place where images of any size meet networks that want a multiple."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def margins(height: int, width: int, multiple: int) -> tuple[int, int, int, int]:
    """Pixels to add on the (left, right, top, bottom) so that both sides divide by multiple.

    An odd remainder leaves the extra pixel on the right and at the bottom.
    """
    across, down = -width % multiple, -height % multiple
    return across // 2, across - across // 2, down // 2, down - down // 2


def run_padded(network: Callable[[Tensor], Tensor], images: Tensor, multiple: int) -> Tensor:
    """Pad images centrally to a multiple, run the network, and crop its answer back.

    images: (B, in_channels, H, W); returns (B, classes, H, W). The margin is zero, which is what
    air reads on these scans and what every padded convolution assumes beyond the edge.
    """
    height, width = images.shape[-2:]
    pads = margins(height, width, multiple)
    if not any(pads):
        return network(images)
    logits = network(F.pad(images, pads))
    return F.pad(logits, [-pad for pad in pads])
