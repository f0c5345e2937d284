"""A plan as a config with a comment above every choice, and a fingerprint as a table."""

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gutseg.config.plain_yaml import WIDTH, written
from gutseg.planning.fingerprint import Fingerprint
from gutseg.planning.rules import Choice

# how every plan begins: what `gutseg plan` may replace
BEGINS = "# Planned by gutseg plan"
HEAD = (
    f"{BEGINS} from what the data and this machine show: the reason stands above every key, and a "
    "key that has none here keeps its default (gutseg config FILE prints them all). A start that "
    "was not tuned on these data."
)


def as_yaml(
    choices: Iterable[Choice], name: str, source: str, folder: Path, params: Mapping[str, Any]
) -> str:
    """Return a plan as the text of a config.

    name: of the experiment. source, folder, params: what data.source, data.folder and data.params
    are; defaults are left out.
    """
    given = {"source": source, "folder": str(folder), "params": dict(params)}
    usual = {"source": "competition", "folder": "cache", "params": {}}
    sections: dict[str, list[str]] = {
        "data": [written({key: value for key, value in given.items() if value != usual[key]})]
    }
    for choice in choices:
        section, _, key = choice.key.partition(".")
        text = _comment(choice, key or section, 2 if key else 0)
        if not choice.is_default:
            text += written({key or section: choice.value})
        sections.setdefault(section, []).append(text)
    parts = [textwrap.indent(textwrap.fill(HEAD, WIDTH - 2), "# ")[2:], written({"name": name})]
    nested = {choice.key.partition(".")[0] for choice in choices if "." in choice.key}
    for section, texts in sections.items():
        body = "".join(texts)
        parts.append(f"{section}:\n{textwrap.indent(body, '  ')}" if section in nested else body)
    return "\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


def _comment(choice: Choice, key: str, indent: int) -> str:
    why = f"{key}, as by default: {choice.why}" if choice.is_default else choice.why
    return textwrap.indent(textwrap.fill(why, WIDTH - 2 - indent), "# ") + "\n"


def table(f: Fingerprint) -> str:
    """Return a fingerprint in two columns."""
    rows = [
        (
            "images",
            f"{f.images} in {f.scans} scans of {f.groups} groups, at most {f.most_days} each",
        ),
        ("sizes", _first(f"{h} x {w} ({n})" for (h, w), n in f.sizes.items())),
        ("planes of a scan", f"{f.depth}, the body fills {f.body[0]} x {f.body[1]} of them"),
        ("spacing, mm", _first(" x ".join(map("{:g}".format, one)) for one in f.spacings)),
        ("without objects", f"{f.empty_share:.1%}"),
        ("classes", "exclude each other" if f.exclusive else "may overlap"),
    ]
    rows += [
        (f"  {one.name}", f"{one.share:.2%} of the pixels, {one.pieces:g} pieces in a scan")
        for one in f.classes
    ]
    lows, highs = [one.low for one in f.greys], [one.high for one in f.greys]
    ends = (f"{_number(min(ends))} to {_number(max(ends))}" for ends in (lows, highs))
    rows.append(("grey values", "1 % at {}, 99.5 % at {}".format(*ends)))
    machine = f.machine
    gpu = f"{machine.gpu} of {machine.gpu_gib:.0f} GiB" if machine.gpu_gib else "no GPU"
    rows.append(("machine", f"{machine.cores} cores, {machine.memory_gib:.1f} GiB, {gpu}"))
    rows.append(("weights", ", ".join(machine.weights) or "none"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value or 'unknown'}" for name, value in rows)


def _first(texts: Iterable[str], most: int = 6) -> str:
    shown = list(texts)
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
