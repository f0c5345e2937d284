"""Reading configs with errors that name the key and the choices, and writing them back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import typer
from pydantic import ValidationError

from gutseg.config.blend import Blend
from gutseg.config.plain_yaml import commented, keys, parse, plain
from gutseg.config.sections import Config
from gutseg.files import read_text, replacing
from gutseg.registry import as_is, as_json, explain, listed, shown, suggest
from gutseg.settings import Section

AnySection = TypeVar("AnySection", bound=Section)

# bytes, far above any config; a longer one takes minutes to parse
LARGEST = 2**20

# What configs and blends of older versions called these keys, for the refusal.
RENAMED = {
    "cache": "folder",
    "blacklist": "params.blacklist",
    "final_lr": "final_lr_ratio",
    "smallest": "min_component_size",
}


def load(path: Path, overrides: list[str] | None = None) -> Config:
    """Read an experiment and apply `key=value` overrides such as `train.epochs=3`."""
    return validate(Config, read_with(path, overrides), str(path))


def read_with(path: Path, overrides: list[str] | None = None) -> dict:
    """Read a YAML and apply `key=value` overrides; `name` is the file's unless it gives one."""
    content = {"name": path.stem} | _read(path)
    for override in overrides or []:
        given = shown(override)
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise ValueError(f"{given} is not of the form key=value, as in train.epochs=3")
        put(content, key, parse(value, given))
    return content


def load_blend(path: Path) -> Blend:
    """Read a blend.yaml."""
    return validate(Blend, _read(path), str(path))


def _read(path: Path) -> dict:
    text = read_text(path, "give a YAML file, for example configs/demo.yaml", LARGEST)
    content = parse(text, str(path))
    if not isinstance(content, dict):
        raise ValueError(f"{path} {'holds no `key: value` lines' if text.strip() else 'is empty'}")
    return content


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys; of equal keys the last one counts."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested mappings; a section that is null or absent is made."""
    *outer, last = key.split(".")
    for name in outer:
        if content.get(name) is None:
            content[name] = {}
        content = content[name]
        if not isinstance(content, dict):
            raise ValueError(f"{as_is(key)}: {name} is {shown(content)}, not a section")
    content[last] = value


def validate(kind: type[AnySection], content: dict, where: str) -> AnySection:
    """Build a section from plain values; where names the source in errors."""
    try:
        return kind.model_validate_json(as_json(content), strict=True)
    except ValidationError as error:
        problems = error.errors()
        text = listed((_explain(kind, problem) for problem in problems), len(problems), "; ")
        raise ValueError(f"{where}: {text}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _explain(kind: type, problem: Mapping[str, Any]) -> str:
    location = problem["loc"]
    key = ".".join(part if part.isprintable() else repr(part) for part in map(str, location))
    if problem["type"] not in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{key}: {explain(problem)}" if key else explain(problem)
    for part in location[:-1]:
        if part in keys(kind):
            inner = keys(kind)[part].annotation
            kind = (get_args(inner) or (inner,))[0]
    if location[-1] in RENAMED:
        return f"{key}: unknown key; it is called {RENAMED[location[-1]]} now"
    return f"{key}: unknown key; {suggest(location[-1], list(keys(kind)))}"


def dump(section: Section, path: Path) -> None:
    """Write a resolved config or blend, every default spelled out."""
    with replacing(path) as temporary:
        temporary.write_text(plain(section), encoding="utf-8")


def config(
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="a YAML of configs/")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value ...")] = None,
) -> None:
    """Print all settings of an experiment, defaults included, with a comment above each.

    What is printed is itself a config that gives the same settings.
    """
    settings = load(file, overrides)
    print(commented(settings, settings.model_dump(mode="json")), end="")
