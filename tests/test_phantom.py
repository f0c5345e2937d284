"""The verb: a competition folder as one downloads it, and the hidden test beside it."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from gutseg.constants import CLASSES
from gutseg.masks.rle_reading import decode
from gutseg.phantom import phantom
from gutseg.synthetic import Visit, draw_scan, folder, roster, voxels

NAME = re.compile(r"slice_(\d{4})_(\d+)_(\d+)_(\d\.\d\d)_(\d\.\d\d)\.png")


def digest(root: Path) -> dict[str, str]:
    """Every file below root by name, with a hash of its bytes."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)


def slice_ids(root: Path) -> list[str]:
    """The ids of the PNGs below root, by case, day and slice."""
    found = []
    for path in root.glob("*/*/scans/*.png"):
        case, day = path.parent.parent.name.removeprefix("case").split("_day")
        found.append((int(case), int(day), int(NAME.fullmatch(path.name)[1])))
    return [f"case{case}_day{day}_slice_{number:04d}" for case, day, number in sorted(found)]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom of four patients, all four sizes; read-only for the tests."""
    root = tmp_path_factory.mktemp("phantom") / "out"
    phantom(root, cases=4, workers=1)
    return root


def test_tree_is_the_competitions(out: Path):
    top = {path.name for path in out.iterdir()}
    csvs = {"train.csv", "sample_submission.csv", "hidden_truth.csv"}
    assert top == csvs | {"train", "hidden", "phantom.json"}
    assert {path.name for path in (out / "hidden").iterdir()} == {"test", "sample_submission.csv"}
    scans = list((out / "train").glob("*/*/scans"))
    assert len(scans) == 8
    for scan in scans:
        case, day = re.fullmatch(r"case(\d+)_day(\d+)", scan.parent.name).groups()
        assert scan.parent.parent.name == f"case{case}" and int(day) >= 0
    strays = [name for name in digest(out) if not name.endswith((".png", ".csv"))]
    assert strays == ["phantom.json"]


def test_pngs_are_16_bit_and_named_width_first(out: Path):
    sizes, largest = set(), []
    for scan in out.glob("*/*/*/scans"):
        numbers = []
        for path in sorted(scan.iterdir()):
            number, width, height, spacing_x, spacing_y = NAME.fullmatch(path.name).groups()
            numbers.append(int(number))
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert image.dtype == np.uint16 and image.shape == (int(height), int(width))
            assert spacing_x == spacing_y == ("3.26" if width == "138" else "3.00")
            largest.append(image.max())
        assert numbers == list(range(1, 28 if width == "138" else 49))
        sizes.add((int(width), int(height)))
    assert sizes == {(133, 133), (180, 155), (138, 138), (117, 117)}
    assert max(largest) > 255, "the grey values need more than 8 bits"


def test_rows_of_train_follow_slices_and_classes(out: Path):
    text = (out / "train.csv").read_text()
    assert text.startswith("id,class,segmentation\ncase") and text.endswith("\n")
    assert "\r" not in text and '"' not in text
    rows = read(out / "train.csv")
    ids = slice_ids(out / "train")
    assert rows["id"].tolist() == [name for name in ids for _ in CLASSES]
    assert rows["class"].tolist() == list(CLASSES) * len(ids)
    # 70 % of the real rows are empty
    assert 0.5 < (rows["segmentation"] == "").mean() < 0.8


def test_rows_are_the_masks_of_the_pictures(out: Path):
    rows = read(out / "train.csv").set_index(["id", "class"])["segmentation"]
    scan = next(s for s in roster(4, 0, "small")[0] if s.voxels.width == 180)
    drawn = draw_scan(0, scan)
    for index in range(scan.voxels.num_slices):
        path = out / f"train/case{scan.case}/{scan.name}/scans" / scan.file_name(index + 1)
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), drawn.image[index])
        for bit, name in enumerate(CLASSES):
            text = rows[f"{scan.name}_slice_{index + 1:04d}", name]
            assert np.array_equal(decode(text, 155, 180), drawn.mask[index] >> bit & 1 == 1)


def test_public_sample_submission_is_a_header_of_19_bytes(out: Path):
    assert (out / "sample_submission.csv").read_bytes() == b"id,class,predicted\n"
    assert (out / "sample_submission.csv").stat().st_size == 19


def test_hidden_twin_agrees_with_its_truth(out: Path):
    sample = read(out / "hidden" / "sample_submission.csv")
    truth = read(out / "hidden_truth.csv")
    assert sample.columns.tolist() == ["id", "class", "predicted"]
    assert truth.columns.tolist() == ["id", "class", "segmentation"]
    assert (sample["predicted"] == "").all() and (truth["segmentation"] != "").any()
    assert sample[["id", "class"]].equals(truth[["id", "class"]])
    ids = slice_ids(out / "hidden" / "test")
    assert sample["id"].tolist() == [name for name in ids for _ in CLASSES]
    assert not set(ids) & set(slice_ids(out / "train"))
    known = {path.name for path in (out / "train").iterdir()}
    shown = {path.name for path in (out / "hidden" / "test").iterdir()}
    assert shown & known and shown - known, "later days of known patients, and new patients"


def test_neither_workers_nor_the_number_of_cases_change_a_scan(out: Path, tmp_path: Path):
    phantom(tmp_path / "one", cases=1, workers=2)
    few, many = digest(tmp_path / "one"), digest(out)
    pngs = {name for name in few if name.endswith(".png")}
    assert len(pngs) > 100
    assert {name: few[name] for name in pngs}.items() <= many.items()
    rows = (tmp_path / "one" / "train.csv").read_text().splitlines()
    assert len(rows) > 300 and set(rows) <= set((out / "train.csv").read_text().splitlines())


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(out: Path, tmp_path: Path):
    phantom(tmp_path / "again", cases=4, workers=2)
    assert digest(tmp_path / "again") == digest(out)


def test_a_rerun_completes_what_a_kill_left(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = digest(out)
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    scans = sorted(copy.glob("*/*/*/scans"))
    shutil.rmtree(scans[0])
    next(scans[1].iterdir()).unlink()
    (scans[2].parent / ".scans.k1lled_0.tmp").mkdir()
    (scans[2].parent / ".scans.k1lled_0.tmp" / "slice_0001.png").touch()
    (copy / "train.csv").unlink()
    (copy / ".train.csv.k1lled_0.tmp").mkdir()
    (copy / ".train.csv.k1lled_0.tmp" / "train.csv").write_text("id,cl")
    drawn = []

    def spy(seed, scan):
        drawn.append(scan)
        return draw_scan(seed, scan)

    monkeypatch.setattr(folder, "draw_scan", spy)
    phantom(copy, cases=4, workers=1)
    assert digest(copy) == whole
    assert len(drawn) == 2, "only what was missing is drawn again"


def test_a_broken_run_leaves_no_half_scan_and_no_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    written = []

    def full_disk(path, image):
        written.append(path)
        return len(written) < 60

    monkeypatch.setattr(folder.cv2, "imwrite", full_disk)
    with pytest.raises(OSError, match=r"slice_0012.*could not be written; is the disk full"):
        phantom(tmp_path / "out", cases=1, workers=1)
    assert not list(tmp_path.rglob("*.csv"))
    assert len(list(tmp_path.glob("out/train/*/*/scans"))) == 1
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("text", ["7", "null", "[]", '{"cases": "' + "x" * 5000 + '"}'])
def test_a_phantom_json_of_something_else_is_named(tmp_path: Path, text: str):
    (tmp_path / "phantom.json").write_text(text)
    with pytest.raises(FileExistsError, match=r"another phantom: phantom.json says .* expected ca"):
        phantom(tmp_path, cases=1)
    with pytest.raises(FileExistsError) as error:
        phantom(tmp_path, cases=1)
    assert len(str(error.value)) < 700


def test_something_else_in_the_folder_is_left_alone(out: Path, tmp_path: Path):
    before = digest(out)
    words = r"holds another phantom: phantom.json says cases=4 seed=0 .* expected cases=4 seed=1"
    with pytest.raises(FileExistsError, match=words):
        phantom(out, cases=4, seed=1)
    with pytest.raises(FileExistsError, match=r"preset='full'.*; give another folder, or delete"):
        phantom(out, cases=4, preset="full")
    assert digest(out) == before
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"neither empty nor a phantom.*thesis.tex, expected phantom.json"
    ):
        phantom(tmp_path)
    with pytest.raises(FileExistsError, match="is a file; a folder was expected"):
        phantom(tmp_path / "thesis.tex")
    assert digest(tmp_path).keys() == {"thesis.tex"}


def test_bad_arguments_write_nothing(tmp_path: Path):
    for arguments, words in (
        ({"cases": 0}, "cases is 0; at least 1"),
        ({"cases": 10**9}, "cases is 1000000000; at most 10000 are possible"),
        ({"seed": -2}, "seed is -2"),
        ({"seed": 2**70}, "seed is 1180591620717411303424; a whole number from 0 to 4294967295"),
        ({"preset": "huge"}, "preset 'huge' is unknown; choices: small, full"),
        ({"workers": -1}, "workers is -1"),
    ):
        with pytest.raises(ValueError, match=words):
            phantom(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_settings_are_kept_beside_the_data(out: Path):
    settings = json.loads((out / "phantom.json").read_text())
    assert settings == {"cases": 4, "seed": 0, "preset": "small", "drawing": folder.DRAWING}


@pytest.mark.slow
def test_command_line_prints_one_line_and_no_warning(tmp_path: Path):
    command = [sys.executable, "-m", "gutseg", "phantom", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--cases", "1", "--workers", "2"], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1 and "3 scans to train on, 2 hidden" in done.stdout
    assert "warning" not in done.stderr.lower()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "last"),
    [
        ((276, 276), "slice_0080_276_276_1.63_1.63.png"),
        ((360, 310), "slice_0144_360_310_1.50_1.50.png"),
    ],
)
def test_full_preset_writes_native_sizes(size: tuple[int, int], last: str, tmp_path: Path):
    scan = Visit(2, 1, voxels(size, "full"), is_large=size[0] == 360)
    rows = folder.write_scan(folder.Job(0, scan, tmp_path / "scans"))
    names = sorted(path.name for path in (tmp_path / "scans").iterdir())
    assert names[-1] == last and len(names) == scan.voxels.num_slices
    image = cv2.imread(str(tmp_path / "scans" / last), cv2.IMREAD_UNCHANGED)
    assert image.shape == size[::-1] and image.any()
    assert rows.count("\n") == 3 * scan.voxels.num_slices
