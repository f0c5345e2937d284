"""YAML as configs use it: read without what bites, written with a comment above every key."""

import inspect
import re
import textwrap
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from gutseg.registry import shown
from gutseg.settings import Section

# far above any config; a deeper one would overrun the stack
DEEPEST = 32
# columns; longer lists are broken
WIDTH = 100

TAG = "tag:yaml.org,2002:"
REPLACED = ("int", "float", "timestamp")
# a longer number becomes a float, which no whole number of a config may be
INT = re.compile(r"[-+]?(0|[1-9][0-9_]{0,17})$")
FLOAT = re.compile(
    r"([-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN))$"
)


class _Loader(yaml.SafeLoader):
    """YAML with 1.2's numbers and without what bites: PyYAML would read 3e-4 as a string, 010
    as 8, 1:30 as 90 and 2024-01-05 as a date, and take the later one of two equal keys.
    """

    level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _problem(event, f"*{event.anchor} repeats another place; write its value out")
        if getattr(event, "tag", None) is not None:
            raise _problem(event, f"the tag {event.tag} is not supported; write the plain value")
        if self.level == DEEPEST:
            raise _problem(event, f"nested deeper than {DEEPEST} levels")
        self.level += 1
        node = super().compose_node(parent, index)
        self.level -= 1
        return node

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.tag != f"{TAG}str":
                kind = key.tag.removeprefix(TAG)
                raise _problem(key, f"a key of type {kind}; keys are text, write it in quotes")
            if key.value in seen:
                raise _problem(key, f"the key {shown(key.value)} is given twice")
            seen.add(key.value)
        return node


class _Dumper(yaml.SafeDumper):
    """Writes what _Loader reads back: quotes around text that it would take for a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in rows if tag.removeprefix(TAG) not in REPLACED]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(f"{TAG}int", INT, list("-+0123456789"))
    _kind.add_implicit_resolver(f"{TAG}float", FLOAT, list("-+0123456789."))


def _problem(place: yaml.Node | yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def parse(text: str, where: str = "the text") -> Any:
    """Read YAML in which 3e-4 is a number; where names the source in errors.

    Raises ValueError naming the line, also of a key given twice, an alias and deep nesting.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        problem = f"line {error.problem_mark.line + 1}: {error.problem}"
    except yaml.YAMLError as error:
        # characters that YAML forbids
        problem = " ".join(str(error).split())
    raise ValueError(f"{where} is not valid YAML: {problem}")


def plain(section: Section) -> str:
    """Return a resolved config or blend, every default spelled out."""
    return yaml.dump(section.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False)


def commented(section: Any, values: dict[str, Any]) -> str:
    """Return a section and its plain values as YAML with a comment above every key."""
    text = ""
    for key, about in comments(type(section)).items():
        inner, value = getattr(section, key), values[key]
        lines = written({key: value})
        if keys(type(inner)):
            about = about or (inspect.getdoc(inner) or "").split("\n")[0]
            lines = f"{key}:\n{textwrap.indent(commented(inner, value), '  ')}"
        text += textwrap.indent(about, "# ") + "\n" + lines
    return text


def written(values: dict[str, Any]) -> str:
    """Return plain values as YAML: lists and mappings without others inside stand on one line."""
    text = ""
    for key, value in values.items():
        flow = None if isinstance(value, dict | list) else False
        text += yaml.dump(
            {key: value}, Dumper=_Dumper, sort_keys=False, default_flow_style=flow, width=WIDTH
        )
    return text


def keys(kind: type) -> dict[str, FieldInfo]:
    """Return the keys of a section's class, none for other classes."""
    return getattr(kind, "__pydantic_fields__", {})


def comments(kind: type) -> dict[str, str]:
    """Return the comment above each field of a section's class, or of the class it extends."""
    base = kind.__base__
    found = dict.fromkeys(keys(kind), "") | (comments(base) if base and keys(base) else {})
    above: list[str] = []
    for line in inspect.getsource(kind).splitlines():
        comment = re.fullmatch(r"    # (.*)", line)
        field = re.match(r"    (\w+):", line)
        if field and field[1] in found:
            found[field[1]] = "\n".join(above) or found[field[1]]
        above = [*above, comment[1]] if comment else []
    return found
