"""docs/kaggle.md gives commands and options that there are."""

import inspect
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from gutseg.cli import VERBS
from gutseg.kaggle.metadata import Kind

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "kaggle.md").read_text()
COMMANDS = re.findall(r"^    \$ gutseg (.+)$", PAGE, re.M)


def test_every_step_of_the_way_is_shown():
    verbs = [command.split()[0] for command in COMMANDS]
    assert list(dict.fromkeys(verbs)) == [
        *("phantom", "doctor", "prepare", "split", "train", "predict", "blend", "submit"),
        *("validate", "score", "kernel"),
    ]


def test_every_kernel_is_built_checked_and_pushed_and_has_its_notebook():
    for kind in get_args(Kind):
        option = "" if kind == "infer" else f" --kind {kind}"
        for action in ("build", "check", "push"):
            start = f"kernel {action}{option}"
            assert any(command.startswith(start) for command in COMMANDS), start
        path = f"kernels/{kind}/{kind}.ipynb"
        assert f"`{path}`" in PAGE and (ROOT / path).is_file()


def test_every_command_has_its_output_below_it():
    after = re.findall(r"^    \$ gutseg .+\n(.*)$", PAGE, re.M)
    assert len(after) == len(COMMANDS)
    assert all(line.startswith("    ") and line.strip() for line in after)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_has_these_options(command):
    verb, *words = shlex.split(command)
    assert verb in VERBS
    known = inspect.signature(getattr(import_module(f"gutseg.{verb}"), verb)).parameters
    options = [word.removeprefix("--").replace("-", "_") for word in words if word[:2] == "--"]
    assert [option for option in options if option not in known] == []
