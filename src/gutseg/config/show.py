"""gutseg config CONFIG key=value...: the settings of an experiment, each with what it means."""

from pathlib import Path
from typing import Annotated

import typer

from gutseg.config.files import load
from gutseg.config.plain_yaml import commented


def config(
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="a YAML of configs/")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value ...")] = None,
) -> None:
    """Print all settings of an experiment, defaults included, with a comment above each.

    What is printed is itself a config that gives the same settings.
    """
    settings = load(file, overrides)
    print(commented(settings, settings.model_dump(mode="json")), end="")
