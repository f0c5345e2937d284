"""Bundles, metadata and kernels that would not run on Kaggle; see test_refusals.py."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from kernel_builds import write_build

from gutseg.kaggle import machine, manifest, metadata, rehearsal
from gutseg.kaggle.bundle import build_bundle
from gutseg.kaggle.code_bundle import build_code_bundle
from gutseg.kaggle.opening import find_bundle, unpack, verify
from gutseg.kaggle.packages import write_installed
from gutseg.kaggle.sandbox import Ran, run_like_kaggle
from gutseg.kaggle.views import Views

Refused = tuple[str, Callable[[Path], None]]
AGAIN = "build it again: gutseg kernel build --blend BLEND"
WHEEL = "wheels/tool-1.0-py3-none-any.whl"
WRITE = "open('submission.csv', 'w').write('id,class,predicted\\n')\n"


def _bundle(place: Path) -> Path:
    """Write a small bundle below input/."""
    bundle = place / "input" / "gutseg-bundle"
    (bundle / "wheels").mkdir(parents=True)
    (bundle / "blend.yaml").write_text("members: []\n")
    with zipfile.ZipFile(bundle / WHEEL, "w") as archive:
        archive.writestr("tool.py", "")
    manifest.write(bundle, None)
    return bundle


def _verify(spoil: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make a case of a change to a bundle."""

    def refused(place: Path) -> None:
        bundle = _bundle(place)
        spoil(bundle)
        verify(bundle)

    return refused


def _other_build(place: Path) -> None:
    verify(_bundle(place), "0" * 64)


def _listed(bundle: Path) -> None:
    facts = {"bytes": 1, "sha256": "0"}
    (bundle / "bundle.json").write_text(json.dumps({"files": {"best.pt": facts}}))


def _two(place: Path) -> None:
    other = _bundle(place).parent / "datasets" / "me" / "other"
    other.mkdir(parents=True)
    (other / "bundle.json").write_text("{}")
    find_bundle(place / "input")


def _leaving(place: Path) -> None:
    bundle = _bundle(place)
    with zipfile.ZipFile(bundle / WHEEL, "w") as archive:
        archive.writestr("../tool.py", "")
    unpack(bundle, place / "code")


def _metadata(name: str, **changes: object) -> Callable[[Path], None]:
    """Make a case of changed values of a metadata file."""

    def refused(place: Path) -> None:
        path = write_build(place) / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        metadata.check(place / "kaggle")

    return refused


def _kernel(script: str, limit_bytes: int | None = None) -> Callable[[Path], None]:
    """Make a case of a kernel that is checked on the folder hidden/."""

    def refused(place: Path) -> None:
        folder = write_build(place, script)
        ran = run_like_kaggle(folder, place / "hidden", place / "work", limit_bytes=limit_bytes)
        rehearsal.check_csv(ran.written, place / "hidden")

    return refused


def _faults(text: str) -> Callable[[Path], None]:
    """Make a case of what a kernel wrote for a slice that cannot be read."""

    def refused(place: Path) -> None:
        (place / "s.csv").write_text(f"id,class,predicted\ncase1_day0_slice_0001,stomach,{text}\n")
        rows = rehearsal.read_submission(place / "s.csv", rehearsal.Issues())
        name = "case1_day0_slice_0001"
        views = Views(place, place, 1, 1, {name}, [name])
        rehearsal.check_faults(Ran(place / "s.csv", [], 1.0, 0), rows, views)

    return refused


def _p100(place: Path) -> None:
    facts = {"is_available": True, "device_count": 1, "get_arch_list": ["sm_75"]}
    facts |= {"get_device_capability": (6, 0), "get_device_name": "Tesla P100"}
    told = {name: lambda *_, value=value: value for name, value in facts.items()}
    with (
        patch.multiple(torch.cuda, **told),
        patch.object(machine.runs, "ensemble"),
        patch.object(machine, "seconds_per_slice", return_value=36000.0),
    ):
        machine.check_gpu(place / "blend.yaml", place / "hidden")


