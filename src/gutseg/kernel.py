"""gutseg kernel build|check|push: the Kaggle kernel and the dataset it reads."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

import gutseg
from gutseg.config import dump, load_blend
from gutseg.constants import COMPETITION
from gutseg.paths import (
    SUBMISSION,
    check_output_folder,
    competition_folder,
    need_file,
    replacing_folder,
    write_json,
)

# Not on Kaggle's image; pure Python or manylinux wheels, fetched by `build --wheels`.
WHEELS = ("segmentation-models-pytorch", "connected-components-3d")
# All that `build` writes: what a folder may hold to be replaced.
WRITTEN = (
    *("bundle/code/*", "bundle/runs/*", "bundle/wheels/*", "bundle/blend.yaml"),
    *("bundle/bundle.json", "bundle/dataset-metadata.json"),
    *("infer/infer.py", "infer/kernel-metadata.json"),
)
MARKER = "bundle/bundle.json"


def kernel(
    action: Annotated[Literal["build", "check", "push"], typer.Argument(help="what to do")],
    blend: Annotated[Path | None, typer.Option(help="the blend.yaml to build from")] = None,
    folder: Annotated[Path, typer.Option(help="where the build lies")] = Path("build/kaggle"),
    user: Annotated[str | None, typer.Option(help="Kaggle name; else KAGGLE_USERNAME")] = None,
    wheels: Annotated[bool, typer.Option(help="also fetch what Kaggle's image lacks")] = True,
    images: Annotated[
        Path | None, typer.Option(help="check: a competition's folder to run the kernel on")
    ] = None,
) -> None:
    """Build the kernel and its dataset, check them offline, or push them to Kaggle.

    push with --blend builds first.
    """
    if action == "build":
        if blend is None:
            raise ValueError("kernel build needs --blend blends/NAME/blend.yaml")
        build_bundle(blend, folder, user or _kaggle_user(), wheels)
        print(f"{folder}: bundle/ and infer/; next: gutseg kernel push --folder {folder}")
    elif action == "check":
        if images is None:
            raise ValueError("kernel check needs --images, the competition's folder")
        with tempfile.TemporaryDirectory() as workplace:
            rows = run_like_kaggle(folder, images, Path(workplace)).read_text().count("\n") - 1
        print(f"{folder}: the kernel wrote {rows} rows for {images}")
    else:
        if blend is not None:
            build_bundle(blend, folder, user or _kaggle_user(), wheels)
        _push(folder)


def build_bundle(blend: Path, folder: Path, user: str, wheels: bool) -> None:
    """Write folder/bundle (code, weights, blend, wheels) and folder/infer (the kernel)."""
    solved = load_blend(blend)
    runs = [blend.parent / member.run for member in solved.members]
    check_output_folder(folder, WRITTEN, marker=MARKER, inputs=[blend, *runs])
    with replacing_folder(folder, WRITTEN, marker=MARKER) as build:
        bundle = build / "bundle"
        members = []
        for number, member in enumerate(solved.members):
            run = Path("runs") / f"{number}-{(blend.parent / member.run).resolve().name}"
            members.append(member.model_copy(update={"run": run}))
            for fold in member.folds:
                source = blend.parent / member.run / f"fold{fold}"
                target = bundle / run / f"fold{fold}"
                target.mkdir(parents=True)
                for name in ("config.yaml", "best.pt"):
                    shutil.copy(need_file(source / name, "train and predict first"), target)
        dump(solved.model_copy(update={"members": members}), bundle / "blend.yaml")
        code = Path(gutseg.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
        shutil.copytree(code, bundle / "code" / "gutseg", ignore=ignored)
        write_json(bundle / "bundle.json", {"gutseg": gutseg.__version__, "score": solved.score})
        _write_metadata(bundle, build / "infer", user)
        if wheels:
            _fetch_wheels(bundle / "wheels")


def _write_metadata(bundle: Path, infer: Path, user: str) -> None:
    source = Path(gutseg.__file__).parents[2] / "kernels" / "infer"
    need_file(source / "infer.py", "run `gutseg kernel build` from a clone of the repository")
    infer.mkdir()
    shutil.copy(source / "infer.py", infer)
    text = (source / "kernel-metadata.json").read_text().replace("USER/", f"{user}/")
    (infer / "kernel-metadata.json").write_text(text)
    slug = json.loads(text)["dataset_sources"][0]
    licence = [{"name": "other"}]  # the code's is MIT, in bundle/code; weights have none
    dataset = {"title": "gutseg bundle", "id": slug, "licenses": licence}
    write_json(bundle / "dataset-metadata.json", dataset)


def _fetch_wheels(folder: Path) -> None:
    folder.mkdir()
    kaggle = ["--python-version", "3.12", "--only-binary=:all:", "--no-deps"]
    platforms = [f"--platform=manylinux{tag}_x86_64" for tag in ("2014", "_2_17", "_2_28")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *kaggle, *platforms]
    subprocess.run([*command, "--dest", str(folder), *WHEELS], check=True)


def run_like_kaggle(
    folder: Path,
    images: Path,
    workplace: Path,
    *,
    nested: bool = False,
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Run the built kernel on a Kaggle-shaped input tree; return the csv it wrote.

    workplace: an empty folder; the kernel runs in workplace/working. nested: the newer mount
    form, competitions/<slug> and datasets/<owner>/<slug>. extra: environment variables. The
    wheels are left out: they are for Kaggle's Python, this one has the packages installed.
    """
    script = need_file(folder / "infer" / "infer.py", "run: gutseg kernel build")
    inputs, working = workplace / "input", workplace / "working"
    competition = inputs / ("competitions" if nested else "") / COMPETITION
    dataset = inputs / ("datasets/user" if nested else "") / "gutseg-bundle"
    for target in (competition, dataset, working):
        target.parent.mkdir(parents=True, exist_ok=True)
    competition.symlink_to(competition_folder(images).resolve())
    ignored = shutil.ignore_patterns("wheels")
    shutil.copytree(folder / "bundle", dataset, ignore=ignored)
    working.mkdir()
    clean = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-P", str(script.resolve())],
        cwd=working,
        env=clean | {"GUTSEG_INPUT": str(inputs)} | dict(extra or {}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(f"the kernel failed:\n{done.stderr.strip()[-2000:]}")
    return working / SUBMISSION


def _kaggle_user() -> str:
    if name := os.environ.get("KAGGLE_USERNAME"):
        return name
    token = Path.home() / ".kaggle" / "kaggle.json"
    if token.is_file():
        return json.loads(token.read_text())["username"]
    raise ValueError(f"whose kernel? give --user, set KAGGLE_USERNAME or create {token}")


def _push(folder: Path) -> None:
    need_file(folder / "bundle" / "dataset-metadata.json", "run: gutseg kernel build")
    if not shutil.which("kaggle"):
        raise FileNotFoundError("the kaggle command is not installed; pip install kaggle")
    bundle = ["-p", str(folder / "bundle"), "--dir-mode", "zip"]
    made = subprocess.run(["kaggle", "datasets", "create", *bundle], capture_output=True, text=True)
    if made.returncode or "already in use" in made.stdout + made.stderr:
        message = ["-m", f"gutseg {gutseg.__version__}"]
        subprocess.run(["kaggle", "datasets", "version", *bundle, *message], check=True)
    subprocess.run(["kaggle", "kernels", "push", "-p", str(folder / "infer")], check=True)
