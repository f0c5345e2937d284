"""Reading configs with errors that name the key and the choices, and writing them back."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from gutseg.config.blend import Blend
from gutseg.config.plain_yaml import keys, parse, plain
from gutseg.config.sections import Config
from gutseg.files import read_text, replacing
from gutseg.registry import as_json, explain, listed, shown, suggest
from gutseg.settings import Section

AnySection = TypeVar("AnySection", bound=Section)

# bytes, far above any config; a longer one takes minutes to parse
LARGEST = 2**20

# Keys of older configs and blends: section (* any key or place of a list, ** any number of them),
# old key, new key within the section. Nothing else knows the old ones.
RENAMED = (
    ("data", "cache", "folder"),
    ("data", "blacklist", "params.blacklist"),
    ("optim", "final_lr", "final_lr_ratio"),
    ("rules.*", "smallest", "min_component_size"),
)
RENAMED_LOSSES = {
    "asymmetric_as_printed_004": "asymmetric_as_printed",
    "dice_as_printed_001": "dice_as_printed",
    "generalised_dice_as_printed_003": "generalised_dice_as_printed",
    "penalty_as_printed_004": "penalty_as_printed",
    "soft_dice_001": "soft_dice_per_pixel",
    "wce_003": "weighted_bce_from_predictions",
}
# Likewise values: section, key, new values by old ones, patterns of fnmatch.
RENAMED_VALUES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("loss", "name", RENAMED_LOSSES),
    ("loss.params.**", "loss", RENAMED_LOSSES),
    ("loss.params.**", "absent", {"present": "skip"}),
    ("augment", "name", {"seed00[1]": "elastic_blur_noise"}),
)


def load(path: Path, overrides: list[str] | None = None) -> Config:
    """Read an experiment and apply `key=value` overrides such as `train.epochs=3`.

    Raises ValueError naming the key, what was found and the choices.
    """
    return validate(Config, read_with(path, overrides), str(path))


def read_with(path: Path, overrides: list[str] | None = None) -> dict:
    """Read a YAML and apply `key=value` overrides; `name` is the file's unless it gives one."""
    content = {"name": path.stem} | _read(path)
    for override in overrides or []:
        given = shown(override)
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise ValueError(f"{given} is not of the form key=value, as in train.epochs=3")
        _set(content, key.split("."), parse(value, given), given)
        _rename(content, given)
    return content


def load_blend(path: Path) -> Blend:
    """Read a blend.yaml."""
    return validate(Blend, _read(path), str(path))


def _read(path: Path) -> dict:
    text = read_text(path, "give a YAML file, for example configs/demo.yaml", LARGEST)
    content = parse(text, str(path))
    if not isinstance(content, dict):
        raise ValueError(f"{path} {'holds no `key: value` lines' if text.strip() else 'is empty'}")
    _rename(content, str(path))
    return content


def _rename(content: dict, where: str) -> None:
    """Replace old keys and values in place; raises ValueError for a key given by both names."""
    for pattern, old, new in RENAMED:
        for section in _sections(content, pattern.split(".")):
            if old not in section:
                continue
            *outer, key = new.split(".")
            inner = section
            for name in outer:
                inner = inner.setdefault(name, {})
            if not isinstance(inner, dict) or key in inner:
                raise ValueError(
                    f"{where}: {pattern}.{old} is called {pattern}.{new} now; give that alone"
                )
            inner[key] = section.pop(old)
    for pattern, key, values in RENAMED_VALUES:
        for section in _sections(content, pattern.split(".")):
            for old, new in values.items():
                if isinstance(value := section.get(key), str) and fnmatchcase(value, old):
                    section[key] = new


def _sections(content: Any, pattern: list[str]) -> Iterator[dict]:
    """Yield the mappings inside content whose path has the pattern of RENAMED."""
    if not pattern:
        if isinstance(content, dict):
            yield content
        return
    first, *rest = pattern
    inside: dict[Any, Any] = {}
    if isinstance(content, dict | list):
        inside = content if isinstance(content, dict) else dict(enumerate(content))
    if first == "**":
        yield from _sections(content, rest)
    for key, child in inside.items():
        if first == "**":
            yield from _sections(child, pattern)
        elif first in ("*", key):
            yield from _sections(child, rest)


def _set(content: dict, keys: list[str], value: Any, given: str) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise ValueError(f"{given}: {key} is a value, not a section")
    content[keys[-1]] = value


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
    return f"{key}: unknown key; {suggest(location[-1], list(keys(kind)))}"


def dump(section: Section, path: Path) -> None:
    """Write a resolved config or blend, every default spelled out."""
    with replacing(path) as temporary:
        temporary.write_text(plain(section), encoding="utf-8")
