"""The built kernel on a Kaggle-shaped tree: read-only inputs, no network, little memory."""

import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gutseg import files
from gutseg.constants import COMPETITION
from gutseg.kaggle import commands, metadata
from gutseg.kaggle.commands import Watched, last_line, run_command
from gutseg.kaggle.image import make_environment
from gutseg.kaggle.manifest import MARKER
from gutseg.kaggle.opening import verify

log = logging.getLogger(__name__)

GB = 10**9
# What a container on Kaggle has, without a GPU and with one.
LIMITS = {"cpu": 13 * GB, "cuda": 29 * GB}

BAR = re.compile(r"(/s|s/\w+)\]$")  # of tqdm, whatever it counts

# Python runs a sitecustomize.py before anything else; this one takes away the network, also from
# who would go on without, and keeps the sockets between processes of one machine.
OFFLINE = """
import socket

def refuse(*_, **__):
    with open({reached!r}, "a") as stream:
        stream.write("reached")
    raise OSError("the kernel reached for the network, and Kaggle has none while it scores")

def connect(self, address, real=socket.socket.connect):
    return real(self, address) if self.family == socket.AF_UNIX else refuse()

socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto = connect, refuse, refuse
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
"""

# Mounts what is read read-only, then becomes the command.
MOUNTS = """
set -e
while [ "$1" != -- ]; do
  mount --bind "$1" "$2" && mount -o remount,bind,ro,nosuid,nodev "$2"
  shift 2
done
shift
exec "$@"
"""


@dataclass(frozen=True)
class Ran:
    """What a kernel left behind."""

    # what the kernel is there to write
    written: Path
    # what it printed, the progress left out
    log: list[str]
    seconds: float
    peak_bytes: int


def run_like_kaggle(
    folder: Path,
    images: Path,
    workplace: Path,
    *,
    nested: bool = False,
    limit_bytes: int | None = None,
    settings: Mapping[str, str] | None = None,
    kind: metadata.Kind = "infer",
    attached: Mapping[str, Path] | None = None,
) -> Ran:
    """Run the built kernel on a competition's folder as Kaggle would; return what it left.

    workplace: an empty folder. nested: the newer mount form, competitions/<slug> and
    datasets/<owner>/<slug>. limit_bytes: Kaggle's, unless given. settings: variables for the
    kernel's environment, which has none of the user's, as its home has no caches. attached: what
    else is mounted below the inputs, by its place there. Raises ValueError when the bundle is not
    what was built, and when the kernel fails.
    """
    script = files.need_file(folder / kind / f"{kind}.py", "run: gutseg kernel build")
    files.need_file(folder / MARKER, "run: gutseg kernel build")
    metadata.check(folder, kind)
    verify(folder / "bundle")
    inputs, working = workplace / "input", workplace / "working"
    competition = inputs / ("competitions" if nested else "") / COMPETITION
    dataset = inputs / ("datasets/user" if nested else "") / "gutseg-bundle"
    read = {files.competition_folder(images): competition, folder / "bundle": dataset}
    read |= {path: inputs / place for place, path in (attached or {}).items()}
    for target in (*read.values(), working, workplace / "home", workplace / "tmp"):
        target.mkdir(parents=True)
    reached = workplace / "reached"
    python = make_environment(workplace / "image")
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    (site / "sitecustomize.py").write_text(OFFLINE.format(reached=str(reached)))
    command = [*_isolated(read, workplace), str(python), "-P", str(script.resolve())]
    places = {"HOME": workplace / "home", "TMPDIR": workplace / "tmp", "GUTSEG_INPUT": inputs}
    environment = {key: str(place.resolve()) for key, place in places.items()}
    environment |= {"PATH": os.environ.get("PATH", os.defpath), **(settings or {})}
    limit = limit_bytes or LIMITS[device_kind()]
    done = commands.run_watched(command, cwd=working, env=environment, limit_bytes=limit)
    written = _written(done, working / metadata.WRITES[kind], reached, limit)
    return Ran(written, _said(done), done.seconds, done.peak_bytes)


def device_kind() -> str:
    """Return cuda or cpu, whichever the kernel finds here."""
    import torch  # takes seconds

    return "cuda" if torch.cuda.is_available() else "cpu"


def _written(done: Watched, path: Path, reached: Path, limit: int) -> Path:
    """Return what a kernel wrote; ValueError says why there is nothing to trust."""
    for line in _said(done):
        log.info("kernel: %s", line)
    if done.too_much:
        found = f"held {done.peak_bytes / GB:.1f} GB and was stopped, Kaggle gives {limit / GB:.0f}"
        raise ValueError(f"the kernel {found}; lower predict.batch_size or blend fewer networks")
    if done.returncode:
        raise ValueError(f"the kernel ended with {done.returncode}: {last_line(done.stderr)}")
    if reached.exists():
        why = "Kaggle has none while it scores: put the file that it wants into the bundle"
        raise ValueError(f"the kernel reached for the network, though it went on; {why}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; the kernel ended without writing it")
    return path


def _said(done: Watched) -> list[str]:
    lines = (done.stdout + done.stderr).replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and not BAR.search(line)]


def _isolated(read: Mapping[Path, Path], workplace: Path) -> list[str]:
    """Return what runs a command without a network and mounts `read` (from, to) read-only.

    Containers often forbid one or both. Without mounts, `read` is linked and copied; without a
    network of its own, OFFLINE stops Python alone.
    """
    pairs = [str(path.resolve()) for pair in read.items() for path in pair]
    shell = ["sh", "-c", MOUNTS, "sh"]
    unshared = ["unshare", "--map-root-user", "--net"]
    if allowed([*unshared, "--mount", *shell, *pairs, "--", "true"]):
        return [*unshared, "--mount", *shell, *pairs, "--"]
    (competition, at), *others = read.items()
    at.rmdir()
    at.symlink_to(competition.resolve())
    for source, target in others:
        shutil.copytree(source, target, dirs_exist_ok=True)
        for path in target.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
    return unshared if allowed([*unshared, "true"]) else []


def allowed(command: list[str]) -> bool:
    """Say whether a command exists and succeeds here."""
    return shutil.which(command[0]) is not None and not run_command(command).returncode
