import os
import subprocess
import sys
from pathlib import Path

import pytest

from gutseg import files
from gutseg.claims import check_claim, claimed
from gutseg.constants import COMPETITION
from gutseg.files import (
    check_output,
    check_output_folder,
    competition_folder,
    need_file,
    read_json,
    replacing,
    replacing_folder,
    write_json,
)


@pytest.mark.parametrize("below", ["", COMPETITION, f"competitions/{COMPETITION}"])
def test_both_mount_forms_of_kaggle_are_found(tmp_path, below):
    folder = tmp_path / below
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sample_submission.csv").touch()
    assert competition_folder(tmp_path) == folder


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a" / "x.txt"
    with replacing(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk full")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


def _write_folder(path: Path, name: str) -> None:
    with replacing_folder(path, ["*.npy"]) as temporary:
        temporary.mkdir()
        (temporary / name).touch()


def test_a_folder_is_replaced_whole(tmp_path):
    for number in range(2):
        _write_folder(tmp_path / "scan", f"{number}.npy")
    assert [p.name for p in (tmp_path / "scan").iterdir()] == ["1.npy"]
    assert [p.name for p in tmp_path.iterdir()] == ["scan"]


def test_json_and_missing_files(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, 2]})
    assert read_json(tmp_path / "x.json") == {"a": [1, 2]}
    for text in ("{", "[" * 100_000):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ValueError, match="x.json is not valid JSON"):
            read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="x.json is not UTF-8 text"):
        read_json(tmp_path / "x.json")
    with pytest.raises(FileNotFoundError, match="gone.csv does not exist; make it"):
        need_file(tmp_path / "gone.csv", "make it")
    with pytest.raises(FileNotFoundError, match="is a folder, expected a file; make it"):
        need_file(tmp_path, "make it")


def _refusals(root: Path) -> dict[str, tuple[Path, str]]:
    """Places where a file must not be written, with what is said of them."""
    (root / "folder").mkdir()
    (root / "folder" / "thesis.tex").write_text("years of work")
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to(root / "folder")
    (root / "file").touch()
    return {
        "folder": (root / "folder", "folder is a folder; expected the name of a file"),
        "link to a folder": (root / "link", "link is a folder"),
        "pipe": (root / "pipe", "pipe is a device or a pipe"),
        "device": (Path("/dev/full"), "/dev/full is a device or a pipe"),
        "standard output": (Path("/dev/stdout"), "/dev/stdout is a device"),
        "below a file": (root / "file" / "x.csv", "file is not a folder"),
        "nothing": (Path(), "is a folder"),
    }


CASES = ["folder", "link to a folder", "pipe", "device", "standard output", "below a file"]


@pytest.mark.parametrize("case", [*CASES, "nothing"])
def test_a_file_takes_the_place_of_files_only(tmp_path, case):
    path, message = _refusals(tmp_path)[case]
    with pytest.raises(OSError, match=message), replacing(path) as temporary:
        temporary.write_text("output")
    assert (tmp_path / "folder" / "thesis.tex").read_text() == "years of work"
    assert not any(p.name.endswith(".tmp") for p in tmp_path.rglob("*"))
    assert Path("/dev/full").is_char_device()


def test_an_output_is_no_input_and_no_other_kind_of_file(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "train.csv").write_text("id,class,segmentation\n")
    (tmp_path / "again.csv").hardlink_to(tmp_path / "raw" / "train.csv")
    train = tmp_path / "raw" / "train.csv"
    for path, inputs in (
        (train, [train]),
        (tmp_path / "again.csv", [train]),
        (train, [train.parent]),
    ):
        with pytest.raises(FileExistsError, match="this command reads .*raw"):
            check_output(path, inputs)
    with pytest.raises(FileExistsError, match=r"train.csv exists and begins with b'id,class,s"):
        check_output(train, begins=b"id,class,predicted")
    assert check_output(train, begins=b"id,class,segm") == train
    (tmp_path / "empty").touch()
    assert check_output(tmp_path / "empty", begins=b"id") == tmp_path / "empty"


def test_a_linked_output_is_followed_and_keeps_its_mode(tmp_path):
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "scores.json"
    target.write_text("{}")
    target.chmod(0o640)
    (tmp_path / "link.json").symlink_to(target)
    write_json(tmp_path / "link.json", [1])
    assert (tmp_path / "link.json").is_symlink() and read_json(target) == [1]
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["link", "link/out.json"])
def test_no_folder_is_made_for_a_broken_link(tmp_path, name):
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "deeper" / "x")
    with pytest.raises(FileExistsError, match=r"link is a link to .*whose folder does not exist"):
        write_json(tmp_path / name, [1])
    assert not (tmp_path / "gone").exists()


