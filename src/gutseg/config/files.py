"""Reading configs with errors that name the key and the choices, and writing them back."""

import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from gutseg.config.sections import Blend, Config, Section
from gutseg.paths import need_file, replacing
from gutseg.registry import suggest

AnySection = TypeVar("AnySection", bound=Section)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats: PyYAML would read 3e-4 as a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf)|\.(nan|NaN))$"),
    list("-+0123456789."),
)


def parse(text: str) -> Any:
    """Read YAML in which 3e-4 is a number."""
    return yaml.load(text, Loader=_Loader)


def load(path: Path, overrides: list[str] | None = None) -> Config:
    """Read an experiment and apply `key=value` overrides such as `train.epochs=3`.

    Raises ValueError naming the key, what was found and the choices.
    """
    return validate(Config, read_with(path, overrides), str(path))


def read_with(path: Path, overrides: list[str] | None = None) -> dict:
    """Read a YAML and apply `key=value` overrides; `name` is the file's unless it gives one."""
    content = {"name": path.stem} | _read(path)
    for override in overrides or []:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise ValueError(f"{override!r} is not of the form key=value, as in train.epochs=3")
        _set(content, key.split("."), parse(value), override)
    return content


def load_blend(path: Path) -> Blend:
    """Read a blend.yaml."""
    return validate(Blend, _read(path), str(path))


def _read(path: Path) -> dict:
    need_file(path, "give a YAML file, for example configs/demo.yaml")
    try:
        content = parse(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no `key: value` lines")
    return content


def _set(content: dict, keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise ValueError(f"{override!r}: {key} is a value, not a section")
    content[keys[-1]] = value


def validate(kind: type[AnySection], content: dict, where: str) -> AnySection:
    """Build a section from plain values; where names the source in errors."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_explain(kind, problem) for problem in error.errors())
        raise ValueError(f"{where}: {problems}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _explain(kind: type[Section], problem: dict) -> str:
    location = problem["loc"]
    key = ".".join(map(str, location))
    if problem["type"] == "value_error":  # raised by a check of our own
        return f"{key}: {problem['ctx']['error']}" if key else str(problem["ctx"]["error"])
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']}, found {problem['input']!r}"
    for part in location[:-1]:
        if part in kind.model_fields:
            inner = kind.model_fields[part].annotation
            kind = (get_args(inner) or (inner,))[0]
    return f"{key}: unknown key; {suggest(location[-1], list(kind.model_fields))}"


def dump(section: Section, path: Path) -> None:
    """Write a resolved config or blend, every default spelled out."""
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(section.model_dump(mode="json"), sort_keys=False))
