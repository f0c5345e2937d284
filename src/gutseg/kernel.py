"""gutseg kernel build|check|push: the Kaggle kernel and the dataset it reads."""

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from gutseg.kaggle.bundle import build_bundle
from gutseg.kaggle.metadata import kaggle_user
from gutseg.kaggle.push import push
from gutseg.kaggle.sandbox import run_like_kaggle


def kernel(
    action: Annotated[Literal["build", "check", "push"], typer.Argument(help="what to do")],
    blend: Annotated[Path | None, typer.Option(help="the blend.yaml to build from")] = None,
    folder: Annotated[Path, typer.Option(help="where the build lies")] = Path("build/kaggle"),
    user: Annotated[str | None, typer.Option(help="Kaggle name; else KAGGLE_USERNAME")] = None,
    wheels: Annotated[bool, typer.Option(help="attach what Kaggle's image lacks")] = True,
    name: Annotated[str, typer.Option(help="begins the titles on Kaggle")] = "gutseg",
    images: Annotated[Path | None, typer.Option(help="check: a competition's folder")] = None,
) -> None:
    """Build the kernel and its dataset, check them offline, or push them to Kaggle.

    push with --blend builds first.
    """
    if action == "check":
        if images is None:
            raise ValueError("kernel check needs --images, the competition's folder")
        with tempfile.TemporaryDirectory() as workplace:
            csv = run_like_kaggle(folder, images, Path(workplace))
            rows = csv.read_text().count("\n") - 1
        print(f"{folder}: the kernel wrote {rows} rows for {images}")
        return
    if blend is not None:
        build_bundle(blend, folder, user or kaggle_user(), wheels, name)
    elif action == "build":
        raise ValueError("kernel build needs --blend blends/NAME/blend.yaml")
    if action == "push":
        push(folder)
    else:
        print(f"{folder}: bundle/ and infer/; next: gutseg kernel push --folder {folder}")
