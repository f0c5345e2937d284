"""What every loss can be called with, for the tests that go through the whole table."""

import torch
from torch import Tensor

from gutseg.data.maps import Maps
from gutseg.losses import LOSSES, Criterion

# What a loss cannot do without.
NEEDED = {
    "weighted_sum": {"terms": [{"loss": "online_bootstrapping"}, {"loss": "dice", "weight": 0.5}]},
    "deep_supervision": {"loss": "dice"},
    "worst_neighbours": {"loss": "dice"},
}
MULTILABEL = [name for name in sorted(LOSSES) if "multilabel" in LOSSES[name].modes]
MULTICLASS = [name for name in sorted(LOSSES) if "multiclass" in LOSSES[name].modes]


def criterion(name: str, **params: object) -> Criterion:
    """A loss with what it needs and the parameters given."""
    return Criterion(name, **(NEEDED.get(name, {}) | params))


def one_hot(target: Tensor, classes: int) -> Tensor:
    """(B, H, W) class numbers -> (B, C, H, W)."""
    return torch.nn.functional.one_hot(target, classes).movedim(-1, 1)


def native(name: str, target: Tensor) -> Tensor:
    """Turn a multilabel target into class numbers for the losses that know only those."""
    if name in MULTILABEL:
        return target
    return torch.cat([torch.full_like(target[:, :1], 0.5), target[:, 1:]], 1).argmax(1)


def loss_of(
    name: str, logits: Tensor, target: Tensor, extras: dict | None = None, **params: object
) -> Tensor:
    """The loss with the maps it needs, drawn from the target."""
    made = criterion(name, **params)
    planes = target if target.dim() == 4 else one_hot(target, logits.shape[1])
    maps = Maps(sorted(made.required_maps)).tensors(planes.numpy())
    return made(logits, target, **(maps | (extras or {})))[0]


def case(shape: tuple[int, ...] = (2, 3, 12, 10), seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random logits and a target of which a fifth is set."""
    generator = torch.Generator().manual_seed(seed)
    target = (torch.rand(shape, generator=generator) < 0.2).float()
    return torch.randn(shape, generator=generator), target
