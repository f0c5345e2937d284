"""The loss of a config, checked to any depth of sums."""

from typing import Any

from pydantic import Field

from gutseg.data.maps import MAPS
from gutseg.losses import LOSSES, Criterion, check_params, rows_inside, takes_class_weights
from gutseg.losses.inputs import checked_weights
from gutseg.losses.reductions import Mode
from gutseg.losses.weights import WEIGHTS
from gutseg.registry import check, require, shown
from gutseg.settings import Section

# What a mode says of the classes.
CLASSES_OF = {"multilabel": "may overlap", "multiclass": "exclude each other"}


class Component(Section):
    """A row of a table of components and its parameters."""

    # a row of the table
    name: str
    # its parameters
    params: dict[str, Any] = Field({})


class Loss(Component):
    """The loss."""

    # a row of LOSSES (`gutseg list losses`)
    name: str = "bce_dice"
    # a row of WEIGHTS, computed from the training folds alone
    class_weights: str | None = None
    # parameters of the maps that the loss weights pixels with, by name
    maps: dict[str, dict[str, Any]] = Field({})


def complete(loss: Loss, mode: Mode, classes: int | None) -> None:
    """Check a loss and fill in the defaults of its parameters; mode: of the data.

    classes: None while their number is not known. Raises ValueError naming the key and the choices.
    """
    asked = loss.params.get("mode", mode)
    loss.params.update(check_params(loss.name, loss.params, where="loss"))
    if (kind := loss.class_weights) is not None:
        where, rows = "loss.class_weights", list(rows_inside(loss.name, loss.params))
        require(kind, WEIGHTS, where)
        if not any(takes_class_weights(name) for name, _, _ in rows):
            raise ValueError(f"{where}: {loss.name!r} does not weight classes")
        if given := [key for _, params, key in rows if params.get("class_weights") is not None]:
            other = f"{given[0]}.params.class_weights"
            raise ValueError(f"{where}: {kind!r}, but {other} gives weights too; leave one out")
    needed = Criterion(loss.name, **loss.params).required_maps
    for name, params in loss.maps.items():
        loss.maps[name] = check(MAPS, name, params, where="loss.maps")
        if name not in needed:
            hint = f"it needs {', '.join(sorted(needed))}" if needed else "it needs none"
            raise ValueError(f"loss.maps: {loss.name!r} does not use the map {shown(name)}; {hint}")
    check_fit(loss, mode, classes)
    if asked != mode:
        raise ValueError(
            f"loss.params.mode: {asked!r}, but the classes {CLASSES_OF[mode]}; leave it out"
        )
    loss.params["mode"] = mode


def check_fit(loss: Loss, mode: Mode, classes: int | None, where: str = "loss") -> None:
    """Raise ValueError unless a loss, and every loss inside it, can work on such data.

    classes: None while their number is not known; weights of classes are not checked then.
    where: what errors call the loss.
    """
    for name, params, key in rows_inside(loss.name, loss.params, where=where):
        modes = LOSSES[name].modes
        if mode not in modes:
            fitting = [row for row, spec in LOSSES.items() if mode in spec.modes]
            needed, found = CLASSES_OF[modes[0]], CLASSES_OF[mode]
            problem = f"{name!r} needs classes that {needed}, but those of the data {found}"
            raise ValueError(f"{key}: {problem}; choices: {', '.join(fitting)}")
        if classes is not None and params.get("class_weights") is not None:
            try:
                checked_weights(params["class_weights"], classes)
            except ValueError as error:
                raise ValueError(f"{key}.params.{error}") from None
