"""Losses as configs name them: parameters checked to any depth, and the object that trains."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from gutseg.losses.reductions import Mode
from gutseg.losses.table import LOSSES
from gutseg.registry import check


def check_params(name: str, params: Mapping[str, Any], *, where: str = "loss") -> dict[str, Any]:
    """Check a loss and the losses inside it, at any depth; where: the config key, for errors.

    Returns the parameters coerced, defaults included; those inside a sum stay as few as they
    were. Raises ValueError naming the key and the choices.
    """
    found = check(LOSSES, name, params, where=where)

    def inside(name: str, params: dict, where: str) -> dict:
        if "mode" in params:
            raise ValueError(f"{where}.params.mode: the data decide it; leave it out")
        full = check_params(name, params, where=where)
        return {key: full[key] for key in params}

    within = LOSSES[name].within
    return found if within is None else within(found, f"{where}.params", inside)


def rows_inside(
    name: str, params: Mapping[str, Any], *, where: str = "loss"
) -> Iterator[tuple[str, dict, str]]:
    """Give every loss that is not made of others: its name, parameters and config key."""
    within = LOSSES[name].within
    if within is None:
        yield name, dict(params), where
        return
    found: list[tuple[str, dict, str]] = []

    def collect(name: str, params: dict, where: str) -> dict:
        found.extend(rows_inside(name, params, where=where))
        return params

    within(dict(params), f"{where}.params", collect)
    yield from found


def takes_class_weights(name: str) -> bool:
    """Say whether a loss that is not made of others takes class weights."""
    return "class_weights" in check(LOSSES, name, {})


def with_class_weights(
    name: str, params: Mapping[str, Any], class_weights: Sequence[float]
) -> dict[str, Any]:
    """Return a loss's parameters with class weights wherever a loss inside takes them."""
    if (within := LOSSES[name].within) is not None:
        return within(
            dict(params),
            name,
            lambda inner, given, _: with_class_weights(inner, given, class_weights),
        )
    given = {"class_weights": class_weights} if takes_class_weights(name) else {}
    return dict(params) | given


class Criterion:
    """A loss with its parameters set; returns the total and its terms."""

    def __init__(self, name: str, *, mode: Mode | None = None, **params: Any) -> None:
        """name, params: a row of LOSSES and its keyword arguments.

        mode: of the data; None takes the row's default. Raises ValueError when the loss cannot
        work in it, and for parameters that configs are refused.
        """
        params = check_params(name, params)
        row = LOSSES[name]
        if mode is not None:
            if mode not in row.modes:
                raise ValueError(f"loss {name!r} works in {' and '.join(row.modes)}, not {mode}")
            params["mode"] = mode
        self.name = name
        self.function = row.build(**params) if row.within else partial(row.build, **params)
        # a loss made of others knows the maps of its parts
        self.required_maps = getattr(self.function, "required_maps", row.required_maps)
        self.takes = row.takes

    def __call__(
        self, logits: Tensor, target: Tensor, **extras: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its terms; extras that the loss has no use for are left out."""
        wanted = {key: extras[key] for key in extras if key in self.required_maps | self.takes}
        value = self.function(logits, target, **wanted)
        terms = value if isinstance(value, dict) else {self.name: value}
        return sum(terms.values()), terms
