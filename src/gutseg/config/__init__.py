"""One YAML per experiment: `sections` says what can stand in it, `files` reads and writes it."""

from gutseg.config.files import dump, load, load_blend, parse, read_with, validate
from gutseg.config.sections import Blend, Config, Member, OrganRule, Rules, Section

__all__ = [
    "Blend",
    "Config",
    "Member",
    "OrganRule",
    "Rules",
    "Section",
    "dump",
    "load",
    "load_blend",
    "parse",
    "read_with",
    "validate",
]
