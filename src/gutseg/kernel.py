"""gutseg kernel build|check|push: the Kaggle kernel and the dataset it reads."""

import json
import logging
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import gutseg
from gutseg import files
from gutseg.config import dump, load_blend
from gutseg.constants import COMPETITION

# Not on Kaggle's image; pure Python or manylinux wheels, fetched by `build --wheels`.
WHEELS = ("segmentation-models-pytorch",)
# All that `build` writes: what a folder may hold to be replaced.
WRITTEN = (
    *("bundle/code/*", "bundle/runs/*", "bundle/wheels/*", "bundle/blend.yaml"),
    *("bundle/bundle.json", "bundle/dataset-metadata.json"),
    *("infer/infer.py", "infer/kernel-metadata.json"),
)
MARKER = "bundle/bundle.json"

log = logging.getLogger(__name__)

# Python runs a sitecustomize.py before anything else; this one takes away the network.
OFFLINE = """
import socket

def refuse(*_, **__):
    raise OSError("the kernel reached for the network, and Kaggle has none while it scores")

socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
"""
# How the kaggle command says that it failed; its status is 0 all the same.
REFUSED = re.compile(r"error|forbidden|unauthori[sz]ed|not valid|could not|not found", re.I)
EXISTS = re.compile(r"already in use|already exists|409 - conflict", re.I)


def kernel(
    action: Annotated[Literal["build", "check", "push"], typer.Argument(help="what to do")],
    blend: Annotated[Path | None, typer.Option(help="the blend.yaml to build from")] = None,
    folder: Annotated[Path, typer.Option(help="where the build lies")] = Path("build/kaggle"),
    user: Annotated[str | None, typer.Option(help="Kaggle name; else KAGGLE_USERNAME")] = None,
    wheels: Annotated[bool, typer.Option(help="also fetch what Kaggle's image lacks")] = True,
    images: Annotated[Path | None, typer.Option(help="check: a competition's folder")] = None,
) -> None:
    """Build the kernel and its dataset, check them offline, or push them to Kaggle.

    push with --blend builds first.
    """
    if action == "check":
        if images is None:
            raise ValueError("kernel check needs --images, the competition's folder")
        with tempfile.TemporaryDirectory() as workplace:
            rows = run_like_kaggle(folder, images, Path(workplace)).read_text().count("\n") - 1
        print(f"{folder}: the kernel wrote {rows} rows for {images}")
        return
    if blend is not None:
        build_bundle(blend, folder, user or _kaggle_user(), wheels)
    elif action == "build":
        raise ValueError("kernel build needs --blend blends/NAME/blend.yaml")
    if action == "push":
        _push(folder)
    else:
        print(f"{folder}: bundle/ and infer/; next: gutseg kernel push --folder {folder}")


