"""What `model:` of a config adds to any network that can carry it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gutseg.models.attention import AttentionLevels
from gutseg.models.input_norm import InputNorm
from gutseg.models.places import Levels, Place, add, channels_of, places_named
from gutseg.models.presence import Gate, Outputs, PresenceHead

# Sides of the image that is run through a network to learn how wide its features are.
EXAMPLE, EXAMPLE_3D = (128, 128), (32, 32, 32)


# makes a block for features of so many channels
Make = Callable[[int], nn.Module]


class FeatureDropout(nn.Module):
    """Drops whole channels of features, or numbers of tokens (B, N, channels), in training."""

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, features: Tensor) -> Tensor:
        kinds = {3: functional.dropout, 4: functional.dropout2d, 5: functional.dropout3d}
        return kinds[features.dim()](features, self.share, self.training)


class Tap(nn.Module):
    """Keeps the features that pass until they are taken, for each thread its own.

    Threads of `submit` share a network: what another scan left here would be a wrong answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, Tensor] = {}

    def forward(self, features: Tensor) -> Tensor:
        self.kept[_thread()] = features
        return features

    def take(self) -> Tensor:
        """Return the features of the last pass, once: a network that is copied holds none."""
        features = self.kept.pop(_thread(), None)
        if features is None:
            raise RuntimeError("the network's forward did not reach its deepest features")
        return features


def _thread() -> int:
    # torch.compile cannot ask for it; only trainings are compiled, which have one thread
    return 0 if torch.compiler.is_compiling() else get_ident()


class Extended(nn.Module):
    """A network with an input normalisation, blocks behind its levels, and a presence head.

    images: as the network takes them; returns its logits, with a presence head `Outputs` of them
    and of (B, classes) in training mode, and in eval mode logits that the gate has lowered.
    """

    def __init__(self, network: nn.Module, norm: InputNorm | None = None):
        super().__init__()
        self.input_norm = norm
        self.network = network
        self.example = getattr(network, "example", EXAMPLE)
        self.added = nn.ModuleList()
        self.tap = Tap()
        self.presence: PresenceHead | None = None
        self.gate: Gate | None = None

    def add(self, place: Place, block: nn.Module) -> None:
        self.added.append(add(self.network, place, block))

    def forward(self, images: Tensor) -> Tensor | list[Tensor] | Outputs:
        images = images if self.input_norm is None else self.input_norm(images)
        masks = self.network(images)  # (B, C, H, W), in training mode perhaps a list of them
        if self.presence is None or self.gate is None:
            return masks
        presence = self.presence(self.tap.take())  # (B, C)
        return Outputs(masks, presence) if self.training else self.gate(masks, presence)


def extend(
    network: nn.Module,
    in_channels: int,
    classes: int,
    *,
    dims: int = 2,
    levels: Sequence[str] = (),
    deepest: str = "",
    attention: Mapping[str, Any] | None = None,
    dropout: float = 0.0,
    input_norm: bool = False,
    masks: int = 0,
    gate: Gate | None = None,
) -> nn.Module:
    """Add to a network what is asked for; one that nothing is added to is returned as it is.

    dims: of its images. levels, deepest: where its features are, as NetSpec has it. attention:
    arguments of AttentionLevels. dropout: share of the deepest features' channels. masks: so many
    of the last channels are no images, which the normalisation leaves as they are.
    gate: of a presence head; a network with a head of its own takes it over. Raises ValueError
    naming the config key when the network cannot carry something.
    """
    own = [module for module in network.modules() if isinstance(module, Gate) and module.acts]
    if gate and own:
        for module in own:
            module.effect, module.threshold = gate.effect, gate.threshold
        gate = None
    if not (input_norm or attention or dropout or gate):
        return network
    extended = Extended(network, _norm(network, in_channels, masks) if input_norm else None)
    places, bottom = places_of(network, levels, deepest)
    additions = _attention(places, attention, dims) if attention else []
    if dropout:
        additions.append((_needed(bottom), lambda _: FeatureDropout(dropout)))
    if gate:
        additions.append((_needed(bottom), lambda _: extended.tap))
    if not additions:
        return extended
    sides = extended.example if dims == 2 else EXAMPLE_3D
    images = torch.empty(1, in_channels, *sides, device="meta")
    widths = channels_of(network, [place for place, _ in additions], images)
    try:
        for (place, make), width in zip(additions, widths, strict=True):
            extended.add(place, make(width))
    except ValueError as error:  # heads that do not divide a level's channels
        raise ValueError(f"model.attention: {error}") from None
    if gate:
        extended.presence, extended.gate = PresenceHead(widths[-1], classes), gate
    return extended


def _norm(network: nn.Module, in_channels: int, masks: int) -> InputNorm:
    part = network if hasattr(network, "seen") else getattr(network, "encoder", network)
    seen = getattr(part, "seen", None)
    if seen is None:
        raise ValueError(
            "model.input_norm: no weights of this network are published, so nothing says what "
            "mean its images should have; write model.input_norm: off"
        )
    return InputNorm(in_channels, seen, masks)


def places_of(
    network: nn.Module, levels: Sequence[str], deepest: str
) -> tuple[Levels, Place | None]:
    """Return the places of a network's levels and the one of its deepest features."""
    found: list[Sequence[Place]] = list(getattr(network, "levels", ()))
    if not found:
        for text in levels:
            # a pattern stands for several levels
            found += [[place] for place in places_named(network, text)] if text else [[]]
    named = places_named(network, deepest) or (found[-1] if found else [])
    return found, getattr(network, "deepest", named[0] if named else None)


def _needed(place: Place | None) -> Place:
    if place is None:
        raise ValueError(
            "model.presence, model.dropout: nothing says where the deepest features of this "
            "network are; choose another"
        )
    return place


def _attention(levels: Levels, attention: Mapping[str, Any], dims: int) -> list[tuple[Place, Make]]:
    """Return what makes an attention block for each place of the levels that are asked for."""
    if not levels or dims != 2:
        raise ValueError(
            "model.attention: this network has no levels that attention can be added to; give a "
            "U-shaped one of images, whose convolutions are padded"
        )
    try:
        make = AttentionLevels(len(levels), **attention)
    except ValueError as error:
        raise ValueError(f"model.attention: {error}") from None
    chosen = sorted(make.local | make.external)
    if empty := [level for level in chosen if not levels[level]]:
        known = [level for level, places in enumerate(levels) if places]
        raise ValueError(
            f"model.attention: level {empty[0]} has no features of its own; choices are {known}"
        )
    return [(place, partial(make, level)) for level in chosen for place in levels[level]]
