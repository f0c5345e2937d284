"""What Kaggle is told about the kernel and its dataset, held against its rules, and whose they are.

The rules are those of Kaggle/kaggle-api: docs/kernels_metadata.md, docs/datasets_metadata.md, and
the checks of kernels_push and dataset_create_new. The machines are those of its docs/kernels.md.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from gutseg.constants import COMPETITION
from gutseg.files import SUBMISSION, read_json, write_json
from gutseg.registry import listed, suggest

# A kernel that predicts and submits, one that trains a fold, one that scores what is attached; and
# what each leaves in its output.
Kind = Literal["infer", "train", "cv"]
WRITES: dict[Kind, str] = {"infer": SUBMISSION, "train": "runs", "cv": "score.json"}

DATASET, KERNEL = "dataset-metadata.json", "kernel-metadata.json"
USER = re.compile(r"[A-Za-z0-9_-]+")
SOURCE = re.compile(r"[A-Za-z0-9_-]+/[a-z0-9]+(-[a-z0-9]+)*")
LICENCES = (
    *("CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0"),
    *("CC-BY-NC-SA-4.0", "GPL-2.0", "ODbL-1.0", "DbCL-1.0", "PDDL", "copyright-authors"),
    *("other", "unknown"),
)
# torch 2.10, which Kaggle's image has, computes on none of compute capability 6.0
MACHINES = ("NvidiaTeslaT4", "NvidiaTeslaT4Highmem", "NvidiaL4", "NvidiaL4X1", "NvidiaTeslaA100")
DATASET_KEYS = ("title", "id", "licenses", "subtitle", "description", "keywords")
FLAGS = ("is_private", "enable_gpu", "enable_internet")
SOURCES = ("dataset_sources", "competition_sources", "kernel_sources", "model_sources")
# What may be attached, as in the addresses kaggle.com/datasets/OWNER/SLUG and code/OWNER/SLUG.
ATTACHED = {"datasets": "dataset_sources", "code": "kernel_sources"}
KERNEL_KEYS = (
    *("id", "title", "code_file", "language", "kernel_type", "machine_shape", *FLAGS, *SOURCES),
)


def slug(title: str) -> str:
    """Return a title as Kaggle writes it in an address."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def write_dataset(bundle: Path, user: str, name: str) -> None:
    """Write the metadata of a bundle; raises ValueError where Kaggle would refuse them."""
    title = f"{name} bundle"
    licence = [{"name": "other"}]  # the code's is MIT, inside the wheels; weights have none
    about = "Code, weights and settings of a kernel; code: MIT, other wheels: see inside."
    content = {"title": title, "id": f"{user}/{slug(title)}", "licenses": licence}
    content["description"] = about
    check_user(user)
    refuse(bundle / DATASET, dataset_issues(content))
    write_json(bundle / DATASET, content)


def write_kernel(
    template: Path, folder: Path, user: str, name: str, attach: Sequence[str] = ()
) -> None:
    """Write a kernel's metadata from kernels/*/kernel-metadata.json into its folder.

    attach: what else it reads, datasets/OWNER/SLUG or, the output of a kernel, code/OWNER/SLUG.
    """
    filled = template.read_text().replace("USER/gutseg-", f"{user}/{slug(name)}-")
    content = json.loads(filled)
    content["title"] = content["title"].replace("gutseg", name, 1)
    for source in attach:
        kind, _, rest = source.partition("/")
        if kind not in ATTACHED or not SOURCE.fullmatch(rest):
            form = "datasets/OWNER/SLUG, or code/OWNER/SLUG for the output of a kernel"
            raise ValueError(f"--attach {source!r}; expected {form}, as in its address on Kaggle")
        content[ATTACHED[kind]].append(rest)
    refuse(folder / KERNEL, kernel_issues(content))
    write_json(folder / KERNEL, content)


def attach_own_output(folder: Path) -> None:
    """Have the kernel in a folder read the output of its last version."""
    content = _read(folder / KERNEL)
    if content["id"] not in content["kernel_sources"]:
        content["kernel_sources"].append(content["id"])
        write_json(folder / KERNEL, content)


