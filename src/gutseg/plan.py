"""gutseg plan FOLDER --out plan.yaml: a config for a data folder, with its reasons."""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

from gutseg.config import Config, validate
from gutseg.config.files import put
from gutseg.config.plain_yaml import parse
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources import read
from gutseg.facts import usable_memory
from gutseg.files import check_output, replacing
from gutseg.gpu import unsupported
from gutseg.jobs import num_cores
from gutseg.models.packaged import PACKAGED, Packaged
from gutseg.planning import Machine, as_yaml, decide, fingerprint, table
from gutseg.planning.writing import BEGINS
from gutseg.registry import shown

SourceName = Literal["competition", "isbi", "png_folder", "conic", "monusac"]


def plan(
    folder: Annotated[
        Path, typer.Argument(help="a prepared cache, or images as --source has them")
    ],
    source: Annotated[
        SourceName, typer.Option(help="as `gutseg list datasets` says")
    ] = "competition",
    out: Annotated[Path, typer.Option(help="the config to write")] = Path("plan.yaml"),
    param: Annotated[
        list[str] | None, typer.Option(help="of the source, as ignore=255; may be repeated")
    ] = None,
) -> None:
    """Write a config for a data folder, with the reason for every choice above its key.

    At most 20 scans are read. What is found is printed; nothing is trained.
    """
    check_output(out, [folder], BEGINS.encode())
    params = _params(param or [])
    seen = Inputs(Stack(), Scaling(), Geometry(kind="native"))
    found = fingerprint(source, read(source, folder, seen, params), this_machine())
    choices = decide(found)
    text = as_yaml(choices, out.stem, source, folder, params)
    validate(Config, parse(text), str(out))  # a name that is none, say, before anything is written
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(table(found))
    print(f"{out}: {len(choices)} choices; gutseg train {out}")


def _params(given: list[str]) -> dict[str, Any]:
    """Return what --param says, as data.params has it."""
    found: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise ValueError(f"--param {shown(one)} is not of the form key=value, as ignore=255")
        if key == "binary":
            raise ValueError(
                "--param binary: a plan is for all classes; gutseg reuse has binary ones"
            )
        put(found, key, parse(value, f"--param {shown(one)}"))
    return found


def this_machine() -> Machine:
    """Return what a training here may use."""
    has_gpu = torch.cuda.is_available() and not unsupported()
    gpu = torch.cuda.get_device_properties(0) if has_gpu else None
    return Machine(
        cores=num_cores(),
        memory_gib=usable_memory() / 2**30,
        gpu=gpu.name if gpu else "",
        gpu_gib=gpu.total_memory / 2**30 if gpu else 0.0,
        weights=tuple(name for name, row in PACKAGED.items() if _is_there(row)),
    )


def _is_there(row: Packaged) -> bool:
    try:
        row.find()
    except (ValueError, FileNotFoundError):
        return False
    return True
