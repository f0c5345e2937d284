"""`gutseg score FOLDER --truth FOLDER`: label maps as NIfTI, measured at their own spacing."""

import importlib.util
import json
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gutseg.score import score

# columns, rows and slices of 1, 2 and 5 mm
AFFINE = np.diag([-1.0, -2.0, 5.0, 1.0])


def save(path: Path, labels: np.ndarray, affine: np.ndarray = AFFINE, dtype=np.uint8) -> Path:
    """Write labels (Z, H, W); the axes of a NIfTI file run column, row, slice."""
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels.T.astype(dtype), affine), path)
    return path


def labels(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """(4, 6, 8): boxes of (label, slice, row, column), 2 voxels a side."""
    found = np.zeros((4, 6, 8))
    for number, z, y, x in boxes:
        found[z : z + 2, y : y + 2, x : x + 2] = number
    return found


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Of scan a label 1 is one slice off and label 2 is missed; b has label 1 exactly."""
    predicted, truth = tmp_path / "predicted", tmp_path / "labelsTs"
    save(truth / "a.nii.gz", labels((1, 0, 0, 0), (2, 1, 3, 4)))
    save(predicted / "a.nii", labels((1, 1, 0, 0)), dtype=np.int16)
    for folder in (predicted, truth):
        save(folder / "b.nii.gz", labels((1, 2, 2, 2)), dtype=np.float32)
    (truth / "notes.txt").write_text("not an image")
    return predicted, truth


def measured(folders: tuple[Path, Path], tmp_path: Path, **options) -> dict:
    score(folders[0], truth=folders[1], json=tmp_path / "s.json", **options)
    return json.loads((tmp_path / "s.json").read_text())


def test_pairs_are_measured_at_their_spacing(folders, tmp_path, capsys) -> None:
    found = measured(folders, tmp_path, by="class,scan", tolerance=4.0)
    one = found["per_scan"]["a"]["label 1"]
    # 2 x 2 x 2 voxels, moved by a slice of 5 mm: half of either is on the other
    assert one["hausdorff"] == one["hausdorff_95"] == 5
    assert (one["dice"], one["surface_dice"], one["mean_distance"]) == (0.5, 0.5, 2.5)
    assert one["truth_volume"] == pytest.approx(8 * 10 / 1000)
    missed = found["per_scan"]["a"]["label 2"]
    assert missed["outcome"] == "missed" and missed["dice"] == 0
    # sides of 4 x 5, 6 x 2 and 8 x 1 mm
    assert missed["hausdorff"] == pytest.approx(math.hypot(20, 12, 8))
    assert found["per_class"]["label 1"]["mean"]["hausdorff"] == 2.5
    assert set(found["per_scan"]["b"]) == {"label 1"}
    assert "label 2" in capsys.readouterr().out


def test_a_moved_column_is_one_millimetre_away(tmp_path) -> None:
    """And a moved row two: the axes of the array are turned with their sizes."""
    both = tmp_path / "predicted", tmp_path / "truth"
    save(both[1] / "a.nii", labels((1, 0, 0, 0), (2, 2, 3, 3)))
    save(both[0] / "a.nii", labels((1, 0, 0, 1), (2, 2, 4, 3)))
    found = measured(both, tmp_path)["per_scan"]["a"]
    assert [found[f"label {n}"]["hausdorff"] for n in (1, 2)] == [1, 2]


@pytest.mark.parametrize("where", ["predicted", "labelsTs", "."])
@pytest.mark.parametrize("content", [
    {"background": 0, "liver": 1, "tumour": 2},
    {"0": "background", "1": "liver", "2": "tumour"},
])  # fmt: skip
def test_organs_have_the_names_of_nnunet(folders, tmp_path, where: str, content: dict) -> None:
    (tmp_path / where / "dataset.json").write_text(json.dumps({"labels": content}))
    found = measured(folders, tmp_path)
    assert set(found["per_class"]) == {"liver", "tumour"}
    assert found["per_class"]["tumour"]["missed"] == 1
    # neither side of scan b shows it
    assert found["per_class"]["tumour"]["absent"] == 1


def test_a_region_is_several_labels(folders, tmp_path) -> None:
    content = {"labels": {"background": 0, "whole": [1, 2], "core": 2}}
    (folders[0] / "dataset.json").write_text(json.dumps(content))
    found = measured(folders, tmp_path)["per_scan"]["a"]
    assert found["whole"]["dice"] == pytest.approx(2 * 4 / (16 + 8))
    assert found["core"]["outcome"] == "missed"


def test_a_file_without_counterpart(folders, tmp_path) -> None:
    predicted, _ = folders
    save(predicted / "c.nii.gz", labels((1, 0, 0, 0)))
    with pytest.raises(ValueError, match=r"labelsTs has no file for 1 scan \(c\) of .*predicted"):
        measured(folders, tmp_path)
    (predicted / "b.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"predicted has no file for 1 scan \(b\) of .*labelsTs"):
        measured(folders, tmp_path)
    found = measured(folders, tmp_path, missing="empty")
    # a missed organ counts; a scan without truth does not
    assert found["per_scan"]["b"]["label 1"]["outcome"] == "missed"
    assert set(found["per_scan"]) == {"a", "b"}


def test_what_is_refused(folders, tmp_path) -> None:
    predicted, truth = folders
    moved = AFFINE.copy()
    moved[2, 3] = 3.0
    cases = {
        "have 8 x 4 x 6 and 4 x 6 x 8 voxels": (np.moveaxis(labels((1, 0, 0, 0)), 2, 0), AFFINE),
        "affines that differ by up to 3 mm": (labels((1, 0, 0, 0)), moved),
        "is not a label map; expected whole numbers": (labels((1, 0, 0, 0)) / 2, AFFINE),
        "expected whole numbers from 0 to 255": (300 * labels((1, 0, 0, 0)), AFFINE),
    }
    for message, (values, affine) in cases.items():
        save(predicted / "a.nii", values, affine, np.float32)
        with pytest.raises(ValueError, match=message):
            measured(folders, tmp_path)
    askew = AFFINE.copy()
    askew[0, 1] = 0.5
    for folder, name in ((predicted, "a.nii"), (truth, "a.nii.gz")):
        save(folder / name, labels((1, 0, 0, 0)), askew)
    with pytest.raises(ValueError, match=r"a.nii.gz: its axes are not at right angles"):
        measured(folders, tmp_path)


def test_files_and_options_that_are_refused(folders, tmp_path) -> None:
    predicted, truth = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    for source, options, message in (
        (empty, {}, r"holds no .nii or .nii.gz"),
        (tmp_path / "nowhere", {}, "does not exist"),
        (predicted, {"metric": "one_sided"}, "--metric one_sided is of slices"),
        (predicted, {"by": "case"}, "NIfTI files have no cases; choices: class, scan"),
        (predicted, {"fold": "0"}, "is a folder of NIfTI files"),
    ):
        with pytest.raises(ValueError, match=message):
            score(source, truth=truth, **options)
    for content, message in (
        ("[]", "does not name labels"),
        ('{"labels": {"liver": 1.5}}', "1.5 is not a label from 1 to 255"),
        ('{"labels": {"liver": 1}}', "labels that dataset.json lacks: 2"),
        ('{"labels": {"liver": 1, "ignore": 2}}', "has a label `ignore`"),
    ):
        (truth / "dataset.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            score(predicted, truth=truth)
    (truth / "dataset.json").unlink()
    save(predicted / "a.nii.gz", labels((1, 0, 0, 0)))
    with pytest.raises(ValueError, match=r"has a.nii and a.nii.gz; keep one"):
        score(predicted, truth=truth)


def test_without_nibabel_the_command_that_installs_it_is_named(folders, monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "gutseg.clinic.extras.find_spec", lambda name: None if name == "nibabel" else found(name)
    )
    with pytest.raises(ValueError, match=r"pip install 'gutseg\[nifti\]'"):
        score(folders[0], truth=folders[1])
