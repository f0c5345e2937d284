"""What `gutseg kernel check` does: the built kernel on a Kaggle-shaped tree, without a network."""

import logging
import os
import shutil
import site
import sys
from pathlib import Path

from gutseg import files
from gutseg.constants import COMPETITION
from gutseg.kaggle import metadata
from gutseg.kaggle.commands import last_line, run_command
from gutseg.kaggle.manifest import MARKER
from gutseg.kaggle.opening import verify

log = logging.getLogger(__name__)

# Python runs a sitecustomize.py before anything else; this one takes away the network.
OFFLINE = """
import socket

def refuse(*_, **__):
    raise OSError("the kernel reached for the network, and Kaggle has none while it scores")

socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
"""


def run_like_kaggle(folder: Path, images: Path, workplace: Path, *, nested: bool = False) -> Path:
    """Run the built kernel on a Kaggle-shaped input tree; return the csv it wrote.

    As on Kaggle there is no network and none of the user's caches. workplace: an empty folder.
    nested: the newer mount form, competitions/<slug> and datasets/<owner>/<slug>. Raises
    ValueError when the bundle is not what was built, and when the kernel fails.
    """
    script = files.need_file(folder / "infer" / "infer.py", "run: gutseg kernel build")
    files.need_file(folder / MARKER, "run: gutseg kernel build")
    metadata.check(folder)
    verify(folder / "bundle")
    names = ("input", "working", "home", "offline")
    inputs, working, home, offline = (workplace / name for name in names)
    competition = inputs / ("competitions" if nested else "") / COMPETITION
    dataset = inputs / ("datasets/user" if nested else "") / "gutseg-bundle"
    for target in (competition, dataset, working):
        target.parent.mkdir(parents=True, exist_ok=True)
    competition.symlink_to(files.competition_folder(images).resolve())
    shutil.copytree(folder / "bundle", dataset)
    for target in (working, home, offline):
        target.mkdir()
    (offline / "sitecustomize.py").write_text(OFFLINE)
    # packages may lie below the user's home, what the hubs keep there must not be found
    places = {"HOME": home, "PYTHONPATH": offline, "PYTHONUSERBASE": site.getuserbase()}
    clean = {"PATH": os.environ.get("PATH", os.defpath), "GUTSEG_INPUT": str(inputs)}
    command = [*_no_network(), sys.executable, "-P", str(script.resolve())]
    done = run_command(
        command, cwd=working, env=clean | {key: str(at) for key, at in places.items()}
    )
    for line in (done.stdout + done.stderr).splitlines():
        if line.strip() and "scan/s]" not in line:  # but for the bar
            log.info("kernel: %s", line)
    if done.returncode:
        raise ValueError(f"the kernel ended with {done.returncode}: {last_line(done.stderr)}")
    return files.need_file(working / files.SUBMISSION, "the kernel ended without writing it")


def _no_network() -> list[str]:
    """Return what keeps a command from the network, nothing where the system forbids it.

    Containers often do: OFFLINE then stops Python alone.
    """
    command = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and not run_command([*command, "true"]).returncode
    return command if allowed else []
