"""A head that starts from how often its classes are."""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gutseg.models.extended import EXAMPLE, EXAMPLE_3D
from gutseg.models.presence import Outputs

# shares of the pixels that a class has at least and at most: a logit of 13.8
LEAST = 1e-6


def set_initial_bias(
    network: nn.Module, in_channels: int, shares: Sequence[float], exclusive: bool, dims: int = 2
) -> None:
    """Set the bias of every head so that its classes are as likely as their share of the pixels.

    shares: of each class; exclusive: they sum to 1, as in a softmax. Raises ValueError where no
    bias of the network moves its logits one for one. Source: [Lin 2017] section 4.1, who start
    all classes at 0.01.
    """
    found = heads(network, in_channels, len(shares), dims)
    if not found:
        raise ValueError(
            "model.initial_bias: this network's head has no bias of its own; leave it out"
        )
    bounded = [min(max(share, LEAST), 1 - LEAST) for share in shares]
    odds = [math.log(share if exclusive else share / (1 - share)) for share in bounded]
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name in found:
            parameters[name].copy_(torch.tensor(odds))


def heads(network: nn.Module, in_channels: int, classes: int, dims: int = 2) -> list[str]:
    """Return the names of the biases that move all logits of an output one for one.

    Found by trying, on a copy: libraries call their heads by many names, and a network with deep
    supervision has several.
    """
    probe = copy.deepcopy(network).train()
    sides = getattr(network, "example", EXAMPLE) if dims == 2 else EXAMPLE_3D
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(2, in_channels, *sides, generator=draw)
    before = _logits(probe, images)
    found = []
    for name, parameter in probe.named_parameters():
        if parameter.shape != (classes,):
            continue
        parameter.data += 1
        pairs = zip(_logits(probe, images), before, strict=True)
        if any(((after - was - 1).abs() < 1e-3).all() for after, was in pairs):
            found.append(name)
        parameter.data -= 1
    return found


@torch.no_grad()
def _logits(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Return all outputs in training mode, where a network gives all it has."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same channels are dropped every time
        return list(_maps(network(images)))


def _maps(outputs: Any) -> Iterator[Tensor]:
    masks = outputs.masks if isinstance(outputs, Outputs) else outputs
    yield from [masks] if isinstance(masks, Tensor) else masks