def test_a_planted_link_is_not_followed(tmp_path):
    """The name under which an output is written cannot be foreseen."""
    (tmp_path / "victim").write_text("dear")
    (tmp_path / f".x.json.{os.getpid()}.tmp").symlink_to(tmp_path / "victim")
    write_json(tmp_path / "x.json", {})
    assert (tmp_path / "victim").read_text() == "dear"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("thesis.tex", "holds thesis.tex, which this command did not write"),
        ("0.npy/thesis.tex", "holds 0.npy/thesis.tex"),
        ("notes/", "holds notes/"),
    ],
)
def test_a_foreign_folder_stays(tmp_path, content, message):
    path = tmp_path / "out" / content
    path.parent.mkdir(parents=True)
    path.mkdir() if content.endswith("/") else path.write_text("dear")
    with pytest.raises(FileExistsError, match=message):
        _write_folder(tmp_path / "out", "1.npy")
    assert path.exists() and [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_ours_has_its_marker(tmp_path):
    (tmp_path / "out").mkdir()
    check_output_folder(tmp_path / "out", ["*.npy"], marker="0.npy")
    (tmp_path / "out" / "1.npy").touch()
    with pytest.raises(FileExistsError, match="holds 1.npy, which"):
        check_output_folder(tmp_path / "out", ["*.npy"], marker="0.npy")


@pytest.mark.parametrize("path", [".", "..", "/", "~", "here/../.."])
def test_the_working_directory_is_not_replaced(tmp_path, monkeypatch, path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(FileExistsError, match="working directory, your home or a folder above"):
        check_output_folder(Path(path).expanduser(), ["*"])


def test_a_folder_is_no_input(tmp_path):
    (tmp_path / "raw" / "train").mkdir(parents=True)
    for path in ("raw", "raw/train", "raw/train/cache"):
        with pytest.raises(FileExistsError, match="this command reads .*raw/train"):
            check_output_folder(tmp_path / path, ["*"], inputs=[tmp_path / "raw" / "train"])


def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path):
    (tmp_path / ".x.json.abcd1234.tmp").mkdir()
    (tmp_path / ".y.json.abcd1234.tmp").mkdir()
    with replacing(tmp_path / "x.json") as outer:
        outer.touch()
        write_json(tmp_path / "x.json", {})
        assert outer.is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".y.json.abcd1234.tmp", "x.json"]


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("calls", [1, 2])
def test_a_kill_while_a_folder_is_replaced_loses_neither(tmp_path, monkeypatch, calls):
    """After the first and after the second of the two renames, with no `finally` run."""
    _write_folder(tmp_path / "scan", "old.npy")
    rename, done = Path.rename, []

    def dying(self, target):
        rename(self, target)
        done.append(target)
        if len(done) == calls:
            raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying)
        patched.setattr(files, "_clear", lambda room: None)
        with pytest.raises(_Killed):
            _write_folder(tmp_path / "scan", "new.npy")
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "scan", ["*.npy"]):
        raise ZeroDivisionError
    assert [p.name for p in (tmp_path / "scan").iterdir()] == ["new.npy"]
    assert [p.name for p in tmp_path.iterdir()] == ["scan"]


LOCKING = """
import sys
from pathlib import Path
from gutseg.claims import claimed

with claimed(Path(sys.argv[1]), ["x"]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path/run."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKING, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_is_filled_by_one_process(tmp_path, holder):
    message = f"run is being written by another process .process {holder.pid} on "
    with pytest.raises(FileExistsError, match=message), claimed(tmp_path / "run", ["x"]):
        pass
    (tmp_path / "run" / ".last.pt.abcd1234.tmp").mkdir()
    holder.kill()  # the note in the file stays, the lock does not
    holder.wait()
    with claimed(tmp_path / "run", ["x"]):
        with pytest.raises(FileExistsError, match="by this process already"):
            claimed(tmp_path / "run", ["x"]).__enter__()
        assert [p.name for p in (tmp_path / "run").iterdir()] == [".gutseg"]
        (tmp_path / "run" / "y").touch()
    assert {p.name for p in (tmp_path / "run").iterdir()} == {".gutseg", "y"}
    with claimed(tmp_path / "run", ["x"]):
        (tmp_path / "run" / "x").touch()
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"x", "y"}


def test_a_claim_that_came_to_nothing_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "run", ["x"]):
        raise ZeroDivisionError
    assert not (tmp_path / "run").exists()


def test_a_foreign_folder_is_not_claimed(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match="holds README.md and nothing that this command"):
        check_claim(tmp_path, ["cells/*/result.json"])
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]
    (tmp_path / "cells" / "a").mkdir(parents=True)
    (tmp_path / "cells" / "a" / "result.json").touch()
    check_claim(tmp_path, ["cells/*/result.json"])
    with pytest.raises(FileExistsError, match="this command reads"):
        check_claim(tmp_path, ["cells/*/result.json"], [tmp_path / "cells"])
    with pytest.raises(FileExistsError, match="README.md is not a folder"):
        check_claim(tmp_path / "README.md", [])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe{", b"{}".ljust(2**24 + 1), b"[" * 100_000])
def test_a_damaged_json_is_named(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match="x.json .*delete it and rerun"):
        read_json(tmp_path / "x.json")
    with pytest.raises(FileNotFoundError, match="is a folder, expected a file; make it"):
        need_file(tmp_path, "make it")
