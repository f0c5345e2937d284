"""docs/kaggle.md gives commands and options that there are."""

import inspect
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from gutseg.cli import VERBS

PAGE = (Path(__file__).parents[1] / "docs" / "kaggle.md").read_text()
COMMANDS = re.findall(r"^    \$ gutseg (.+)$", PAGE, re.M)


def test_every_step_of_the_way_is_shown():
    verbs = [command.split()[0] for command in COMMANDS]
    assert list(dict.fromkeys(verbs)) == [
        *("phantom", "doctor", "prepare", "split", "train", "predict", "blend", "submit"),
        *("validate", "score", "kernel"),
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_has_these_options(command):
    verb, *words = shlex.split(command)
    assert verb in VERBS
    known = inspect.signature(getattr(import_module(f"gutseg.{verb}"), verb)).parameters
    options = [word.removeprefix("--").replace("-", "_") for word in words if word[:2] == "--"]
    assert [option for option in options if option not in known] == []
