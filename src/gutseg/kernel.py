"""gutseg kernel build|check|push: the Kaggle kernel and the dataset it reads."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gutseg.kaggle.bundle import build_bundle
from gutseg.kaggle.code_bundle import Kind, build_code_bundle
from gutseg.kaggle.metadata import kaggle_user
from gutseg.kaggle.push import push
from gutseg.kaggle.rehearsal import check
from gutseg.kaggle.steps import kept


def kernel(
    action: Annotated[Literal["build", "check", "push"], typer.Argument(help="what to do")],
    blend: Annotated[Path | None, typer.Option(help="the blend.yaml to build from")] = None,
    folder: Annotated[Path, typer.Option(help="where the build lies")] = Path("build/kaggle"),
    user: Annotated[str | None, typer.Option(help="Kaggle name; else KAGGLE_USERNAME")] = None,
    wheels: Annotated[bool, typer.Option(help="attach what Kaggle's image lacks")] = True,
    name: Annotated[str, typer.Option(help="begins the titles on Kaggle")] = "gutseg",
    images: Annotated[Path | None, typer.Option(help="check: on this folder alone")] = None,
    full: Annotated[bool, typer.Option(help="check: on slices of real size")] = False,
    submit: Annotated[str, typer.Option(help="push: submit too, with this message")] = "",
    dry_run: Annotated[bool, typer.Option(help="push: print the commands, run none")] = False,
    kind: Annotated[
        Kind, typer.Option(help="build: the kernel; cv scores what is attached")
    ] = "infer",
    config: Annotated[Path | None, typer.Option(help="build --kind train: what to train")] = None,
) -> None:
    """Build the kernel and its dataset, check them as Kaggle would run them, or push them.

    check draws the public view and a hidden test with faults, and runs the kernel on both: inputs
    read-only, no network, Kaggle's memory, its packages alone. push with --blend builds first.
    """
    if kind != "infer":
        _build_code(action, kind, folder, user or kaggle_user(), config, wheels, name)
        return
    if action == "check":
        check(folder, images, full)
        return
    if blend is not None:
        with kept(folder):
            build_bundle(blend, folder, user or kaggle_user(), wheels, name)
    elif action == "build":
        raise ValueError("kernel build needs --blend blends/NAME/blend.yaml")
    if action == "push":
        push(folder, submit, dry_run)
    else:
        print(f"{folder}: bundle/ and infer/; next: gutseg kernel check --folder {folder}")


def _build_code(
    action: str,
    kind: Kind,
    folder: Path,
    user: str,
    config: Path | None,
    wheels: bool,
    name: str,
) -> None:
    """Build a kernel that needs no weights; below build/kaggle it has a folder of its own."""
    if action != "build":
        raise ValueError(f"kernel {action} is for the kernel that submits; build has --kind {kind}")
    build_code_bundle(kind, folder, user, config, wheels, name)
    first = f"kaggle datasets create -p {folder / 'bundle'} --dir-mode zip"
    print(f"{folder}: next: {first}; kaggle kernels push -p {folder / kind}")