def build_bundle(blend: Path, folder: Path, user: str, wheels: bool) -> None:
    """Write folder/bundle (code, weights, blend, wheels) and folder/infer (the kernel)."""
    from gutseg.runs import ensemble  # torch takes seconds to import, push and check need none

    if not re.fullmatch(r"[A-Za-z0-9_-]+", user):
        raise ValueError(f"{user!r} is not a Kaggle name; give --user, as in kaggle.com/<user>")
    solved = load_blend(blend)
    used = [*solved.members, *([solved.background] if solved.background else [])]
    runs = [blend.parent / member.run for member in used]
    files.check_output_folder(folder, WRITTEN, marker=MARKER, inputs=[blend, *runs])
    ensemble(blend)  # opens all networks as the kernel will: what is wrong is better known here
    with files.replacing_folder(folder, WRITTEN, marker=MARKER) as build:
        bundle = build / "bundle"
        packed = []
        for number, member in enumerate(used):
            run = Path("runs") / f"{number}-{(blend.parent / member.run).resolve().name}"
            packed.append(member.model_copy(update={"run": run}))
            for fold in member.folds:
                source = blend.parent / member.run / f"fold{fold}"
                target = bundle / run / f"fold{fold}"
                target.mkdir(parents=True)
                for name in ("config.yaml", "best.pt"):
                    shutil.copy(files.need_file(source / name, "train and predict first"), target)
        places: dict[str, Any] = {"members": packed[: len(solved.members)]}
        if solved.background:
            places["background"] = packed[-1]
        dump(solved.model_copy(update=places), bundle / "blend.yaml")
        code = Path(gutseg.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
        shutil.copytree(code, bundle / "code" / "gutseg", ignore=ignored)
        files.write_json(
            bundle / "bundle.json", {"gutseg": gutseg.__version__, "score": solved.score}
        )
        _write_metadata(bundle, build / "infer", user)
        if wheels:
            _fetch_wheels(bundle / "wheels")


def _write_metadata(bundle: Path, infer: Path, user: str) -> None:
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


def _fetch_wheels(folder: Path) -> None:
    folder.mkdir()
    kaggle = ["--python-version", "3.12", "--only-binary=:all:", "--no-deps"]
    platforms = [f"--platform=manylinux{tag}_x86_64" for tag in ("2014", "_2_17", "_2_28")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *kaggle, *platforms]
    done = _run([*command, "--dest", str(folder), *WHEELS])
    if done.returncode:
        problem = f"pip cannot fetch {', '.join(WHEELS)} ({_last_line(done.stderr)})"
        remedy = "check the network, or build with --no-wheels and attach a dataset that holds them"
        raise ValueError(f"{problem}; {remedy}")


def _run(command: list[str], **settings: Any) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", **settings)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1].strip()


def run_like_kaggle(folder: Path, images: Path, workplace: Path, *, nested: bool = False) -> Path:
    """Run the built kernel on a Kaggle-shaped input tree; return the csv it wrote.

    As on Kaggle there is no network and none of the user's caches. workplace: an empty folder.
    nested: the newer mount form, competitions/<slug> and datasets/<owner>/<slug>. The wheels are
    left out: they are for Kaggle's Python. Raises ValueError when the kernel fails.
    """
    script = files.need_file(folder / "infer" / "infer.py", "run: gutseg kernel build")
    files.need_file(folder / MARKER, "run: gutseg kernel build")
    for path in (folder / "bundle").rglob("*"):
        if not path.is_dir():  # of a link to a device there would be no end
            files.need_file(path, "run gutseg kernel build again")
    names = ("input", "working", "home", "offline")
    inputs, working, home, offline = (workplace / name for name in names)
    competition = inputs / ("competitions" if nested else "") / COMPETITION
    dataset = inputs / ("datasets/user" if nested else "") / "gutseg-bundle"
    for target in (competition, dataset, working):
        target.parent.mkdir(parents=True, exist_ok=True)
    competition.symlink_to(files.competition_folder(images).resolve())
    shutil.copytree(folder / "bundle", dataset, ignore=shutil.ignore_patterns("wheels"))
    for target in (working, home, offline):
        target.mkdir()
    (offline / "sitecustomize.py").write_text(OFFLINE)
    # packages may lie below the user's home, what the hubs keep there must not be found
    places = {"HOME": home, "PYTHONPATH": offline, "PYTHONUSERBASE": site.getuserbase()}
    clean = {"PATH": os.environ.get("PATH", os.defpath), "GUTSEG_INPUT": str(inputs)}
    command = [*_no_network(), sys.executable, "-P", str(script.resolve())]
    done = _run(command, cwd=working, env=clean | {key: str(at) for key, at in places.items()})
    for line in (done.stdout + done.stderr).splitlines():
        if line.strip() and "scan/s]" not in line:  # but for the bar
            log.info("kernel: %s", line)
    if done.returncode:
        raise ValueError(f"the kernel ended with {done.returncode}: {_last_line(done.stderr)}")
    return files.need_file(working / files.SUBMISSION, "the kernel ended without writing it")


def _no_network() -> list[str]:
    """Return what keeps a command from the network, nothing where the system forbids it.

    Containers often do: OFFLINE then stops Python alone.
    """
    command = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and not _run([*command, "true"]).returncode
    return command if allowed else []


def _kaggle_user() -> str:
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


def _push(folder: Path) -> None:
    files.need_file(folder / "bundle" / "dataset-metadata.json", "run: gutseg kernel build")
    if not shutil.which("kaggle"):
        raise FileNotFoundError("the kaggle command is not installed; pip install kaggle")
    bundle = ["-p", str(folder / "bundle"), "--dir-mode", "zip"]
    made = _kaggle("datasets", "create", *bundle, but=EXISTS)
    if EXISTS.search(made):
        _kaggle("datasets", "version", *bundle, "-m", f"gutseg {gutseg.__version__}")
    _kaggle("kernels", "push", "-p", str(folder / "infer"))


def _kaggle(*words: str, but: re.Pattern | None = None) -> str:
    """Return what the kaggle command prints; but: a failure that raises no ValueError."""
    done = _run(["kaggle", *words])
    said = done.stdout + done.stderr
    for line in said.splitlines():
        if line.strip():
            log.info("kaggle: %s", line)
    lines = re.sub(r"https?://\S+", "", said).splitlines()  # addresses may hold any word
    wrong = [line for line in lines if REFUSED.search(line)]
    if (wrong or done.returncode) and not (but and but.search(said)):
        reason = wrong[0].strip() if wrong else _last_line(said)
        raise ValueError(f"kaggle {' '.join(words[:2])} failed: {reason}")
    return said
