"""What Kaggle is told about the kernel and its dataset, and whose they are."""

import json
import os
import shutil
from pathlib import Path

import gutseg
from gutseg import files


def write_metadata(bundle: Path, infer: Path, user: str) -> None:
    """Write folder/bundle's dataset-metadata.json, and the kernel with its own into infer."""
    source = Path(gutseg.__file__).parents[2] / "kernels" / "infer"
    files.need_file(source / "infer.py", "run `gutseg kernel build` from a clone of the repository")
    infer.mkdir()
    shutil.copy(source / "infer.py", infer)
    text = (source / "kernel-metadata.json").read_text().replace("USER/", f"{user}/")
    (infer / "kernel-metadata.json").write_text(text)
    slug = json.loads(text)["dataset_sources"][0]
    licence = [{"name": "other"}]  # the code's is MIT, in bundle/code; weights have none
    dataset = {"title": "gutseg bundle", "id": slug, "licenses": licence}
    files.write_json(bundle / "dataset-metadata.json", dataset)


def kaggle_user() -> str:
    """Return the name given by the environment or by the token; raises ValueError without one."""
    if name := os.environ.get("KAGGLE_USERNAME"):
        return name
    folder = os.environ.get("KAGGLE_CONFIG_DIR")
    token = (Path(folder) if folder else Path.home() / ".kaggle") / "kaggle.json"
    if not token.is_file():
        raise ValueError(f"whose kernel? give --user, set KAGGLE_USERNAME or create {token}")
    try:
        return str(json.loads(token.read_text())["username"])
    except (ValueError, KeyError, TypeError):
        problem = f'{token} is not of the form {{"username": ..., "key": ...}}'
        remedy = "create a new token on kaggle.com/settings, or give --user"
        raise ValueError(f"{problem}; {remedy}") from None