def check(folder: Path, kind: Kind = "infer") -> None:
    """Raise ValueError unless the metadata of a build are what Kaggle wants."""
    bundle, kernel = folder / "bundle" / DATASET, folder / kind / KERNEL
    dataset, script = _read(bundle), _read(kernel)
    refuse(bundle, dataset_issues(dataset))
    refuse(kernel, kernel_issues(script))
    if dataset["id"] not in script["dataset_sources"]:
        problem = f"dataset_sources {script['dataset_sources']} lacks the bundle {dataset['id']}"
        raise ValueError(f"{kernel}: {problem}; build again")
    if not (kernel.parent / script["code_file"]).is_file():
        problem = f"code_file {script['code_file']!r} is not a file next to it"
        raise ValueError(f"{kernel}: {problem}; build again")


def refuse(path: Path, issues: list[str]) -> None:
    """Raise ValueError with all issues of a metadata file."""
    if issues:
        raise ValueError(f"{path}: {listed(issues, len(issues), '; ')}")


def dataset_issues(content: dict[str, Any]) -> list[str]:
    """Say what Kaggle would not take of a dataset-metadata.json."""
    issues = [*_unknown(content, DATASET_KEYS), *_naming(content)]
    names = content.get("licenses")
    if names not in [[{"name": name}] for name in LICENCES]:
        form = '[{"name": NAME}]'
        issues.append(f"licenses is {names!r}; expected {form}, one of {', '.join(LICENCES)}")
    subtitle = content.get("subtitle")
    if subtitle is not None and not 20 <= len(str(subtitle)) <= 80:
        issues.append(f"subtitle has {len(str(subtitle))} characters; expected 20 to 80")
    return issues


def kernel_issues(content: dict[str, Any]) -> list[str]:
    """Say what Kaggle would not take of a kernel-metadata.json, or what would not run there."""
    issues = [*_unknown(content, KERNEL_KEYS), *_naming(content)]
    kind, file = content.get("kernel_type"), str(content.get("code_file"))
    suffix = {"script": ".py", "notebook": ".ipynb"}.get(str(kind))
    if content.get("language") != "python" or not suffix or not file.endswith(suffix):
        found = f"language {content.get('language')!r}, kernel_type {kind!r}, code_file {file!r}"
        issues.append(f"{found}; expected python and a script *.py or a notebook *.ipynb")
    for key in FLAGS:
        if not isinstance(content.get(key), bool):
            issues.append(f"{key} is {content.get(key)!r}; expected true or false")
    if content.get("enable_internet") is True:
        issues.append("enable_internet is true; a kernel that is scored has none")
    machine = content.get("machine_shape")
    if content.get("enable_gpu") is True and machine not in MACHINES:
        why = "without one Kaggle may give a P100, which torch 2.10 does not support"
        issues.append(f"machine_shape is {machine!r}; expected one of {', '.join(MACHINES)}: {why}")
    return issues + _sources(content)


def _naming(content: dict[str, Any]) -> list[str]:
    title, name = str(content.get("title", "")), str(content.get("id", ""))
    issues = []
    if not 6 <= len(title) <= 50:
        issues.append(f"title {title!r} has {len(title)} characters; expected 6 to 50")
    if not SOURCE.fullmatch(name) or not 6 <= len(name.partition("/")[2]) <= 50:
        form = "user/slug, the slug of 6 to 50 small letters, digits and single dashes"
        issues.append(f"id {name!r}; expected {form}")
    elif name.partition("/")[2] != slug(title):
        issues.append(f"id {name!r} does not end with the title's slug, {slug(title)!r}")
    return issues


def _sources(content: dict[str, Any]) -> list[str]:
    issues = []
    for key in SOURCES:
        found = content.get(key, [])
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            issues.append(f"{key} is {found!r}; expected a list of names")
        elif key in ("dataset_sources", "kernel_sources"):
            bad = [name for name in found if not SOURCE.fullmatch(name)]
            issues += [f"{key}: {name!r}; expected user/slug" for name in bad]
    if COMPETITION not in (content.get("competition_sources") or []):
        issues.append(f"competition_sources lacks {COMPETITION}")
    return issues


def _unknown(content: dict[str, Any], known: tuple[str, ...]) -> list[str]:
    unknown = [key for key in content if key not in known]
    return [f"{key}: unknown key; {suggest(key, list(known))}" for key in unknown]


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold an object; build again")
    return content


def check_user(user: str) -> None:
    """Raise ValueError unless a user may be called so."""
    if not USER.fullmatch(user):
        raise ValueError(f"{user!r} is not a Kaggle name; give --user, as in kaggle.com/<user>")


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
