"""The one place where images of any size meet networks that want a multiple."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from gutseg.models.limits import check_size
from gutseg.models.presence import Outputs

# What a network returns: logits, with deep supervision several, finest first, and with a presence
# head `Outputs` of either.
Answer = Tensor | Sequence[Tensor] | Outputs


def margins(sides: Sequence[int], multiple: int, smallest: int = 1) -> list[int]:
    """Pixels that F.pad has to add so that every side is a multiple, and `smallest` or more.

    sides: ([Z,] H, W); returns (left, right, top, bottom[, ...]), the last side first.
    An odd remainder leaves the extra pixel on the right and at the bottom.
    """
    added: list[int] = []
    for side in reversed(sides):
        # nothing negative is divided: ONNX rounds towards zero there
        missing = (max(side, smallest) + multiple - 1) // multiple * multiple - side
        added += (missing // 2, missing - missing // 2)
    return added


def run_padded(
    network: Callable[[Tensor], Any], images: Tensor, multiple: int, smallest: int = 1
) -> Any:
    """Pad images centrally to a multiple, run the network, and crop its answer back.

    images: (B, in_channels, [Z,] H, W); returns (B, classes, [Z,] H, W). Of several outputs, the
    coarse are brought to the size of the padded image first, so that they can be cropped exactly.
    The margin is zero, which is what air reads on these scans and what every padded convolution
    assumes beyond the edge.
    """
    pads = margins(images.shape[2:], multiple, smallest)
    if not any(pads):
        return network(images)
    padded = F.pad(images, pads)  # (B, in_channels, [Z + z,] H + h, W + w)
    return _cropped(network(padded), padded.shape[2:], [-pad for pad in pads])


def _cropped(answer: Answer, size: Sequence[int], back: list[int]) -> Any:
    """Crop every (B, classes, ...) of a network's answer; size: of the padded image."""
    if isinstance(answer, Outputs):
        return answer._replace(masks=_cropped(answer.masks, size, back))
    if isinstance(answer, Tensor):
        return F.pad(answer, back)
    return [F.pad(_enlarged(logits, size), back) for logits in answer]


def _enlarged(logits: Tensor, size: Sequence[int]) -> Tensor:
    if logits.shape[2:] == size:
        return logits
    mode = "bilinear" if logits.ndim == 4 else "trilinear"
    return F.interpolate(logits, size, mode=mode, align_corners=False)


class PaddedNet(nn.Module):
    """A library's network, made to take images of any size.

    images: (B, in_channels, [Z,] H, W); returns logits (B, classes, [Z,] H, W); in training, with
    deep supervision, a list of them, finest first.
    """

    def __init__(
        self,
        net: nn.Module,
        multiple: int,
        *,
        smallest: int = 1,
        scales: Callable[..., Answer] | None = None,
    ):
        """multiple, smallest: what sides are padded to. scales: sorts what the network returns."""
        super().__init__()
        self.net = net
        self.multiple = multiple
        self.smallest = smallest
        self.scales = scales

    def forward(self, images: Tensor) -> Answer:
        logits = run_padded(self._sorted, images, self.multiple, self.smallest)
        return logits if self.training or isinstance(logits, Tensor) else logits[0]

    def _sorted(self, images: Tensor) -> Answer:
        outputs = self.net(images)
        return outputs if self.scales is None else self.scales(outputs)


def padded(construct: Callable[[], nn.Module], multiple: int, **settings: Any) -> PaddedNet:
    """Build a library's network that takes any size; settings: those of PaddedNet."""

    def make() -> PaddedNet:
        return PaddedNet(construct(), multiple, **settings)

    check_size(make)
    return make()
