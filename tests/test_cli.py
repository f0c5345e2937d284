"""What the command line answers without working: versions, completions, settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gutseg
from gutseg.cli import VERBS
from gutseg.config import Blend, Config, load
from gutseg.config.files import config
from gutseg.config.plain_yaml import comments, keys

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def _cli(*words, **environment):
    command = [sys.executable, "-m", "gutseg", *words]
    settings = {"capture_output": True, "text": True, "env": os.environ | environment}
    return subprocess.run(command, **settings)


def test_help_lists_the_verbs_without_loading_them():
    shown = _cli("--help").stdout
    assert all(verb in shown for verb in VERBS)
    seen = _cli("--help", PYTHONPROFILEIMPORTTIME="1").stderr
    assert "typer" in seen and not {"torch", "numpy", "pydantic"} & {*seen.split()}


def test_the_version():
    assert _cli("--version").stdout == f"gutseg {gutseg.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "at", "completed"),
    [("gutseg sp", 1, ["split"]), ("gutseg split --se", 2, ["--seed"])],
)
def test_a_shell_may_ask_how_to_complete(typed, at, completed):
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(at), "_GUTSEG_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv = ['gutseg']; from gutseg.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asked
    )
    assert done.stdout.split() == completed


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_shown_is_a_config_of_the_same_settings(path, tmp_path, capsys):
    config(path, ["seed=7"])
    (tmp_path / "shown.yaml").write_text(capsys.readouterr().out)
    shown = load(tmp_path / "shown.yaml")
    assert shown == load(path, ["seed=7"]) and shown.seed == 7


def _sections(kind):
    yield kind
    for field in keys(kind).values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if keys(inner):
                yield from _sections(inner)


KINDS = [*_sections(Config), *_sections(Blend)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_every_key_has_a_comment(kind):
    inner = {key for key, field in keys(kind).items() if field.annotation in KINDS}
    assert [key for key, text in comments(kind).items() if not text and key not in inner] == []


def test_comments_stand_above_their_keys(tmp_path, capsys):
    (tmp_path / "x.yaml").write_text("crop: {}\n")
    config(tmp_path / "x.yaml")
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("  quarter_turns: true")
    assert (
        lines[at - 1] == "  # turn crops by 0, 90, 180 or 270 degrees; an oblong crop by 0 or 180"
    )
    assert lines[lines.index("loss:") - 1] == "# The loss."
