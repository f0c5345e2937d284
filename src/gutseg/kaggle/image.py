"""A virtual environment with what Kaggle's image has, of what is installed here."""

import re
import venv
from importlib import metadata
from pathlib import Path

# Of what gutseg requires; kaggle_requirements.txt of Kaggle/docker-python lists optuna, and the
# freeze of the Colab image that it builds on (googlecolab/backend-info, August 2026) the others.
ON_IMAGE = (
    *("torch", "torchvision", "timm", "albumentations", "opencv-python-headless", "numpy"),
    *("scipy", "pandas", "pyarrow", "scikit-learn", "numba", "einops", "pydantic", "PyYAML"),
    *("typer", "tqdm", "optuna", "plotly", "matplotlib", "tensorboard", "safetensors"),
)


def make_environment(folder: Path) -> Path:
    """Make an environment whose packages are links to the ones here; return its Python.

    It has those of ON_IMAGE and what they require, in the versions and for the Python that are
    installed here: not gutseg, and not what Kaggle's image lacks. Nothing is downloaded.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in sorted(_closure(ON_IMAGE)):
        _link(metadata.distribution(name), packages)
    return folder / "bin" / "python"


def _closure(names: tuple[str, ...]) -> set[str]:
    """Return the distributions of these names that are installed, and those that they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or Python; or the kernel will say so
        found.add(name)
        wanted = [line for line in required if "extra ==" not in line]
        waiting += [match[0] for line in wanted if (match := re.match(r"[\w.-]+", line))]
    return found


def _link(found: metadata.Distribution, packages: Path) -> None:
    """Link the top of everything that a distribution installed; parts of one folder meet there."""
    record = found.read_text("RECORD") or ""
    tops = {line.split(",")[0].split("/")[0] for line in record.splitlines()}
    for top in sorted(tops - {"", "..", "__pycache__"}):
        link, target = packages / top, Path(str(found.locate_file(top)))
        if target.exists() and not link.exists():
            link.symlink_to(target.resolve())
