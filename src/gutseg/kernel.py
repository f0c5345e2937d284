"""gutseg kernel build|check|push: the Kaggle kernel and the dataset it reads."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gutseg.kaggle.bundle import build_bundle
from gutseg.kaggle.code_bundle import build_code_bundle
from gutseg.kaggle.metadata import Kind, kaggle_user
from gutseg.kaggle.push import push, resume_training
from gutseg.kaggle.rehearsal import check
from gutseg.kaggle.steps import kept

HOME = Path("build/kaggle")


def kernel(
    action: Annotated[Literal["build", "check", "push"], typer.Argument(help="what to do")],
    blend: Annotated[Path | None, typer.Option(help="the blend.yaml to build from")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="where the build lies; default: build/kaggle[-KIND]")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Kaggle name; else KAGGLE_USERNAME")] = None,
    wheels: Annotated[bool, typer.Option(help="attach what Kaggle's image lacks")] = True,
    name: Annotated[str, typer.Option(help="begins the titles on Kaggle")] = "gutseg",
    images: Annotated[Path | None, typer.Option(help="check: on this folder alone")] = None,
    full: Annotated[bool, typer.Option(help="check: on slices of real size")] = False,
    submit: Annotated[str, typer.Option(help="push: submit too, with this message")] = "",
    dry_run: Annotated[bool, typer.Option(help="push: print the commands, run none")] = False,
    kind: Annotated[
        Kind, typer.Option(help="infer submits, train trains a fold, cv scores what is attached")
    ] = "infer",
    config: Annotated[Path | None, typer.Option(help="--kind train: what to train")] = None,
    attach: Annotated[
        list[str] | None,
        typer.Option(help="--kind train, cv: datasets/OWNER/SLUG or code/OWNER/SLUG, to be read"),
    ] = None,
) -> None:
    """Build the kernel and its dataset, check them as Kaggle would run them, or push them.

    check draws the public view and a hidden test with faults, and runs the kernel on both: inputs
    read-only, no network, Kaggle's memory, its packages alone. push builds first where it is told
    what: --blend, or --config for the kernel that trains.
    """
    folder = folder or (HOME if kind == "infer" else HOME.with_name(f"{HOME.name}-{kind}"))
    _check_options(action, kind, blend, config, attach)
    if action == "check":
        check(folder, images, full, kind)
        return
    if blend or config or attach or action == "build":
        owner = user or kaggle_user()
        with kept(folder):
            if blend:
                build_bundle(blend, folder, owner, wheels, name)
            else:
                build_code_bundle(kind, folder, owner, config, wheels, name, attach or [])
        resume_training(folder, kind)
    if action == "push":
        push(folder, submit, dry_run, kind)
    else:
        says = "" if kind == "infer" else f" --kind {kind}"
        print(f"{folder}: bundle/ and {kind}/; next: gutseg kernel check{says} --folder {folder}")


def _check_options(
    action: str, kind: Kind, blend: Path | None, config: Path | None, attach: list[str] | None
) -> None:
    """Raise ValueError for an option that a kernel of this kind does not read or lacks."""
    if kind == "infer" and action == "build" and blend is None:
        raise ValueError("kernel build needs --blend blends/NAME/blend.yaml")
    if attach and action == "check":
        raise ValueError("--attach is for kernel build and push; build with it, then check")
    given = {"--blend": blend, "--config": config, "--attach": attach}
    read = {"infer": ["--blend"], "train": ["--config", "--attach"], "cv": ["--attach"]}
    for option, value in given.items():
        if value and option not in read[kind]:
            raise ValueError(f"{option} is not for kernel --kind {kind}; leave it out")
