"""What `gutseg doctor` looks at: this machine, what is installed, and where the data is.

Only the standard library is imported until torch is asked for: the doctor is called when other
packages are missing.
"""

import os
import re
import shutil
import sys
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import gutseg
from gutseg.constants import COMPETITION
from gutseg.files import competition_folder
from gutseg.kaggle.token import find_token

CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# Where the data is looked for when nobody says: the working directory, data/, Kaggle's mount.
PLACES = (Path(COMPETITION), Path("data") / COMPETITION, Path("/kaggle/input"))


@dataclass(frozen=True)
class Gpu:
    """One GPU that torch sees."""

    name: str
    capability: tuple[int, int]
    memory_gib: float
    # whether this torch has machine code for it
    supported: bool


@dataclass(frozen=True)
class Torch:
    """What torch says of itself; of one that does not load only why."""

    version: str = ""
    # of CUDA, "" for a build without
    cuda: str = ""
    # architectures that it was built for: sm_75, ...
    built: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    # the first line of the error
    broken: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything that the doctor judges."""

    python: str
    # package or "python" to its range, as pyproject.toml has it; empty when that is not known
    ranges: dict[str, str]
    # package to its version, "" where it is not installed
    versions: dict[str, str]
    # None: not installed
    torch: Torch | None
    # whether an NVIDIA driver is there, whatever torch sees
    has_driver: bool
    free_gib: float
    memory_gib: float
    # where the data was looked for, and where it was found
    places: tuple[Path, ...]
    data: Path | None
    # path of the kaggle command and place of its token, "" without
    kaggle: str
    token: str


def gather(data: Path | None, out: Path) -> Facts:
    """Look at everything. data: where it should be; out: on the disk that has to have room."""
    places = (data,) if data else PLACES
    ranges = _ranges()
    versions = {name: _version(name) for name in ranges if name != "python"}
    return Facts(
        python=".".join(map(str, sys.version_info[:3])),
        ranges=ranges,
        versions=versions,
        torch=_torch() if _version("torch") else None,
        has_driver=shutil.which("nvidia-smi") is not None,
        free_gib=shutil.disk_usage(_existing(out)).free / 2**30,
        memory_gib=usable_memory() / 2**30,
        places=places,
        data=_find(places),
        kaggle=shutil.which("kaggle") or "",
        token=find_token(),
    )


def _ranges() -> dict[str, str]:
    """Read the ranges of a clone's pyproject.toml, or of the installed package."""
    path = Path(gutseg.__file__).parents[2] / "pyproject.toml"
    if path.is_file():
        project = tomllib.loads(path.read_text())["project"]
        wanted, python = project["dependencies"], project["requires-python"]
    else:
        try:
            found = metadata.metadata("gutseg")
        except metadata.PackageNotFoundError:
            return {}
        wanted = [one for one in found.get_all("Requires-Dist") or [] if "extra ==" not in one]
        python = found["Requires-Python"]
    pairs = (re.fullmatch(r"([\w.-]+)\s*([^;]*)(;.*)?", one) for one in wanted)
    return {"python": python} | {pair[1]: pair[2].strip() for pair in pairs if pair}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _torch() -> Torch:
    try:
        import torch

        from gutseg.gpu import covers
    except (ImportError, OSError, RuntimeError) as error:  # a library of CUDA is missing or old
        return Torch(broken=(str(error).splitlines() or [type(error).__name__])[0])
    built, gpus = tuple(torch.cuda.get_arch_list()), []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        capability = (properties.major, properties.minor)
        memory = properties.total_memory / 2**30
        gpus.append(Gpu(properties.name, capability, memory, covers(built, capability)))
    return Torch(torch.__version__, torch.version.cuda or "", built, tuple(gpus))


def _existing(path: Path) -> Path:
    """Return the nearest folder that exists: what is to be written may not be there yet."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def usable_memory() -> int:
    """Return bytes of memory that this process may have: a container's limit counts."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CGROUP:
        text = path.read_text().strip() if path.is_file() else ""
        limits += [int(text)] if text.isdigit() else []
    return min(limits)


def _find(places: tuple[Path, ...]) -> Path | None:
    for place in places:
        try:
            return competition_folder(place)
        except FileNotFoundError:
            continue
    return None
