"""What is installed fits together and is declared once in two places."""

import os
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import torch
import yaml
from torchvision.ops import nms

import gutseg

ROOT = Path(__file__).parents[1]


def test_requirements_and_pyproject_name_the_same_ranges():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert wanted == declared


def test_the_wheel_contains_every_file_of_the_package():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    package = ROOT / "src" / "gutseg"
    packed = {path for glob in declared["package-data"]["gutseg"] for path in package.glob(glob)}
    files = {path for path in package.rglob("*.*") if path.is_file() and path.suffix != ".py"}
    assert {path for path in files if path.parent.name != "__pycache__"} == packed


def test_only_one_distribution_owns_cv2():
    """opencv-python and opencv-python-headless overwrite each other's files."""
    assert packages_distributions()["cv2"] == ["opencv-python-headless"]


def test_torchvision_was_built_for_this_torch():
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]])
    assert nms(boxes, torch.tensor([0.5, 0.9]), 0.5).tolist() == [1]


def test_albumentations_does_not_ask_the_network_for_updates():
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"


def test_files_for_github_parse():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert any(step.get("run") == ".ci/run" for step in steps)
    assert (ROOT / ".ci/run").is_file()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == declared["version"] == gutseg.__version__
    assert citation["license"] == "MIT"


def test_every_cited_source_is_in_the_references():
    key = re.compile(r"\[([A-ZÀ-Ž][\w-]+(?: [A-Z])? (?:19|20)\d\d)\b")
    known = set(re.findall(r"^\| \[([^]]+)\]", (ROOT / "docs/references.md").read_text(), re.M))
    kinds = ("src/**/*.py", "src/**/*.csv", "configs/**/*.yaml", "docs/**/*.md", "*.md")
    unknown = {
        f"{path.relative_to(ROOT)}: {cited}"
        for kind in kinds
        for path in ROOT.glob(kind)
        for cited in key.findall(path.read_text())
        if cited not in known
    }
    assert not unknown, f"add these to docs/references.md: {sorted(unknown)}"
