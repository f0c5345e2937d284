"""The axes of a study: config keys and the values that cells differ in."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from gutseg.config import Config
from gutseg.config.files import flat
from gutseg.registry import shown, suggest
from gutseg.settings import Section

Kind = Literal["seed", "fold", "network", "input", "lr", "patch", "loss"]
# In this order cells are run: seed by seed, so that a study that was stopped still compares all.
ORDER: tuple[Kind, ...] = get_args(Kind)
# What an axis varies, by its name or the section that it is in; `input` is everything else.
KINDS: dict[str, Kind] = {
    "seed": "seed",
    "fold": "fold",
    "model": "network",
    "optim.lr": "lr",
    "crop.size": "patch",
    "loss": "loss",
}
LABELLED = ("network", "input", "loss")
# The study names its cells and says where they lie; their folds are an axis.
OWN = ("name", "runs")


@dataclass(frozen=True)
class Choice:
    """A value of an axis."""

    # the axis
    axis: str
    kind: Kind
    # its name in tables and folders
    label: str
    # dotted config key -> value; of a fold none
    settings: dict[str, Any]
    # what stands in the axis's column
    value: Any
    # its key in the study's config
    where: str


# the values of which every cell has one, never none
Axis = list[Choice]


def read_axes(content: dict[str, Any], where: str) -> list[Axis]:
    """Read axes; raises ValueError naming the key of an axis that the grid cannot have."""
    axes = [_axis(name, values, f"{where}.{name}") for name, values in flat(content).items()]
    if not axes:
        raise ValueError(f"{where}: there is no axis; give one, such as seed: [0, 1, 2]")
    return axes


def given_label(section: Any) -> str:
    """Return a component's name with what its config says of it: 'tversky(beta=0.9)'."""
    if not isinstance(section, dict):
        return _short(section)
    said = dict(section.get("params") or {})
    if section.get("class_weights"):
        said["class_weights"] = section["class_weights"]
    inside = ", ".join(f"{key}={_short(value)}" for key, value in said.items())
    name = str(section.get("name", ""))
    return f"{name}({inside})" if inside else name


def slug(text: str) -> str:
    """Return text as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_.")


def check_key(key: str, where: str) -> None:
    """Raise ValueError unless a config has a key, or may have it among a component's params."""
    if key in OWN:
        raise ValueError(f"{where}: the study gives every cell its {key}; leave it out")
    kind: type[Section] = Config
    for part in key.split("."):
        if part not in kind.model_fields:
            fields = list(kind.model_fields)
            hint = suggest(part, fields) if fields else "it is inside a value, not a section"
            raise ValueError(f"{where}: unknown config key {shown(key)}; {hint}")
        annotation = kind.model_fields[part].annotation
        parts = (annotation, *get_args(annotation))
        if any(get_origin(part) is dict for part in parts):
            return
        sections = (part for part in parts if isinstance(part, type) and issubclass(part, Section))
        kind = next(sections, Section)


def _axis(name: str, values: Any, where: str) -> Axis:
    if not isinstance(values, list) or not values:
        raise ValueError(f"{where}: expected a list of values, found {shown(values)}")
    kind = KINDS.get(name) or KINDS.get(name.partition(".")[0], "input")
    if kind in ("seed", "fold") and name != kind:
        kind = "input"
    choices = [_choice(name, kind, value, f"{where}.{n}") for n, value in enumerate(values)]
    _check_labels(choices, kind, where)
    return choices


def _choice(name: str, kind: Kind, value: Any, where: str) -> Choice:
    keys = set(value) if isinstance(value, dict) else set()
    label = value["label"] if "label" in keys else None
    if label is not None and not isinstance(label, str):
        raise ValueError(f"{where}.label: expected text, found {shown(label)}")
    if "set" in keys and keys <= {"label", "set"}:
        settings = value["set"]
        if label is None or not isinstance(settings, dict):
            raise ValueError(f"{where}: expected {{label: ..., set: {{key: value, ...}}}}")
        for key in settings:
            check_key(key, f"{where}.set")
        return Choice(name, kind, label, settings, label, where)
    if "value" in keys and keys <= {"label", "value"}:
        value = value["value"]
    elif keys & {"label", "value"}:
        extra = ", ".join(sorted(keys - {"label", "value"}))
        raise ValueError(f"{where}: {extra} beside label or value; give label and value, or set")
    if name != "fold":
        check_key(name, where.rpartition(".")[0])
    elif type(value) is not int or value < 0:
        raise ValueError(f"{where}: expected the number of a fold, found {shown(value)}")
    if label is None:
        label = _label(name, kind, value)
    elif kind not in LABELLED:
        raise ValueError(f"{where}.label: values of {name} name themselves; leave it out")
    shown_value = label if isinstance(value, dict | list) else value
    return Choice(name, kind, label, {} if name == "fold" else {name: value}, shown_value, where)


def _label(name: str, kind: Kind, value: Any) -> str:
    if kind not in LABELLED:
        return "x".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, dict) and "name" in value:
        return given_label(value)
    return f"{name.rpartition('.')[2]}={_short(value)}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _check_labels(choices: Axis, kind: Kind, where: str) -> None:
    """Raise ValueError for labels that cannot name folders, or that name the same one."""
    seen: dict[str, str] = {}
    for label in (choice.label for choice in choices):
        short = slug(label)
        if not label.isprintable() or (not short and (label or kind != "input")):
            raise ValueError(f"{where}: the label {shown(label)} cannot name a folder")
        if short in seen:
            if kind not in LABELLED:
                raise ValueError(f"{where}: {label} is listed twice")
            raise ValueError(f"{where}: {label!r} and {seen[short]!r} need labels that differ")
        seen[short] = label