DATASET, KERNEL = "bundle/dataset-metadata.json", "infer/kernel-metadata.json"
BUNDLES: dict[str, Refused] = {
    "a file that was changed": (
        f"…/blend.yaml has sha256 …; expected … bytes with sha256 …; {AGAIN}",
        _verify(lambda bundle: (bundle / "blend.yaml").write_text("members: {}\n")),
    ),
    "a file that was cut": (
        f"…/blend.yaml has … bytes; expected … bytes with sha256 …; {AGAIN}",
        _verify(lambda bundle: (bundle / "blend.yaml").write_text("mem")),
    ),
    "a file that is gone": (
        f"….whl is missing; expected … bytes with sha256 …; {AGAIN}",
        _verify(lambda bundle: (bundle / WHEEL).unlink()),
    ),
    "a file that nobody built": (
        f"… is not listed in bundle.json and must not be there; delete it or {AGAIN}",
        _verify(lambda bundle: (bundle / "best.pt").write_bytes(b"\x80\x02")),
    ),
    "a manifest that was cut": (
        f"…/bundle.json does not list files with their bytes and sha256; {AGAIN}",
        _verify(lambda bundle: (bundle / "bundle.json").write_text('{"files"')),
    ),
    "a pickle in the manifest": (
        f"…/bundle.json lists …; expected a name inside the bundle that ends with …; {AGAIN}",
        _verify(_listed),
    ),
    "another build": (
        "…/bundle.json has sha256 …, and this kernel was built with …: kernel and dataset are of "
        "different builds; attach the dataset's newest version, or push both again: "
        "gutseg kernel push --blend BLEND",
        _other_build,
    ),
    "no bundle": (
        "no bundle.json below …; attach the dataset that `gutseg kernel push` made",
        lambda place: print(find_bundle(place)),
    ),
    "two bundles": ("… bundles are attached, keep one: …", _two),
    "a wheel that leaves its folder": (
        f"… has the member …, which leaves the folder that it is unpacked to; {AGAIN}",
        _leaving,
    ),
    "a name that is no user": (
        "… is not a Kaggle name; give --user, as in kaggle.com/<user>",
        lambda place: build_bundle(place / "blend.yaml", place / "kaggle", "me/other"),
    ),
    "a package with compiled parts": (
        "… has compiled parts for Python …, not for Kaggle's; attach a dataset that holds its "
        "wheel and build with --no-wheels",
        lambda place: print(write_installed(place, "numpy")),
    ),
    "a title too short": (
        "…-metadata.json: title … has … characters; expected 6 to 50; …",
        _metadata(KERNEL, title="infer", id="me/gutseg-infer"),
    ),
    "a slug with capitals": (
        "…-metadata.json: id …; expected user/slug, the slug of 6 to 50 small letters, digits and "
        "single dashes",
        _metadata(DATASET, id="me/Gutseg-Bundle"),
    ),
    "a licence that Kaggle has not": (
        "…/dataset-metadata.json: licenses is …; expected …, one of …",
        _metadata(DATASET, licenses=[{"name": "MIT"}]),
    ),
    "no machine": (
        "…/kernel-metadata.json: machine_shape is …; expected one of NvidiaTeslaT4, …: without one "
        "Kaggle may give a P100, which torch 2.10 does not support",
        _metadata(KERNEL, machine_shape=None),
    ),
    "internet": (
        "…/kernel-metadata.json: enable_internet is true; a kernel that is scored has none",
        _metadata(KERNEL, enable_internet=True),
    ),
    "a kernel without its bundle": (
        "…/kernel-metadata.json: dataset_sources … lacks the bundle …; build again",
        _metadata(KERNEL, dataset_sources=["me/other-bundle"]),
    ),
    "a kernel that raises": ("the kernel ended with …: …", _kernel("import no_such_module")),
    "a download that is given up": (
        "the kernel reached for the network, though it went on; Kaggle has none while it scores: "
        "put the file that it wants into the bundle",
        _kernel(f"import socket\ntry:\n socket.getaddrinfo('x', 80)\nexcept OSError:\n {WRITE}"),
    ),
    "too much memory": (
        "the kernel held … GB and was stopped, Kaggle gives …; lower predict.batch_size or blend "
        "fewer networks",
        _kernel("import time\nheld = b'x' * 10**8\ntime.sleep(60)", limit_bytes=5 * 10**7),
    ),
    "no csv": (
        "…/submission.csv does not exist; the kernel ended without writing it",
        _kernel(""),
    ),
    "no score": (
        "…/score.json does not exist; the public session writes it beside the csv",
        lambda place: print(rehearsal.described_score(place / "submission.csv", 2)),
    ),
    "what cannot be attached": (
        "--attach …; expected datasets/OWNER/SLUG, or code/OWNER/SLUG for the output of a kernel, "
        "as in its address on Kaggle",
        lambda place: build_code_bundle("cv", place / "b", "me", attach=["me/gutseg-train"]),
    ),
    "a training without a config": (
        "kernel build --kind train needs --config, a YAML of configs/",
        lambda place: build_code_bundle("train", place / "b", "me"),
    ),
    "a csv without the sample's rows": ("the kernel's csv is not valid: …", _kernel(WRITE)),
    "a mask of nothing": (
        "the kernel wrote a mask for …, which nobody can read",
        _faults("1 1"),
    ),
    "a fault that is kept quiet": ("the kernel's log does not name …", _faults("")),
    "a P100": (
        "the GPU … is of compute capability … and torch … was built for …; on the CPU … slices "
        "take about … of 9 hours, too long: set machine_shape to NvidiaTeslaT4 in "
        "kernel-metadata.json (or pick GPU T4 x2)",
        _p100,
    ),
}
