"""The readable table behind LOSSES, MODELS and AUGMENTATIONS."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError


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


def check(
    table: Mapping[str, Spec], name: str, params: Mapping[str, Any], *, where: str = "name"
) -> dict[str, Any]:
    """Check a component's name and parameters; return all of them, defaults included, coerced.

    Only keyword-only parameters can be set from a config; the positional ones are what the
    pipeline passes in (channels, logits, ...). where: the config key, for the error.
    Raises ValueError naming the key and the choices.
    """
    if name not in table:
        raise ValueError(f"{where}: unknown name {name!r}; {suggest(name, list(table))}")
    build = table[name].build
    signature = inspect.signature(build)
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build)
    settable = {
        key: parameter
        for key, parameter in signature.parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    checked = {
        key: parameter.default
        for key, parameter in settable.items()
        if parameter.default is not inspect.Parameter.empty
    }
    for key, value in params.items():
        if key not in settable:
            hint = suggest(key, sorted(settable)) if settable else "it has no parameters"
            raise ValueError(f"{where}.params: {name!r} has no parameter {key!r}; {hint}")
        checked[key] = _coerce(value, hints.get(key, Any), f"{where}.params.{key}")
    missing = [
        key
        for key, parameter in settable.items()
        if parameter.default is inspect.Parameter.empty and key not in params
    ]
    if missing:
        raise ValueError(f"{where}.params: {name!r} also needs {', '.join(missing)}")
    return checked


def _coerce(value: Any, annotation: Any, where: str) -> Any:
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{where}: {problem['msg']}, found {problem['input']!r}") from None
