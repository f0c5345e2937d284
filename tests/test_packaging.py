"""What is installed fits together and is declared once in two places."""

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import torch
from torchvision.ops import nms

ROOT = Path(__file__).parents[1]


def test_requirements_and_pyproject_name_the_same_ranges():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert wanted == declared


def test_only_one_distribution_owns_cv2():
    """opencv-python and opencv-python-headless overwrite each other's files."""
    assert packages_distributions()["cv2"] == ["opencv-python-headless"]


def test_torchvision_was_built_for_this_torch():
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]])
    assert nms(boxes, torch.tensor([0.5, 0.9]), 0.5).tolist() == [1]


def test_albumentations_does_not_ask_the_network_for_updates():
    import os

    import gutseg

    assert gutseg.__version__
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
