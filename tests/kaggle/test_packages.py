"""Wheels written from what is installed are whole, the same each time, and of pure Python."""

import base64
import hashlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch

from gutseg import models
from gutseg.kaggle.image import ON_IMAGE
from gutseg.kaggle.packages import LACKING, needed, write_installed, write_own

ROOT = Path(__file__).parents[2]


def _check_record(path: Path) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(path)
    record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
    lines = [line.rsplit(",", 2) for line in archive.read(record).decode().splitlines()]
    assert [name for name, *_ in lines] == archive.namelist() and lines[-1] == [record, "", ""]
    for name, digest, size in lines[:-1]:
        data = archive.read(name)
        found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        assert (digest, int(size)) == (f"sha256={found}", len(data))
    return archive


def test_the_wheel_of_this_version_is_the_package_and_nothing_else(tmp_path):
    first, again = write_own(tmp_path / "a"), write_own(tmp_path / "b")
    assert (
        first.name == "gutseg-0.1.0-py3-none-any.whl" and first.read_bytes() == again.read_bytes()
    )
    archive = _check_record(first)
    package = ROOT / "src" / "gutseg"
    names = {name for name in archive.namelist() if name.startswith("gutseg/")}
    files = [path for path in package.rglob("*.*") if path.suffix in (".py", ".csv")]
    files += package.glob("*/assets/*.*")  # of pages
    assert names == {f"gutseg/{path.relative_to(package).as_posix()}" for path in files}
    assert archive.read("gutseg/submit.py") == (package / "submit.py").read_bytes()


@pytest.mark.slow
def test_pip_installs_it_without_a_network(tmp_path):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    wheel = write_own(tmp_path)
    subprocess.run([*command, "--no-compile", "--target", tmp_path / "site", wheel], check=True)
    assert (tmp_path / "site" / "gutseg" / "study" / "published").is_dir()
    assert (tmp_path / "site" / "gutseg-0.1.0.dist-info" / "METADATA").is_file()


def test_a_wheel_of_what_is_installed_keeps_its_files_and_licence(tmp_path):
    path = write_installed(tmp_path, "segmentation-models-pytorch")
    assert path.name.endswith("-py3-none-any.whl")
    names = _check_record(path).namelist()
    assert "segmentation_models_pytorch/__init__.py" in names
    assert any("LICENSE" in name for name in names)
    assert not [name for name in names if name.endswith((".pyc", "INSTALLER", "direct_url.json"))]


def test_what_fits_this_python_alone_is_not_attached(tmp_path):
    with pytest.raises(ValueError, match=r"numpy has compiled parts for Python 3.* not for Kag"):
        write_installed(tmp_path, "numpy")
    with pytest.raises(ValueError, match="no-such-thing is not installed here: .*pip install no-s"):
        write_installed(tmp_path, "no-such-thing")


def test_what_networks_are_made_of_decides_what_is_attached():
    own = models.build("unet", 3, 3, widths=[4, 8])
    theirs = type("SegResNet", (torch.nn.Module,), {"__module__": "monai.networks.nets.segresnet"})
    assert needed(own.modules()) == []
    assert needed(torch.nn.Sequential(own, theirs()).modules()) == ["monai"]


def test_every_requirement_is_on_the_image_or_known_to_be_lacking():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {line.split(">")[0].split("<")[0].split("=")[0] for line in declared}
    assert names == set(ON_IMAGE) | {"segmentation-models-pytorch", "monai"}
    assert set(LACKING.values()).isdisjoint(ON_IMAGE)
