"""One YAML per experiment: `sections` says what can stand in it, `files` reads and writes it."""

from gutseg.config.blend import Blend, Member, Rule, Rules
from gutseg.config.files import dump, flat, load, load_blend, parse, put, read_with, validate
from gutseg.config.sections import Config, Optim, Predict, Train

__all__ = [
    "Blend",
    "Config",
    "Member",
    "Optim",
    "Predict",
    "Rule",
    "Rules",
    "Train",
    "dump",
    "flat",
    "load",
    "load_blend",
    "parse",
    "put",
    "read_with",
    "validate",
]
