"""The readable table behind LOSSES, MODELS and AUGMENTATIONS."""

import difflib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

# what an error names of many; the rest is counted
NAMED = 5
# characters of a value that an error shows
SHOWN = 80


@dataclass(frozen=True)
class Spec:
    """One row of a table of components: what builds it, and where the idea comes from."""

    build: Callable[..., Any]
    source: str


def suggest(name: str, choices: list[str]) -> str:
    """Return 'choices: a, b, c', led by the closest spelling when there is one."""
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}choices: {', '.join(choices)}"


def require(name: str, table: Iterable[str], where: str) -> None:
    """Raise ValueError naming the choices unless a table has the name; where: a key or option."""
    if name not in (choices := list(table)):
        raise ValueError(f"{where}: unknown name {shown(name)}; {suggest(name, choices)}")


def shown(value: Any) -> str:
    """Return a value as an error shows it: on one line, the start of a long one."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def as_is(text: str) -> str:
    """Return text of a file or command as it is, or as `shown` when it would spoil the line."""
    return text if text.isprintable() and len(text) <= SHOWN else shown(text)


def brief(error: BaseException) -> str:
    """Return what a library's error says, on one line of at most 200 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


def listed(names: Iterable[str], count: int, separator: str = ", ") -> str:
    """Return the first five of `count` names and how many more there are."""
    text = separator.join(islice(names, NAMED))
    return text if count <= NAMED else f"{text}{separator}and {count - NAMED} more"


def counted(names: Iterable[str], kind: str) -> str:
    """Return how many there are and the first five: '7 scans (a, b, c, d, e, and 2 more)'."""
    names = sorted(names)
    plural = "" if len(names) == 1 else "s"
    return f"{len(names)} {kind}{plural} ({listed(names, len(names))})"


def not_bool(value: Any) -> Any:
    """Return any value but true and false, which Python takes for 1 and 0 among choices."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, found {str(value).lower()}")
    return value


def as_json(content: Any) -> str:
    """Return plain values as JSON, the form whose strict reading by pydantic suits a config.

    A list may stand for a tuple, text for a path and 1 for 1.0; true is no number, "3" is text.
    """
    return json.dumps(content, default=str)


def explain(problem: Mapping[str, Any]) -> str:
    """Return what one problem of a pydantic ValidationError was, without its place."""
    if problem["type"] == "value_error":  # raised by a check of our own
        return str(problem["ctx"]["error"])
    return f"{problem['msg']}, found {shown(problem['input'])}"


def check(
    table: Mapping[str, Spec], name: str, params: Mapping[str, Any], *, where: str = "name"
) -> dict[str, Any]:
    """Check a component's name and parameters; return all of them, defaults included, coerced.

    Only keyword-only parameters can be set from a config; their annotations say what is accepted,
    pydantic's bounds and validators included. where: the config key, for errors, which are
    ValueErrors naming the key and the choices.
    """
    require(name, table, where)
    build = table[name].build
    parameters = inspect.signature(build).parameters.values()
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build, include_extras=True)
    checked = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    for key, value in params.items():
        if key not in checked:
            hint = suggest(key, sorted(checked)) if checked else "it has no parameters"
            raise ValueError(f"{where}.params: {name!r} has no parameter {shown(key)}; {hint}")
        checked[key] = coerce(value, hints.get(key, Any), f"{where}.params.{key}")
    if missing := [key for key, value in checked.items() if value is inspect.Parameter.empty]:
        raise ValueError(f"{where}.params: {name!r} also needs {', '.join(missing)}")
    return checked


def coerce(value: Any, annotation: Any, where: str) -> Any:
    """Return a value as its annotation has it; raises ValueError naming the config key."""
    adapter = TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))
    try:
        return adapter.validate_json(as_json(value), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, (where, *problem["loc"])))
        raise ValueError(f"{key}: {explain(problem)}") from None
