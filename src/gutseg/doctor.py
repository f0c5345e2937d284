"""gutseg doctor: what this machine lacks, with the command that mends it."""

import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from gutseg.constants import COMPETITION, NATIVE_SIZES
from gutseg.facts import Facts, Torch, gather
from gutseg.kaggle.token import SETTINGS

# GB that `prepare` writes for the whole training set: 2 bytes of image and 1 of mask a pixel.
CACHE_GB = 3 * sum(w * h * slices for (w, h), slices in NATIVE_SIZES.items()) / 1e9
# A training of the demo and its data; configs for a GPU take more.
LITTLE_MEMORY = 4
COMPARE = {">=": operator.ge, "<": operator.lt, "==": operator.eq, "<=": operator.le}
# PyTorch's builds for CUDA 12.6 are the last for GPUs before 7.5 (pytorch/pytorch#190385).
OLDER_GPUS = "pip install 'torch<2.15' --index-url https://download.pytorch.org/whl/cu126"
INSTALL = "pip install -r requirements.txt"


class Finding(NamedTuple):
    """One line. mark: ok, `--` (not there, and not always needed) or `!!` (to be mended)."""

    mark: str
    what: str
    remedy: str = ""


def doctor(
    data: Annotated[Path | None, typer.Option(help="where the competition's data is")] = None,
    out: Annotated[Path, typer.Option(help="a folder on the disk to write to")] = Path(),
) -> None:
    """Look at Python, torch, GPU, packages, disk, data and the kaggle command.

    One line each: ok, -- (not there, needed for some commands) or !! (to be mended), and the
    command that mends it. Ends with status 2 when a line begins with !!.
    """
    findings = list(judge(gather(data, out)))
    for mark, what, remedy in findings:
        print(f"{mark}  {what}" + (f"; {remedy}" if remedy else ""))
    if wrong := [finding for finding in findings if finding.mark == "!!"]:
        is_are = "thing is" if len(wrong) == 1 else "things are"
        raise ValueError(f"{len(wrong)} {is_are} to be mended: the lines with !!")


def judge(facts: Facts) -> Iterator[Finding]:
    """Yield what is well and what is not."""
    yield from _packages(facts)
    yield from _gpu(facts)
    disk = f"{facts.free_gib:.0f} GiB free on the disk"
    if facts.free_gib * 2**30 < CACHE_GB * 1e9:
        yield Finding("--", disk, f"prepare writes {CACHE_GB:.1f} GB of the whole training set")
    else:
        yield Finding("ok", disk)
    memory = f"{facts.memory_gib:.0f} GiB of memory"
    if facts.memory_gib < LITTLE_MEMORY:
        yield Finding("--", memory, "train and predict with --jobs 1 and train.workers=0")
    else:
        yield Finding("ok", memory)
    if facts.data:
        yield Finding("ok", f"data in {facts.data}")
    else:
        get = f"kaggle competitions download -c {COMPETITION} and unzip it, or --data FOLDER"
        yield Finding("--", f"no data in {', '.join(map(str, facts.places))}", get)
    yield from _kaggle(facts)


def _packages(facts: Facts) -> Iterator[Finding]:
    if not facts.ranges:
        problem = "no pyproject.toml, and gutseg is not installed: nothing says what it needs"
        yield Finding("--", problem, "pip install -e . in a clone")
    python = f"Python {facts.python}"
    if within(facts.python, wanted := facts.ranges.get("python", "")):
        yield Finding("ok", python)
    else:
        get = "make PYTHON=python3.12 in a clone, without .venv"
        yield Finding("!!", f"{python}, gutseg needs {wanted}", get)
    count = 0
    for name, version in facts.versions.items():
        wanted = facts.ranges[name]
        install = f"pip install '{name}{wanted}'"
        if not version:
            yield Finding("!!", f"{name} is not installed", install)
        elif not within(version, wanted):
            yield Finding("!!", f"{name} {version}, gutseg needs {wanted}", install)
        else:
            count += 1
    if count:
        yield Finding("ok", f"{count} of {len(facts.versions)} packages are in their ranges")


def within(version: str, wanted: str) -> bool:
    """Say whether a version is in a range such as >=2.0.8,<3; letters after the numbers are cut."""
    for clause in filter(None, re.split(r"\s*,\s*", wanted)):
        found = re.match(r"(>=|<=|==|<)\s*(.+)", clause)
        if not found:
            raise ValueError(f"the range {wanted!r} is not made of >=, <=, == and <")
        if not COMPARE[found[1]](_numbers(version), _numbers(found[2])):
            return False
    return True


def _numbers(version: str) -> list[int]:
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:  # 2.0 is 2
        numbers.pop()
    return numbers


def _gpu(facts: Facts) -> Iterator[Finding]:
    torch = facts.torch
    if torch is None:
        return  # named among the packages
    if torch.broken:
        get = "pip install --force-reinstall torch torchvision"
        yield Finding("!!", f"torch does not load ({torch.broken})", get)
        return
    yield Finding("ok", f"torch {torch.version}, {_build(torch)}")
    if torch.gpus:
        for number, gpu in enumerate(torch.gpus):
            what = f"GPU {number}: {gpu.name}, {gpu.memory_gib:.0f} GiB"
            what += f", compute capability {gpu.capability[0]}.{gpu.capability[1]}"
            if gpu.supported:
                yield Finding("ok", what)
            else:
                problem = "which this torch was not built for: its first operation would fail"
                get = f"on Kaggle choose GPU T4 x2, elsewhere {OLDER_GPUS}"
                yield Finding("!!", f"{what}, {problem}", get)
    elif facts.has_driver:
        get = "pip install --force-reinstall torch torchvision" if not torch.cuda else OLDER_GPUS
        why = "it was built without CUDA" if not torch.cuda else "the driver is perhaps too old"
        yield Finding("!!", f"nvidia-smi is here, but torch sees no GPU: {why}", get)
    else:
        yield Finding("--", "no GPU", "configs/demo.yaml and configs/real_scan.yaml train without")


def _build(torch: Torch) -> str:
    return f"CUDA {torch.cuda} for {', '.join(torch.built)}" if torch.cuda else "without CUDA"


def _kaggle(facts: Facts) -> Iterator[Finding]:
    if facts.kaggle:
        yield Finding("ok", f"kaggle command: {facts.kaggle}")
    else:
        yield Finding("--", "no kaggle command, which kernel push needs", "pip install kaggle")
    if facts.token:
        yield Finding("ok", f"Kaggle's token: {facts.token}")
    else:
        get = f"kaggle auth login, or a token of {SETTINGS} in ~/.kaggle/access_token"
        yield Finding("--", "no token of Kaggle, which kernel push needs", get)
