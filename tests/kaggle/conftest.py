"""Builds whose kernel is a given script, run in an environment that is made once."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel_builds import write_build

from gutseg.kaggle import sandbox
from gutseg.kaggle.image import make_environment
from gutseg.kaggle.metadata import Kind


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with what Kaggle's image has."""
    return make_environment(tmp_path_factory.mktemp("image"))


@pytest.fixture
def built(tmp_path: Path, python: Path, monkeypatch) -> Callable[..., Path]:
    """A function that writes a build whose kernel is the given script."""
    site = next(python.parents[1].glob("lib/python*/site-packages"))

    def same(folder: Path) -> Path:
        # of a sitecustomize.py that was written again within the second, Python takes the old one
        shutil.rmtree(site / "__pycache__", ignore_errors=True)
        return python

    monkeypatch.setattr(sandbox, "make_environment", same)

    def write(script: str, kind: Kind = "infer") -> Path:
        folder = write_build(tmp_path, script, "[{run: runs/a, folds: [0, 1]}]", kind)
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "sample_submission.csv").write_text("id,class,predicted\n")
        return folder

    return write


@pytest.fixture(params=["namespaces", "none"])
def isolation(request, monkeypatch) -> str:
    """What the system allows: a network and mounts of one's own, or neither."""
    if request.param == "none":
        monkeypatch.setattr(sandbox, "allowed", lambda command: False)
    elif sys.platform != "linux" or not sandbox.allowed(["unshare", "-rnm", "true"]):
        pytest.skip("this system lets nobody unshare namespaces")
    return request.param
