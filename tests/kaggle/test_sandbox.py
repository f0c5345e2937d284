"""A kernel that would fail on Kaggle fails at home: network, memory, packages, inputs."""

import tempfile
from pathlib import Path

import pytest

from gutseg.kaggle.sandbox import LIMITS, run_like_kaggle

WRITE = "import pathlib\npathlib.Path('submission.csv').write_text('id,class,predicted\\n')\n"
REACHING = (
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    "import socket; socket.create_connection(('127.0.0.1', 9))",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('::', 9))",
)


@pytest.mark.parametrize("reach", REACHING)
def test_a_kernel_that_reaches_for_the_network_fails_the_check(built, tmp_path, reach):
    folder = built(reach)
    with pytest.raises(ValueError, match="the kernel ended with 1: .*reached for the network"):
        run_like_kaggle(folder, tmp_path / "images", tmp_path / "work")


def test_so_does_one_that_goes_on_without(built, tmp_path, isolation):
    folder = built(f"try:\n    {REACHING[1]}\nexcept OSError:\n    pass\n{WRITE}")
    with pytest.raises(ValueError, match="reached for the network, though it went on; Kaggle has"):
        run_like_kaggle(folder, tmp_path / "images", tmp_path / "work")


def test_processes_of_a_kernel_may_talk_to_each_other(built, tmp_path):
    """Through sockets, whose names end at 107 letters: the workplace has a short one."""
    talk = """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Manager() as other:
        print(other.list([7]))
"""
    folder = built(WRITE + talk)
    with tempfile.TemporaryDirectory() as place:
        ran = run_like_kaggle(folder, tmp_path / "images", Path(place) / "work")
    assert ran.log == ["[7]"]


def test_a_kernel_that_holds_too_much_is_stopped(built, tmp_path):
    """Its children count, and what it has touched, not what it has asked for."""
    child = "import time; held = b'x' * 200_000_000; time.sleep(60)"
    folder = built(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])")
    with pytest.raises(ValueError, match=r"held 0.\d GB and was stopped, Kaggle gives 0; lower"):
        run_like_kaggle(folder, tmp_path / "images", tmp_path / "work", limit_bytes=150_000_000)


def test_the_peak_is_that_of_the_kernel(built, tmp_path):
    asked = "import mmap, time\nasked = mmap.mmap(-1, 2**33)\n"
    held = "held = b'x' * 300_000_000\ntime.sleep(0.5)\n"
    ran = run_like_kaggle(built(asked + held + WRITE), tmp_path / "images", tmp_path / "work")
    assert 300e6 < ran.peak_bytes < 400e6 and ran.seconds > 0.5
    assert LIMITS == {"cpu": 13 * 10**9, "cuda": 29 * 10**9}


def test_inputs_cannot_be_written(built, tmp_path, isolation):
    if isolation == "none":
        pytest.skip("root writes where the mode forbids it")
    script = (
        "import os, pathlib\n"
        "for path in sorted(pathlib.Path(os.environ['GUTSEG_INPUT']).glob('*')):\n"
        "    try:\n"
        "        (path / 'new').write_text('x')\n"
        "    except OSError as error:\n"
        "        print(path.name, error.strerror)\n"
    )
    ran = run_like_kaggle(built(script + WRITE), tmp_path / "images", tmp_path / "work")
    names = ["gutseg-bundle", "uw-madison-gi-tract-image-segmentation"]
    assert ran.log == [f"{name} Read-only file system" for name in names]
    assert not (tmp_path / "images" / "new").exists()


@pytest.mark.parametrize("nested", [False, True])
def test_a_kernel_finds_inputs_an_empty_working_folder_and_kaggles_packages(
    built, tmp_path, isolation, nested
):
    script = (
        "import importlib.util as found, os, pathlib\n"
        "inputs = pathlib.Path(os.environ['GUTSEG_INPUT'])\n"
        "for depth in '*/*', '*/*/*', '*/*/*/*':\n"
        "    for end in '.csv', '.yaml':\n"
        "        print(*(path.relative_to(inputs) for path in inputs.glob(depth + end)))\n"
        "print(os.listdir(), os.listdir(pathlib.Path.home()))\n"
        "names = ('torch', 'numba', 'gutseg', 'segmentation_models_pytorch', 'monai', 'pytest')\n"
        "print(*(name for name in names if found.find_spec(name)))\n"
        "print(*(name for name in os.environ if name.endswith(('_HOME', '_CACHE', 'PATH'))))\n"
    )
    ran = run_like_kaggle(
        built(script + WRITE), tmp_path / "images", tmp_path / "work", nested=nested
    )
    competition = "uw-madison-gi-tract-image-segmentation/sample_submission.csv"
    blend = "gutseg-bundle/blend.yaml"
    assert ran.log == [
        f"competitions/{competition}" if nested else competition,
        f"datasets/user/{blend}" if nested else blend,
        "[] []",
        "torch numba",
        "PATH",
    ]


def test_a_kernel_without_a_csv_fails_the_check(built, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"submission.csv.*the kernel ended without writi"):
        run_like_kaggle(built("print('done')"), tmp_path / "images", tmp_path / "work")


def test_a_kernel_that_raises_is_told_by_its_last_line(built, tmp_path):
    with pytest.raises(ValueError, match="the kernel ended with 1: ModuleNotFoundError: No mod"):
        run_like_kaggle(built("import gutseg"), tmp_path / "images", tmp_path / "work")


def test_a_bundle_that_is_not_what_was_built_is_not_run(built, tmp_path):
    folder = built("raise SystemExit('it ran')")
    blend = folder / "bundle" / "blend.yaml"
    blend.unlink()
    blend.symlink_to("/dev/zero")  # of which there would be no end
    with pytest.raises(ValueError, match="bundle/blend.yaml is a device or a pipe.*build it again"):
        run_like_kaggle(folder, tmp_path / "images", tmp_path / "work")
