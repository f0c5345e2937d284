"""What `gutseg kernel build` writes."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import gutseg
from gutseg import files
from gutseg.config import dump, load_blend
from gutseg.kaggle import manifest
from gutseg.kaggle.commands import last_line, run_command
from gutseg.kaggle.metadata import write_metadata

# Not on Kaggle's image; pure Python or manylinux wheels, fetched by `build --wheels`.
WHEELS = ("segmentation-models-pytorch",)


def build_bundle(blend: Path, folder: Path, user: str, wheels: bool) -> None:
    """Write folder/bundle (code, weights, blend, wheels) and folder/infer (the kernel)."""
    from gutseg.runs import ensemble  # torch takes seconds to import, push and check need none

    if not re.fullmatch(r"[A-Za-z0-9_-]+", user):
        raise ValueError(f"{user!r} is not a Kaggle name; give --user, as in kaggle.com/<user>")
    solved = load_blend(blend)
    used = [*solved.members, *([solved.background] if solved.background else [])]
    runs = [blend.parent / member.run for member in used]
    written, marker = manifest.WRITTEN, manifest.MARKER
    files.check_output_folder(folder, written, marker=marker, inputs=[blend, *runs])
    ensemble(blend)  # opens all networks as the kernel will: what is wrong is better known here
    with files.replacing_folder(folder, written, marker=marker) as build:
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
        manifest.write(bundle, solved.score)
        write_metadata(bundle, build / "infer", user)
        if wheels:
            _fetch_wheels(bundle / "wheels")


def _fetch_wheels(folder: Path) -> None:
    folder.mkdir()
    kaggle = ["--python-version", "3.12", "--only-binary=:all:", "--no-deps"]
    platforms = [f"--platform=manylinux{tag}_x86_64" for tag in ("2014", "_2_17", "_2_28")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *kaggle, *platforms]
    done = run_command([*command, "--dest", str(folder), *WHEELS])
    if done.returncode:
        problem = f"pip cannot fetch {', '.join(WHEELS)} ({last_line(done.stderr)})"
        remedy = "check the network, or build with --no-wheels and attach a dataset that holds them"
        raise ValueError(f"{problem}; {remedy}")
