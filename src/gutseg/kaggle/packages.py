"""Wheels, written offline from what is installed here: what was tested is what travels."""

import base64
import hashlib
import sys
import zipfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import gutseg

# Import name -> distribution, of what networks are made of and Kaggle's image lacks: neither its
# kaggle_requirements.txt (Kaggle/docker-python) nor the freeze of the Colab image that it builds on
# (googlecolab/backend-info, August 2026) lists them.
LACKING = {
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "monai": "monai",
    "dynamic_network_architectures": "dynamic-network-architectures",
}
WHEEL = "Wheel-Version: 1.0\nGenerator: gutseg\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
# What an installer wrote, or `_write` writes.
INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "METADATA", "WHEEL", "direct_url.json")
# zip knows no earlier date; a fixed one makes equal content equal bytes
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_own(folder: Path) -> Path:
    """Write the wheel of this version into folder and return its path."""
    package = Path(gutseg.__file__).parent
    content = {
        f"gutseg/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.suffix in (".py", ".csv") or (path.parent.name == "assets" and path.is_file())
    }
    python = "Requires-Python: >=3.11\nLicense: MIT\n"
    about = f"Metadata-Version: 2.1\nName: gutseg\nVersion: {gutseg.__version__}\n{python}"
    return _write(folder, "gutseg", gutseg.__version__, about, content)


def write_installed(folder: Path, name: str) -> Path:
    """Write the wheel of an installed distribution of pure Python and return its path.

    Raises ValueError when it is absent or has compiled parts, which would fit this Python alone.
    """
    attach = "attach a dataset that holds its wheel and build with --no-wheels"
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        problem = "a network of the blend needs it and Kaggle's image lacks it"
        raise ValueError(f"{name} is not installed here: {problem}; pip install {name}") from None
    if "Root-Is-Purelib: true" not in (found.read_text("WHEEL") or ""):
        kept = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        raise ValueError(f"{name} has compiled parts for {kept}, not for Kaggle's; {attach}")
    content = {
        file.as_posix(): Path(str(found.locate_file(file))).read_bytes()
        for file in found.files or []
        if ".." not in file.parts and file.suffix != ".pyc" and file.name not in INSTALLERS
    }
    about = (found.read_text("METADATA") or "").rstrip() + "\n"
    return _write(folder, name.replace("-", "_"), found.version, about, content)


def needed(modules: Iterable[object]) -> list[str]:
    """Return the distributions of LACKING that the classes of objects come from."""
    rooms = {type(module).__module__.split(".")[0] for module in modules}
    return sorted(LACKING[room] for room in rooms & LACKING.keys())


def _write(folder: Path, name: str, version: str, about: str, content: Mapping[str, bytes]) -> Path:
    """Write a wheel: the content, its .dist-info and the RECORD of all sums."""
    info = f"{name}-{version}.dist-info"
    files = {**content, f"{info}/METADATA": about.encode(), f"{info}/WHEEL": WHEEL.encode()}
    lines = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(data)}\n")
    files[f"{info}/RECORD"] = ("".join(lines) + f"{info}/RECORD,,\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            member = zipfile.ZipInfo(path, EPOCH)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(member, data)
    return target
