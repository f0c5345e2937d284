"""A bundle is what its manifest lists, or nothing of it is loaded."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gutseg.kaggle import manifest, opening
from gutseg.kaggle.bundle import KERNELS, complete
from gutseg.kaggle.opening import find_bundle, sha256, unpack, verify

FOLD = "runs/0-tiny/fold0"
WHEEL = "wheels/evil-1.0-py3-none-any.whl"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small bundle of every kind of file, mounted as Kaggle does."""
    folder = tmp_path / "input" / "gutseg-bundle"
    for name in (FOLD, "wheels"):
        (folder / name).mkdir(parents=True)
    (folder / "blend.yaml").write_text("members: []\n")
    (folder / FOLD / "weights.safetensors").write_bytes(bytes(range(256)))
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        archive.writestr("evil/__init__.py", "open('loaded', 'w')\n")
    manifest.write(folder, 0.5)
    return folder


def _tamper(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def _relist(bundle: Path, change) -> None:
    content = json.loads((bundle / "bundle.json").read_text())
    change(content)
    (bundle / "bundle.json").write_text(json.dumps(content))


WEIGHTS = f"{FOLD}/weights.safetensors"
SUM = "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"
# Name -> what is done to the bundle, and what is said: the file and the hash that was expected.
FAULTS = {
    "tampered": (
        lambda b: _tamper(b / WEIGHTS),
        f"{WEIGHTS} has sha256 [0-9a-f]{{64}}; expected 256 bytes with sha256 {SUM}; build it aga",
    ),
    "truncated": (
        lambda b: (b / WEIGHTS).write_bytes(bytes(100)),
        f"{WEIGHTS} has 100 bytes; expected 256 bytes with sha256 {SUM}; build it again",
    ),
    "missing": (
        lambda b: (b / WEIGHTS).unlink(),
        f"{WEIGHTS} is missing; expected 256 bytes with sha256 {SUM}; build it again",
    ),
    "a device": (
        lambda b: ((b / WEIGHTS).unlink(), (b / WEIGHTS).symlink_to("/dev/zero")),
        f"{WEIGHTS} is a device or a pipe; expected 256 bytes with sha256 {SUM}",
    ),
    "foreign": (
        lambda b: (b / FOLD / "best.pt").write_bytes(b"\x80\x02"),
        f"{FOLD}/best.pt is not listed in bundle.json and must not be there; delete it or build",
    ),
    "foreign code": (
        lambda b: (b / "sitecustomize.py").write_text("import os"),
        "sitecustomize.py is not listed in bundle.json and must not be there",
    ),
    "no json": (
        lambda b: (b / "bundle.json").write_text('{"files": '),
        "bundle.json does not list files with their bytes and sha256; build it again",
    ),
    "an older manifest": (
        lambda b: (b / "bundle.json").write_text('{"gutseg": "0.1.0", "score": null}'),
        "bundle.json does not list files with their bytes and sha256; build it again",
    ),
    "a sum left out": (
        lambda b: _relist(b, lambda c: c["files"][WEIGHTS].pop("sha256")),
        "bundle.json does not list files with their bytes and sha256",
    ),
    "a name outside": (
        lambda b: _relist(b, lambda c: c["files"].update({"../x.yaml": c["files"][WEIGHTS]})),
        "bundle.json lists '../x.yaml'; expected a name inside the bundle that ends with .whl, .sa",
    ),
    "an absolute name": (
        lambda b: _relist(b, lambda c: c["files"].update({"/etc/x.csv": c["files"][WEIGHTS]})),
        "bundle.json lists '/etc/x.csv'; expected a name inside the bundle",
    ),
    "what has to be unpickled": (
        lambda b: _relist(b, lambda c: c["files"].update({"best.pt": c["files"][WEIGHTS]})),
        "bundle.json lists 'best.pt'; expected a name inside the bundle that ends with .whl, .saf",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bundle_that_is_not_what_was_built_is_refused_by_name_and_sum(bundle, fault):
    verify(bundle)
    spoil, message = FAULTS[fault]
    spoil(bundle)
    with pytest.raises(ValueError, match=message):
        verify(bundle)


def test_a_bundle_of_another_build_is_refused(bundle):
    before = sha256(bundle / "bundle.json")
    verify(bundle, before)
    _tamper(bundle / "blend.yaml")
    after = manifest.write(bundle, 0.5)
    verify(bundle, after)
    words = "kernel and dataset are of different builds; attach the dataset's newest version"
    with pytest.raises(
        ValueError, match=f"sha256 {after}, and this kernel was built.*{before}: {words}"
    ):
        verify(bundle, before)


def test_what_the_kaggle_command_leaves_at_home_may_be_there(bundle):
    (bundle / "dataset-metadata.json").write_text("{}")
    verify(bundle)
    assert "dataset-metadata.json" not in json.loads((bundle / "bundle.json").read_text())["files"]


@pytest.mark.parametrize("spoil", [_tamper, Path.unlink, lambda p: p.write_bytes(b"")])
def test_the_kernel_imports_nothing_of_a_bundle_that_is_spoilt(bundle, tmp_path, spoil):
    """The script that is pushed, in a Python that has no gutseg."""
    script = complete((KERNELS / "infer" / "infer.py").read_text(), sha256(bundle / "bundle.json"))
    (tmp_path / "infer.py").write_text(script)
    spoil(bundle / WHEEL)
    done = subprocess.run(
        [sys.executable, "-I", "-S", tmp_path / "infer.py"],
        env={"GUTSEG_INPUT": str(bundle.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and re.search(
        r"evil-1.0-py3-none-any.whl .*expected \d+ bytes wi", done.stderr
    )
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "loaded").exists()


def test_before_the_sums_agree_only_the_standard_library_is_imported():
    nodes = ast.walk(ast.parse(Path(opening.__file__).read_text()))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    nodes = ast.walk(ast.parse(Path(opening.__file__).read_text()))
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names) and "pickle" not in names


def test_a_script_without_the_lines_to_complete_is_refused():
    with pytest.raises(ValueError, match="the kernel's script has no line 'from gutseg"):
        complete("print()\n", "0" * 64)


@pytest.mark.parametrize(
    "place", ["gutseg-bundle", "datasets/somebody/gutseg-bundle"], ids=["<slug>", "datasets/..."]
)
def test_both_forms_of_the_mount_are_found(tmp_path, place):
    with pytest.raises(ValueError, match=r"no bundle.json below .*; attach the dataset that `guts"):
        find_bundle(tmp_path)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "bundle.json").write_text("{}")
    assert find_bundle(tmp_path) == tmp_path / place


LEAVING = ("../up.py", "a/../../up.py", "/etc/up.py", "..\\up.py", "C:up.py", "link")


@pytest.mark.parametrize("member", LEAVING)
def test_a_wheel_whose_members_leave_the_folder_is_refused(bundle, tmp_path, member):
    with zipfile.ZipFile(bundle / WHEEL, "w") as archive:
        facts = zipfile.ZipInfo("x")
        facts.filename = facts.orig_filename = member
        facts.external_attr = (0o120777 if member == "link" else 0o100644) << 16
        archive.writestr("good.py", "")
        archive.writestr(facts, "/etc")
    target = tmp_path / "code"
    problem = f"evil-1.0-py3-none-any.whl has the member {re.escape(repr(member))}, which leaves"
    with pytest.raises(ValueError, match=problem):
        unpack(bundle, target)
    assert not target.exists() and not (tmp_path / "up.py").exists()


def test_a_wheel_for_another_python_is_left_out_and_named(bundle, tmp_path, capsys):
    (bundle / WHEEL).rename(bundle / "wheels" / "evil-1.0-cp27-cp27m-manylinux1_x86_64.whl")
    unpack(bundle, tmp_path / "code")
    here = f"{sys.version_info.major}{sys.version_info.minor}"
    assert (
        f"cp27m-manylinux1_x86_64.whl is not for this Python, {here}; left out"
        in capsys.readouterr().err
    )
    own = bundle / "wheels" / f"evil-1.0-cp{here}-cp{here}-manylinux1_x86_64.whl"
    next(bundle.glob("wheels/*")).rename(own)
    unpack(bundle, tmp_path / "code")
    assert (tmp_path / "code" / "evil" / "__init__.py").is_file()
