"""The kaggle command: the dataset and the kernel go up."""

import logging
import re
import shutil
from pathlib import Path

import gutseg
from gutseg import files
from gutseg.kaggle.commands import last_line, run_command

log = logging.getLogger(__name__)

# How the kaggle command says that it failed; its status is 0 all the same.
REFUSED = re.compile(r"error|forbidden|unauthori[sz]ed|not valid|could not|not found", re.I)
EXISTS = re.compile(r"already in use|already exists|409 - conflict", re.I)


def push(folder: Path) -> None:
    """Create or renew the dataset of a build, then its kernel."""
    files.need_file(folder / "bundle" / "dataset-metadata.json", "run: gutseg kernel build")
    if not shutil.which("kaggle"):
        raise FileNotFoundError("the kaggle command is not installed; pip install kaggle")
    bundle = ["-p", str(folder / "bundle"), "--dir-mode", "zip"]
    made = _kaggle("datasets", "create", *bundle, but=EXISTS)
    if EXISTS.search(made):
        _kaggle("datasets", "version", *bundle, "-m", f"gutseg {gutseg.__version__}")
    _kaggle("kernels", "push", "-p", str(folder / "infer"))


def _kaggle(*words: str, but: re.Pattern | None = None) -> str:
    """Return what the kaggle command prints; but: a failure that raises no ValueError."""
    done = run_command(["kaggle", *words])
    said = done.stdout + done.stderr
    for line in said.splitlines():
        if line.strip():
            log.info("kaggle: %s", line)
    lines = re.sub(r"https?://\S+", "", said).splitlines()  # addresses may hold any word
    wrong = [line for line in lines if REFUSED.search(line)]
    if (wrong or done.returncode) and not (but and but.search(said)):
        reason = wrong[0].strip() if wrong else last_line(said)
        raise ValueError(f"kaggle {' '.join(words[:2])} failed: {reason}")
    return said
