"""The loss of a config, for training and for comparisons: checked to any depth of sums."""

from typing import Any, Protocol

from gutseg.data.maps import MAPS
from gutseg.losses import LOSSES, Criterion, check_params, rows_inside, takes_class_weights
from gutseg.losses.inputs import checked_weights
from gutseg.losses.reductions import Mode
from gutseg.losses.weights import WEIGHTS
from gutseg.registry import check, shown, suggest


class LossSection(Protocol):
    """What a section about a loss holds."""

    @property
    def name(self) -> str: ...
    @property
    def params(self) -> dict[str, Any]: ...
    @property
    def class_weights(self) -> str | None: ...
    @property
    def maps(self) -> dict[str, dict[str, Any]]: ...


def check_loss(loss: LossSection, where: str) -> None:
    """Check everything about a loss but whether it fits the data; fill in the defaults.

    where: the config key of the section. Raises ValueError naming the key and the choices.
    """
    loss.params.update(check_params(loss.name, loss.params, where=where))
    if loss.class_weights is not None:
        _check_class_weights(loss, loss.class_weights, f"{where}.class_weights")
    needed = Criterion(loss.name, **loss.params).required_maps
    for name, params in loss.maps.items():
        loss.maps[name] = check(MAPS, name, params, where=f"{where}.maps")
        if name not in needed:
            hint = f"it needs {', '.join(sorted(needed))}" if needed else "it needs none"
            raise ValueError(
                f"{where}.maps: {loss.name!r} does not use the map {shown(name)}; {hint}"
            )


def _check_class_weights(loss: LossSection, kind: str, where: str) -> None:
    if kind not in WEIGHTS:
        hint = suggest(kind, list(WEIGHTS))
        raise ValueError(f"{where}: unknown name {shown(kind)}; {hint}")
    rows = list(rows_inside(loss.name, loss.params, where=where.rpartition(".")[0]))
    if not any(takes_class_weights(name) for name, _, _ in rows):
        raise ValueError(f"{where}: {loss.name!r} does not weigh classes")
    for _, params, key in rows:
        if params.get("class_weights") is not None:
            raise ValueError(
                f"{where}: {loss.class_weights!r}, but {key}.params.class_weights gives weights "
                "too; leave one of them out"
            )


def check_fit(loss: LossSection, where: str, mode: Mode, classes: int | None) -> None:
    """Raise ValueError unless a loss, and every loss inside it, can work on such data.

    classes: None while their number is not known; weights of classes are not checked then.
    """
    for name, params, key in rows_inside(loss.name, loss.params, where=where):
        modes = LOSSES[name].modes
        if mode not in modes:
            raise ValueError(f"{key}: loss {name!r} works in {' and '.join(modes)}, not {mode}")
        if classes is not None and params.get("class_weights") is not None:
            try:
                checked_weights(params["class_weights"], classes)
            except ValueError as error:
                raise ValueError(f"{key}.params.{error}") from None
