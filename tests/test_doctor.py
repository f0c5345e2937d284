"""gutseg doctor: a line for everything, the right one wrong, also on machines not at hand."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from gutseg import facts as facts_module
from gutseg.doctor import doctor, judge, within
from gutseg.ending import explain
from gutseg.facts import Facts, Gpu, Torch, gather

T4 = Gpu("Tesla T4", (7, 5), 15.0, supported=True)
P100 = Gpu("Tesla P100-PCIE-16GB", (6, 0), 15.9, supported=False)
KAGGLE = Torch("2.10.0+cu128", "12.8", ("sm_70", "sm_75", "sm_80"), (T4, T4))
WELL = Facts(
    python="3.12.13",
    ranges={"python": ">=3.11", "torch": ">=2.10", "albumentations": ">=2.0.8,<3"},
    versions={"torch": "2.10.0+cu128", "albumentations": "2.0.8"},
    torch=KAGGLE,
    has_driver=True,
    free_gib=57.0,
    memory_gib=30.0,
    places=(Path("/kaggle/input"),),
    data=Path("/kaggle/input/uw"),
    kaggle="/usr/bin/kaggle",
    token="KAGGLE_API_TOKEN",
)


def test_where_all_is_well_all_is_ok():
    assert [finding.mark for finding in judge(WELL)] == ["ok"] * 10
    said = [finding.what for finding in judge(WELL)]
    assert said[:3] == [
        "Python 3.12.13",
        "2 of 2 packages are in their ranges",
        "torch 2.10.0+cu128, CUDA 12.8 for sm_70, sm_75, sm_80",
    ]
    assert said[3] == "GPU 0: Tesla T4, 15 GiB, compute capability 7.5"


CASES = {
    "an old Python": ({"python": "3.10.4"}, "!!  Python 3.10.4, gutseg needs >=3.11; make PYTHON="),
    "an old package": (
        {"versions": {"torch": "2.9.1", "albumentations": "2.0.8"}},
        "!!  torch 2.9.1, gutseg needs >=2.10; pip install 'torch>=2.10'",
    ),
    "a package from the future": (
        {"versions": {"torch": "2.10", "albumentations": "3.0.0"}},
        "!!  albumentations 3.0.0, gutseg needs >=2.0.8,<3; pip install 'albumentations>=2.0.8,<3'",
    ),
    "no torch": (
        {"torch": None, "versions": {"torch": "", "albumentations": "2.0.8"}},
        "!!  torch is not installed; pip install 'torch>=2.10'",
    ),
    "a torch that does not load": (
        {"torch": Torch(broken="libcudart.so.12: cannot open shared object file")},
        "!!  torch does not load (libcudart.so.12: cannot open shared object file); pip install",
    ),
    "Kaggle's P100": (
        {"torch": replace(KAGGLE, gpus=(P100,))},
        "!!  GPU 0: Tesla P100-PCIE-16GB, 16 GiB, compute capability 6.0, which this torch was not "
        "built for: its first operation would fail; on Kaggle choose GPU T4 x2, elsewhere pip",
    ),
    "a torch without CUDA": (
        {"torch": Torch("2.10.0+cpu")},
        "!!  nvidia-smi is here, but torch sees no GPU: it was built without CUDA; pip install",
    ),
    "an old driver": (
        {"torch": replace(KAGGLE, gpus=())},
        "!!  nvidia-smi is here, but torch sees no GPU: the driver is perhaps too old; pip install",
    ),
    "no GPU": (
        {"torch": replace(KAGGLE, gpus=()), "has_driver": False},
        "--  no GPU; configs/demo.yaml and configs/real_scan.yaml train without",
    ),
    # 25,920 x 266², 11,232 x 360 x 310, 1,200 x 276², 144 x 234² pixels of 3 bytes
    "a full disk": ({"free_gib": 8.2}, "--  8 GiB free on the disk; prepare writes 9.6 GB of the"),
    "little memory": ({"memory_gib": 3.7}, "--  4 GiB of memory; train and predict with --jobs 1"),
    "no data": (
        {"data": None, "places": (Path("here"), Path("there"))},
        "--  no data in here, there; kaggle competitions download -c uw-madison-gi-tract-image-",
    ),
    "no kaggle command": ({"kaggle": ""}, "--  no kaggle command, which kernel push needs; pip"),
    "no token": (
        {"token": ""},
        "--  no token of Kaggle, which kernel push needs; kaggle auth login, or a token of "
        "https://www.kaggle.com/settings/api in ~/.kaggle/access_token",
    ),
    "a kernel's copy of the code": (
        {"ranges": {}, "versions": {}},
        "--  no pyproject.toml, and gutseg is not installed: nothing says what it needs; pip",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_one_line_with_its_remedy(name, monkeypatch, capsys):
    changed, line = CASES[name]
    found = replace(WELL, **changed)
    monkeypatch.setattr("gutseg.doctor.gather", lambda *_: found)
    if line.startswith("!!"):
        with pytest.raises(ValueError, match="1 thing is to be mended"):
            doctor()
    else:
        doctor()
    lines = [one for one in capsys.readouterr().out.splitlines() if not one.startswith("ok")]
    assert len(lines) == 1 and lines[0].startswith(line)


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("2.10.0", ">=2.9", True),  # as numbers: as text 2.10 is before 2.9
        ("2.9", ">=2.10", False),
        ("2.10", ">=2.10.0", True),
        ("2.10.0+cu128", "==2.10", True),
        ("3.0.0rc1", "<3", False),
        ("2.99", ">=2.0.8,<3", True),
        ("2.0.7", ">=2.0.8, <3", False),
        ("0.4.3", ">=0.4.1,<0.4.3", False),
        ("1", "", True),
    ],
)
def test_ranges(version, wanted, fits):
    assert within(version, wanted) is fits


def test_every_range_of_the_project_is_understood():
    path = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(path.read_text())["project"]
    found = gather(None, Path("no/such/folder"))
    assert found.ranges["python"] == project["requires-python"]
    wanted = {name + wanted for name, wanted in found.ranges.items() if name != "python"}
    assert wanted == set(project["dependencies"])
    assert all(within(version, found.ranges[name]) for name, version in found.versions.items())
    assert found.torch.version and found.free_gib > 0 and found.memory_gib > 0


def test_the_data_is_found_where_it_is(tmp_path):
    (tmp_path / "competitions" / "uw-madison-gi-tract-image-segmentation").mkdir(parents=True)
    assert gather(tmp_path, tmp_path).data is None
    (tmp_path / "competitions/uw-madison-gi-tract-image-segmentation/train.csv").write_text("")
    assert gather(tmp_path, tmp_path).data == next(tmp_path.glob("competitions/*"))


def test_a_container_may_have_less_memory_than_its_host(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text(f"{2 * 2**30}\n")
    (tmp_path / "no_limit").write_text("max\n")
    monkeypatch.setattr(facts_module, "CGROUP", (tmp_path / "memory.max", tmp_path / "no_limit"))
    assert gather(None, tmp_path).memory_gib == 2


@pytest.mark.parametrize(
    ("given", "files", "found"),
    [
        ({}, [], ""),
        ({"KAGGLE_API_TOKEN": "x"}, [], "KAGGLE_API_TOKEN"),
        ({"KAGGLE_USERNAME": "me"}, [], ""),
        ({"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "x"}, [], "KAGGLE_USERNAME and KAGGLE_KEY"),
        ({}, [".kaggle/kaggle.json"], ".kaggle/kaggle.json"),
        ({}, [".kaggle/access_token", ".kaggle/kaggle.json"], ".kaggle/access_token"),
        ({}, [".kaggle/credentials.json"], ".kaggle/credentials.json"),
    ],
)
def test_where_the_token_is(given, files, found, tmp_path, monkeypatch):
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert gather(None, tmp_path).token.replace(f"{tmp_path}/", "") == found


def test_it_runs_where_nearly_everything_is_missing(tmp_path):
    """Of other packages it needs typer alone (with pydantic), and torch to see the GPU."""
    absent = ("torch", "numpy", "pandas", "yaml", "cv2", "numba", "pyarrow")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "sys.argv = ['gutseg', 'doctor']\nfrom gutseg.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert "!!  torch does not load (import of torch halted" in done.stdout
    assert done.stderr == "gutseg doctor: 1 thing is to be mended: the lines with !!\n"


def test_a_verb_that_misses_a_package_says_so_in_one_sentence():
    code = "import sys; sys.modules['pandas'] = None; sys.argv = ['gutseg', 'split']\n"
    code += "from gutseg.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    sentence = (
        "the package pandas is not installed; pip install -e . (gutseg doctor names all that is"
    )
    assert (done.returncode, done.stderr) == (2, f"gutseg split: {sentence} missing)\n")
    assert explain(ModuleNotFoundError("", name="gutseg.nowhere")) is None  # a bug
