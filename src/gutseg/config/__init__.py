"""One YAML per experiment: `sections` says what can stand in it, `files` reads and writes it."""

from gutseg.config.blend import Blend, Rule
from gutseg.config.files import dump, load, load_blend, validate
from gutseg.config.sections import Config, Predict, Presence
from gutseg.config.training import Optim, Train

__all__ = [
    "Blend",
    "Config",
    "Optim",
    "Predict",
    "Presence",
    "Rule",
    "Train",
    "dump",
    "load",
    "load_blend",
    "validate",
]
