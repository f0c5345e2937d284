"""Where blocks can be added to a network that is built: behind the features of its levels.

A U-shaped network names such places itself as `levels`, the finest level first, and another the
place of its `deepest` features, or its row in MODELS does so as text (`places_named`). A block is
called by a forward hook; there is no module in between, so the names of the network's own weights
stay what they are.
"""

import copy
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn


class Place(NamedTuple):
    """Where features leave a module of a network."""

    # the module's name within the network
    module: str
    # which of the tensors that the module returns, a list's number first; () where it is one
    item: tuple[int, ...] = ()


# the places of every level, level k at stride 2 ** k; none where nothing can be added
Levels = Sequence[Sequence[Place]]


def places_named(network: nn.Module, text: str) -> list[Place]:
    """Return the places that a row names, none for empty text.

    text: names of modules, one in another, as `net.encoder.stages.*`, where * and ? stand for any
    letters of a child's name and -1 for the last child; `encoder[0]` is the first of the tensors
    that the encoder returns. Raises ValueError when the network has no such module.
    """
    if not text:
        return []
    names, bracket, item = text.partition("[")
    found = [("", network)]
    for part in names.split("."):
        found = [
            (f"{outer}.{name}".removeprefix("."), child)
            for outer, module in found
            for name, child in _children(module, part)
        ]
    if not found:
        raise ValueError(f"{type(network).__name__} has no module {text!r}")
    return [Place(name, (int(item.rstrip("]")),) if bracket else ()) for name, _ in found]


def _children(module: nn.Module, part: str) -> list[tuple[str, nn.Module]]:
    children = list(module.named_children())
    if re.fullmatch(r"-\d+", part):
        return children[int(part) :][:1]
    return [(name, child) for name, child in children if fnmatchcase(name, part)]


class Added(nn.Module):
    """A block whose answer goes on in place of the features that it was given."""

    def __init__(self, block: nn.Module, item: tuple[int, ...]):
        super().__init__()
        self.block = block
        self.item = item

    def hook(self, _: nn.Module, __: Any, output: Any) -> Any:
        return _replaced(output, self.item, self.block)


def add(network: nn.Module, place: Place, block: nn.Module) -> Added:
    """Let a block work on the features of a place; whoever calls keeps what is returned.

    A bound method is the hook: a copy of both modules, as of a moving average, is hooked to itself.
    """
    added = Added(block, place.item)
    network.get_submodule(place.module).register_forward_hook(added.hook)
    return added


def channels_of(network: nn.Module, places: Sequence[Place], images: Tensor) -> list[int]:
    """Return how many channels the features of every place have, before anything is added.

    images: on the meta device, as is the copy of the network that looks at them.
    """
    found: dict[Place, int] = {}

    def look(place: Place, _: nn.Module, __: Any, output: Any) -> None:
        features = _item(output, place.item)
        found[place] = features.shape[2 if features.dim() == 3 else 1]  # tokens: (B, N, channels)

    shapes = copy.deepcopy(network).to("meta").eval()
    for place in places:
        shapes.get_submodule(place.module).register_forward_hook(partial(look, place))
    shapes(images)
    return [found[place] for place in places]


def _item(output: Any, item: tuple[int, ...]) -> Tensor:
    for number in item:
        output = output[number]
    return output


def _replaced(output: Any, item: tuple[int, ...], change: Callable[[Tensor], Tensor]) -> Any:
    """Return a module's output with one of its tensors changed."""
    if not item:
        return change(output)
    first, *rest = item
    parts = list(output)
    parts[first] = _replaced(parts[first], tuple(rest), change)
    return tuple(parts) if isinstance(output, tuple) else parts
