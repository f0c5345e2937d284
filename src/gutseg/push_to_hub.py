"""gutseg push-to-hub RUN_OR_BLEND --out FOLDER: weights and their card, as the Hub shows them."""

import re
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

import gutseg
from gutseg import runs
from gutseg.config import Blend, dump, load
from gutseg.config.files import flat, put, validate
from gutseg.config.sections import Config
from gutseg.constants import CLASSES, COMPETITION
from gutseg.data.folds import fold_name
from gutseg.engine import checkpoint
from gutseg.files import check_output_folder, replacing_folder
from gutseg.kaggle.bundle import pack_runs
from gutseg.registry import brief, shown

# All that is written: what a folder may hold to be replaced.
WRITTEN = (
    *("README.md", "blend.yaml", "runs/*/config.yaml", "runs/*/weights.safetensors"),
    "runs/*/held_out.json",  # * stands for folders, too: those of detectors
)
MARKER = "blend.yaml"
# Paths of the machine that trained; their last part is all that is published of them.
PLACES = (
    *("runs", "data.folder", "data.folds", "data.extra"),
    *("model.encoder_weights", "train.init_from", "geometry.from_run"),
)
COLUMNS = ("epoch", "score", "dice", "hausdorff")


def push_to_hub(
    source: Annotated[Path, typer.Argument(help="a blend.yaml or a run folder")],
    out: Annotated[Path, typer.Option(help="the folder to write")],
    upload: Annotated[str, typer.Option(help="also upload it, as OWNER/NAME")] = "",
) -> None:
    """Write safetensors, resolved configs, blend.yaml and a model card; upload only when asked.

    A new repository is private. `gutseg submit` and `gutseg.load` read the folder as it is.
    """
    hub = _hub(upload) if upload else None
    solved, home = runs.as_blend(source)
    inputs = [source, *(home / member.run for member in solved.used)]
    check_output_folder(out, WRITTEN, marker=MARKER, inputs=inputs)
    runs.assemble(solved, home)  # what cannot be opened is better known here
    card = _card(solved, home, upload or out.resolve().name)
    with replacing_folder(out, WRITTEN, marker=MARKER) as folder:
        pack_runs(solved, home, folder)
        for path in folder.glob("runs/**/config.yaml"):
            dump(_published(load(path)), path)
        (folder / "README.md").write_text(card, encoding="utf-8")
    said = ""
    if hub:
        _send(hub, out, upload)
        said = f", uploaded to https://huggingface.co/{upload}"
    print(f"{out}: {sum(len(one.folds) for one in solved.used)} networks{said}")


def _published(config: Config) -> Config:
    """Return a config that says nothing of the folders of the machine."""
    content = config.model_dump(mode="json")
    known = flat(content)
    for key in PLACES:
        if isinstance(known.get(key), str):
            put(content, key, Path(known[key]).name)
    return validate(Config, content, "config.yaml")


def _card(solved: Blend, home: Path, name: str) -> str:
    """Return the README.md of a model: what it is, how it scored, how to use it."""
    facts: dict[str, Any] = {
        "license": "other",
        "library_name": "gutseg",
        "pipeline_tag": "image-segmentation",
        "tags": ["medical", "mri", "gastrointestinal", COMPETITION],
    }
    if solved.score is not None:
        metric = {"type": "score", "name": f"out of fold ({solved.metric})", "value": solved.score}
        result = {
            "task": {"type": "image-segmentation"},
            "dataset": {"name": COMPETITION, "type": COMPETITION},
            "metrics": [metric],
        }
        facts["model-index"] = [{"name": name, "results": [result]}]
    score = "not searched" if solved.score is None else f"**{solved.score:.4f}**"
    rows = [row for member in solved.members for row in _rows(home / member.run, member.folds)]
    return f"""---
{yaml.safe_dump(facts, sort_keys=False).strip()}
---

# {name}

Segments {", ".join(CLASSES).replace("_", " ")} on MR scans of
[{COMPETITION}](https://www.kaggle.com/competitions/{COMPETITION}).
Written by gutseg {gutseg.__version__}. The competition's rules apply to what was trained on its
data.

| out-of-fold score | metric | networks |
|---|---|---|
| {score} | `{solved.metric}` | {len(rows)} |

The epoch that was kept of each network, and its measures on the patients that it held out
(`full` held out none):

| run | fold | {" | ".join(COLUMNS)} |
|---|---|{"---|" * len(COLUMNS)}
{chr(10).join(rows)}

```python
import gutseg
masks = gutseg.load("FOLDER")(volume)  # (Z, H, W) uint16 -> (C, Z, H, W) bool
```

or `gutseg submit FOLDER/blend.yaml --images COMPETITION_FOLDER`.
"""


def _rows(run: Path, folds: list[Any]) -> list[str]:
    """Return a line of the table per fold; a bundle's weights have no measures beside them."""
    lines = []
    for fold in folds:
        path = checkpoint.weights_file(run / fold_name(fold))
        is_best = path.name == checkpoint.BEST
        metrics = checkpoint.load(path).get("metrics", {}) if is_best else {}
        values = (f"{metrics[key]:.4g}" if key in metrics else "-" for key in COLUMNS)
        lines.append(f"| {run.resolve().name} | {fold} | {' | '.join(values)} |")
    return lines


def _hub(repository: str) -> Any:
    """Return the module huggingface_hub; raises ValueError before any work where it is missing."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
        raise ValueError(f"--upload {shown(repository)}: expected OWNER/NAME, as on huggingface.co")
    try:
        return import_module("huggingface_hub")
    except ImportError:
        raise ValueError("--upload needs huggingface_hub: pip install 'gutseg[hub]'") from None


def _send(hub: Any, folder: Path, repository: str) -> None:
    try:
        api = hub.HfApi()
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            commit_message=f"gutseg {gutseg.__version__}",
        )
    except Exception as error:
        # httpx's, requests' and the hub's own, which depend on its version
        problem = f"{type(error).__name__}: {brief(error)}"
        raise ValueError(
            f"{folder} is written, but --upload {repository} failed ({problem}); log in with "
            "`hf auth login` as its owner and run this again"
        ) from None
