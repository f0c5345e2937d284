"""One YAML per experiment: `sections` says what can stand in it, `files` reads and writes it."""

from gutseg.config.blend import Blend, Member, Rule, Rules
from gutseg.config.files import dump, load, load_blend, parse, read_with, validate
from gutseg.config.sections import Config, Optim, Predict, Presence, Train

__all__ = [
    "Blend",
    "Config",
    "Member",
    "Optim",
    "Predict",
    "Presence",
    "Rule",
    "Rules",
    "Train",
    "dump",
    "load",
    "load_blend",
    "parse",
    "read_with",
    "validate",
]
