"""A push without Kaggle: a small build, and the stand-in of fake_kaggle.py for the command."""

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import fake_kaggle

from gutseg.kaggle import client, manifest, metadata
from gutseg.kernel import kernel

ROOT = Path(__file__).parents[1]


def write_build(
    folder: Path, weights: str = "weights", user: str = "me", kind: metadata.Kind = "infer"
) -> Path:
    """The parts of a build that a push looks at."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bundle", kind):
        (folder / name).mkdir(parents=True)
    (folder / "bundle" / "blend.yaml").write_text(weights)
    name = "gutseg" if kind == "infer" else f"gutseg {kind}"
    metadata.write_dataset(folder / "bundle", user, name)
    manifest.write(folder / "bundle", 0.5)
    (folder / kind / f"{kind}.py").write_text("print('predict')\n")
    template = ROOT / "kernels" / kind / "kernel-metadata.json"
    metadata.write_kernel(template, folder / kind, user, "gutseg")
    return folder


class Kaggle:
    """What stands in for Kaggle: its state, its next answers, and what it was asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir(parents=True)
        (root / "token").touch()
        script = Path(__file__).with_name("fake_kaggle.py").read_text()
        (root / "bin" / "kaggle").write_text(f"#!{sys.executable} -SE\n{script}")
        (root / "bin" / "kaggle").chmod(0o755)
        output = {"submission.csv": "id,class,predicted\n", "score.json": '{"score": 0.7681}'}
        self.write(datasets={}, kernels={}, submissions=[], output=output)
        self.answer()

    def write(self, **state) -> None:
        (self.root / "state.json").write_text(json.dumps(state))

    def change(self, **state) -> None:
        self.write(**(json.loads((self.root / "state.json").read_text()) | state))

    def answer(self, **answers) -> None:
        """Have commands (kernels_push=...) answer with these (stdout, stderr, status) first."""
        content = {name.replace("_", " "): found for name, found in answers.items()}
        (self.root / "answers.json").write_text(json.dumps(content))

    def calls(self) -> list[str]:
        """Return what was asked since the last time."""
        path = self.root / "calls.txt"
        found = path.read_text().splitlines() if path.is_file() else []
        path.unlink(missing_ok=True)
        return found


def run_here(command: list[str]) -> subprocess.CompletedProcess:
    """Run the stand-in without a process of its own, which takes a quarter of a second."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            fake_kaggle.main(command[1:])
        except SystemExit as end:
            status = end.code
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())


def push_with(place: Path, message: str = "", state: dict | None = None, **answers) -> None:
    """Push a new build to a new Kaggle that gives these answers first; see Kaggle.answer."""
    kaggle = Kaggle(place / "fake")
    kaggle.answer(**answers)
    kaggle.change(**state or {})
    found = {"FAKE_KAGGLE": str(kaggle.root), "PATH": str(kaggle.root / "bin")}
    with (
        patch.dict(os.environ, found),
        patch.object(client, "EVERY", 0),
        patch.object(client, "run_command", run_here),
    ):
        kernel("push", folder=write_build(place / "build"), submit=message)
