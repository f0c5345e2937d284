"""`gutseg segment` and `gutseg export --to rtstruct|seg|nifti`: the masks that Python gives."""

import nibabel
import numpy as np
import pytest
from clinic_cases import write_series

import gutseg
from gutseg.clinic import scans
from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.export import export
from gutseg.files import read_json
from gutseg.segment import segment

SCAN = "case1_day0"
# of the scans that the network was trained on
SPACING = (1.5, 1.5)


def _masks(folder):
    """Masks (C, Z, H, W) of a folder of NIfTI files whose axes are Kaggle's."""
    files = (nibabel.load(folder / f"{organ}.nii.gz") for organ in CLASSES)
    return np.stack([np.asarray(one.dataobj).T > 0 for one in files])


@pytest.fixture(scope="module")
def scan(trained):
    return Cache(trained.cache).scan(SCAN)


@pytest.fixture(scope="module")
def expected(trained, scan):
    return gutseg.load(trained.blend)(np.array(scan.image))


def test_a_dicom_series_gets_the_masks_of_the_blend(trained, scan, expected, tmp_path, capsys):
    """Slices from head to feet, as Kaggle's; then the other way round, which is turned."""
    for name, step in (("down", -3), ("up", 3)):
        image = scan.image if step < 0 else scan.image[::-1]
        write_series(tmp_path / name, image, step=(0, 0, step), spacing=SPACING)
        segment(trained.blend, tmp_path / name, tmp_path / f"{name}_out", "nifti")
        assert np.array_equal(_masks(tmp_path / f"{name}_out")[:, ::-1], expected)
        said = capsys.readouterr().out
        assert "8x40x48 voxels of 3x1.5x1.5 mm, not resampled; not for clinical use" in said
    assert expected.any(axis=(1, 2, 3)).all()
    for to in ("rtstruct", "seg"):  # kept only where it reads back as the masks
        segment(trained.blend, tmp_path / "up", tmp_path / to, to)
        note, other = (
            read_json(folder / "export.json") for folder in (tmp_path / to, tmp_path / "up_out")
        )
        assert note["ml"] == other["ml"] and note["masks"] == f"prediction of {trained.blend}"
    with pytest.raises(FileExistsError, match="this command reads"):
        segment(trained.blend, tmp_path / "up", tmp_path / "up" / "masks")


def test_a_nifti_file_of_twice_the_resolution(trained, scan, expected, tmp_path):
    """Each voxel doubled in every direction: seen at the training's, brought back doubled."""
    doubled = np.kron(scan.image, np.ones((2, 2, 2), np.uint16))
    affine = np.diag([-0.75, -0.75, -1.5, 1])
    nibabel.save(nibabel.Nifti1Image(doubled.T.astype(np.int32), affine), tmp_path / "fine.nii.gz")
    segment(trained.blend, tmp_path / "fine.nii.gz", tmp_path / "out", "nifti")
    found = _masks(tmp_path / "out")
    assert found.shape == (3, 16, 80, 96)
    # linear in between: what has neighbours all alike is exact
    assert np.mean(found == np.kron(expected, np.ones((1, 2, 2, 2), bool))) > 0.98
    note = read_json(tmp_path / "out" / "export.json")
    assert note["seen"] == "16x80x96 voxels of 1.5x0.75x0.75 mm, resampled to 8x40x48"
    # networks that were trained at that spacing see it as it is
    segment(trained.blend, tmp_path / "fine.nii.gz", tmp_path / "own", "nifti", "1.5x0.75x0.75")
    assert np.array_equal(_masks(tmp_path / "own"), gutseg.load(trained.blend)(doubled))
    with pytest.raises(ValueError, match="fine.nii.gz: its slices are 1.5 mm apart; the networks"):
        segment(trained.blend, tmp_path / "fine.nii.gz", tmp_path / "no", "nifti", "9x1x1")
    with pytest.raises(ValueError, match="--to: unknown name 'dcm'; choices: rtstruct, seg, nifti"):
        segment(trained.blend, tmp_path / "fine.nii.gz", tmp_path / "no", "dcm")


def test_a_scan_of_a_run_of_a_blend_and_its_labels(trained, scan, tmp_path, capsys):
    """Out of fold: by the one network that had not seen the case, and by the blend's rules."""
    labels = np.stack([scan.labels >> bit & 1 for bit in range(3)]).astype(bool)
    fold = next(one for one in (0, 1) if (trained.run / f"fold{one}/oof/{SCAN}.npz").is_file())
    with np.load(trained.run / f"fold{fold}" / "oof" / f"{SCAN}.npz") as written:
        probabilities = written["probabilities"]
    export(trained.run, to="nifti", scan=SCAN, out=tmp_path / "run")
    assert np.array_equal(_masks(tmp_path / "run"), probabilities >= 128)
    assert f"out-of-fold prediction of {trained.run}; not for clini" in capsys.readouterr().out
    solved = scans.blends.open_source(trained.blend)
    export(trained.blend, to="nifti", scan=SCAN, out=tmp_path / "blend")
    assert np.array_equal(_masks(tmp_path / "blend"), solved.masks(SCAN)[0].to_arrays())
    for source in (trained.run, trained.cache):
        export(source, to="nifti", scan=SCAN, truth=True, out=tmp_path / "truth")
        assert np.array_equal(_masks(tmp_path / "truth"), labels)
    affine = nibabel.load(tmp_path / "truth" / "image.nii.gz").affine
    assert np.abs(np.diag(affine)).tolist() == [1.5, 1.5, 3, 1]


def test_where_an_export_goes_by_itself(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(trained.cache, to="rtstruct", scan=SCAN, truth=True)
    name = "rtstruct-truth"  # what was predicted goes elsewhere
    assert (tmp_path / "exports" / "cache" / SCAN / name / "rtstruct.dcm").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "rtstruct"}, r"--to rtstruct writes one scan; name it with --scan"),
        (
            {"to": "seg", "scan": "case9_day9"},
            r"--scan: .*tiny has no 'case9_day9'; 6 scans \(case",
        ),
        ({"to": "nifti", "scan": SCAN, "size": "40x48"}, "--size and --batch are for networks; le"),
        ({"to": "nifti", "scan": SCAN, "batch": 2}, "--size and --batch are for networks; leave"),
        ({"scan": SCAN}, "--scan and --truth are for masks; give --to rtstruct, seg, nifti"),
        ({"truth": True}, "--scan and --truth are for masks"),
        ({"to": "seg", "scan": SCAN, "fold": "7"}, "--fold 7: expected all or some of 0, 1"),
    ],
)
def test_what_does_not_go_together(trained, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export(trained.run, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
