"""Opening a bundle: find it, verify every file of it, unpack its wheels.

Only the standard library is imported, and nothing of the bundle is loaded before its sums agree:
`gutseg kernel build` puts the text of this file into the kernel, in the place of its import.
"""

import hashlib
import json
import stat
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

MANIFEST = "bundle.json"
# The kaggle command reads the second and does not upload it.
UNLISTED = (MANIFEST, "dataset-metadata.json")
# All that a bundle may hold: none of them has to be unpickled.
SUFFIXES = (".whl", ".safetensors", ".yaml", ".json", ".csv")
AGAIN = "build it again: gutseg kernel build --blend BLEND"


def open_bundle(inputs: Path, manifest_sha256: str) -> Path:
    """Verify the attached bundle, put its wheels on Python's path and return its folder."""
    bundle = find_bundle(inputs)
    verify(bundle, manifest_sha256)
    code = tempfile.mkdtemp(prefix="gutseg-")
    unpack(bundle, Path(code))
    sys.path.insert(0, code)
    return bundle


def find_bundle(inputs: Path) -> Path:
    """Return the only folder with a bundle.json that is attached."""
    # Kaggle mounts a dataset at <slug> or at datasets/<owner>/<slug>
    marks = [*inputs.glob(f"*/{MANIFEST}"), *inputs.glob(f"datasets/*/*/{MANIFEST}")]
    bundles = sorted(str(mark.parent) for mark in marks)
    if not bundles:
        remedy = "attach the dataset that `gutseg kernel push` made"
        raise ValueError(f"no {MANIFEST} below {inputs}; {remedy}")
    if len(bundles) > 1:
        raise ValueError(f"{len(bundles)} bundles are attached, keep one: {', '.join(bundles)}")
    return Path(bundles[0])


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(bundle: Path) -> dict[str, dict]:
    """Return the files of a bundle by name, each with its `bytes` and `sha256`."""
    path = bundle / MANIFEST
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["files"]
        whole = all({"bytes", "sha256"} <= facts.keys() for facts in listed.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole or not listed:
        raise ValueError(f"{path} does not list files with their bytes and sha256; {AGAIN}")
    for name in listed:
        parts = PurePosixPath(name).parts
        if ".." in parts or name.startswith("/") or not name.endswith(SUFFIXES):
            expected = f"a name inside the bundle that ends with {', '.join(SUFFIXES)}"
            raise ValueError(f"{path} lists {name!r}; expected {expected}; {AGAIN}")
    return listed


def verify(bundle: Path, manifest_sha256: str = "") -> None:
    """Raise ValueError unless a bundle holds exactly the files that its manifest lists.

    manifest_sha256: of the manifest that the kernel was built with; "" takes any.
    """
    found = sha256(bundle / MANIFEST)
    if manifest_sha256 and found != manifest_sha256:
        raise ValueError(
            f"{bundle / MANIFEST} has sha256 {found}, and this kernel was built with "
            f"{manifest_sha256}: kernel and dataset are of different builds; attach the dataset's "
            "newest version, or push both again: gutseg kernel push --blend BLEND"
        )
    listed = read_manifest(bundle)
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle).as_posix()
        if not path.is_dir() and name not in listed and name not in UNLISTED:
            problem = f"{path} is not listed in {MANIFEST} and must not be there"
            raise ValueError(f"{problem}; delete it or {AGAIN}")
    for name, facts in listed.items():
        _verify_file(bundle / name, facts["bytes"], facts["sha256"])


def _verify_file(path: Path, size: int, expected: str) -> None:
    end = f"expected {size} bytes with sha256 {expected}; {AGAIN}"
    if not path.is_file():
        found = "is a device or a pipe" if path.exists() else "is missing"
        raise ValueError(f"{path} {found}; {end}")
    if path.stat().st_size != size:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; {end}")
    if (found := sha256(path)) != expected:
        raise ValueError(f"{path} has sha256 {found}; {end}")


def unpack(bundle: Path, target: Path) -> None:
    """Unpack the wheels of a verified bundle; one for another Python is left out with a line."""
    for path in sorted(bundle.glob("wheels/*.whl")):
        python = path.stem.split("-")[-3]
        here = f"{sys.version_info.major}{sys.version_info.minor}"
        if not {"py3", f"py{here}", f"cp{here}"} & set(python.split(".")):
            print(f"{path.name} is not for this Python, {here}; left out", file=sys.stderr)
            continue
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check_member(path, member)
            archive.extractall(target)


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    """Raise ValueError for a member that would leave the folder: zipfile renames it silently."""
    name = member.orig_filename
    outside = name.startswith("/") or "\\" in name or ":" in name
    if outside or ".." in name.split("/") or stat.S_ISLNK(member.external_attr >> 16):
        problem = "which leaves the folder that it is unpacked to"
        raise ValueError(f"{path} has the member {name!r}, {problem}; {AGAIN}")
