"""Masks written as RTSTRUCT, SEG and NIfTI, read by what shares no code with the writers."""

import shutil

import nibabel
import numpy as np
import pydicom
import pytest
from clinic_cases import SHAPE, grey, organs, write_series

from gutseg.clinic import nifti, output
from gutseg.clinic.geometry import of_scan
from gutseg.clinic.output import check_clinic_folder, write_masks
from gutseg.clinic.series_in import read_series
from gutseg.clinic.volume import Volume
from gutseg.files import read_json

FORMATS = ("rtstruct", "seg", "nifti")
# (z, y, x) of Kaggle's grid: what the files say of 1.25 mm rows and 1.5 mm columns
SPACING = (1.25, 1.5)


def _volume():
    return Volume("case7_day0", grey(), of_scan(SHAPE, SPACING))


def _write(folder, volume, masks, to):
    write_masks(folder, volume, masks, to, by_hand=False, about={"masks": "drawn"})
    return folder


def _parity(points, size):
    """Pixels whose centres lie inside a closed polygon (N, 2) of (column, row), one by one."""
    found = np.zeros(size, bool)
    pairs = list(zip(points, np.roll(points, -1, axis=0), strict=True))
    for row, column in np.ndindex(size):
        for (x1, y1), (x2, y2) in pairs:
            if (y1 > row) != (y2 > row) and column < x1 + (row - y1) / (y2 - y1) * (x2 - x1):
                found[row, column] ^= True
    return found


def test_contours_decode_to_the_same_masks(tmp_path):
    """By hand from millimetres, on the slice whose image a contour names; each alone, united."""
    masks = organs()
    folder = _write(tmp_path / "out", _volume(), masks, "rtstruct")
    images = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, folder.glob("images/*"))}
    found, seen = np.zeros_like(masks), pydicom.dcmread(folder / "rtstruct.dcm")
    for organ, roi in zip(found, seen.ROIContourSequence, strict=True):
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            (reference,) = contour.ContourImageSequence
            image = images[reference.ReferencedSOPInstanceUID]
            x, y, z = map(float, image.ImagePositionPatient)
            assert (points[:, 2] == z).all() and contour.ContourGeometricType == "CLOSED_PLANAR"
            assert contour.NumberOfContourPoints == len(points)
            flat = (points[:, :2] - (x, y)) / (1.5, 1.25)
            organ[image.InstanceNumber - 1] |= _parity(flat, SHAPE[1:])
    assert np.array_equal(found, masks) and (found[0] & found[1]).any()


def test_what_a_structure_set_says(tmp_path):
    seen = pydicom.dcmread(_write(tmp_path / "o", _volume(), organs(), "rtstruct") / "rtstruct.dcm")
    assert [one.ROIName for one in seen.StructureSetROISequence] == [
        *("large bowel", "small bowel", "stomach")
    ]
    assert {one.ROIGenerationAlgorithm for one in seen.StructureSetROISequence} == {"AUTOMATIC"}
    colours = [list(one.ROIDisplayColor) for one in seen.ROIContourSequence]
    assert colours == [[0, 114, 178], [230, 159, 0], [213, 94, 0]]
    codes = [
        one.RTROIIdentificationCodeSequence[0].CodeValue for one in seen.RTROIObservationsSequence
    ]
    assert codes == ["14742008", "30315005", "69695003"]
    assert seen.SeriesDescription == "gutseg, not for clinical use"
    assert seen.ApprovalStatus == "UNAPPROVED" and seen.PatientName == "Anonymous"
    assert seen.PatientID == "case7"


def test_segments_overlap_frame_by_frame(tmp_path):
    """By the position and the number that each frame says, from the bits in the file."""
    masks = organs()
    folder = _write(tmp_path / "out", _volume(), masks, "seg")
    seen = pydicom.dcmread(folder / "seg.dcm")
    found = np.zeros_like(masks)
    for frame, facts in zip(seen.pixel_array, seen.PerFrameFunctionalGroupsSequence, strict=True):
        number = facts.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        height = float(facts.PlanePositionSequence[0].ImagePositionPatient[2])
        z = round((7.5 - height) / 3)  # six slices from 7.5 mm down to -7.5 mm
        assert height == 7.5 - 3 * z
        found[number - 1, z] = frame
    assert np.array_equal(found, masks)
    types = [one.SegmentedPropertyTypeCodeSequence[0] for one in seen.SegmentSequence]
    assert [(one.CodeValue, one.CodeMeaning) for one in types] == [
        ("14742008", "Large intestine"),
        ("30315005", "Small intestine"),
        ("69695003", "Stomach"),
    ]
    assert seen.SegmentationType == "BINARY"


def test_where_the_corners_of_a_scan_lie(tmp_path):
    """The first voxel is the patient's right, front and upper one; worked out by hand.

    24 columns of 1.5 mm end at 17.25 mm, 20 rows of 1.25 mm at 11.875, 6 slices of 3 mm at 7.5.
    """
    masks = np.zeros((3, *SHAPE), bool)
    masks[2, 0, 0, 0] = masks[2, -1, 0, -1] = True
    folder = _write(tmp_path / "dicom", _volume(), masks, "rtstruct")
    first = pydicom.dcmread(folder / "images" / "0001.dcm")
    assert list(map(float, first.ImagePositionPatient)) == [-17.25, -11.875, 7.5]
    assert list(map(float, first.ImageOrientationPatient)) == [1, 0, 0, 0, 1, 0]
    assert list(map(float, first.PixelSpacing)) == [1.25, 1.5]  # between rows comes first
    assert first.SliceThickness == 3 and np.array_equal(first.pixel_array, grey()[0])
    last = pydicom.dcmread(folder / "images" / "0006.dcm")
    assert list(map(float, last.ImagePositionPatient)) == [-17.25, -11.875, -7.5]
    folder = _write(tmp_path / "nifti", _volume(), masks, "nifti")
    seen = nibabel.load(folder / "stomach.nii.gz")
    places = nibabel.affines.apply_affine(seen.affine, np.argwhere(seen.dataobj))
    # NIfTI: to the right, to the front, to the head
    right, left = [17.25, 11.875, 7.5], [-17.25, 11.875, -7.5]
    assert sorted(places.tolist()) == sorted([right, left])
    assert np.array_equal(seen.get_sform(), seen.get_qform())
    assert seen.header.get_zooms() == (1.5, 1.25, 3.0) and seen.header["descrip"] == (
        b"gutseg, not for clinical use"
    )
    image = nibabel.load(folder / "image.nii.gz")
    assert np.array_equal(np.asarray(image.dataobj), grey().T)
    assert np.array_equal(image.affine, seen.affine)


def test_simpleitk_puts_both_formats_in_the_same_place(tmp_path):
    """A reader that is not ours: voxel by voxel the series and the NIfTI file coincide."""
    simpleitk = pytest.importorskip("SimpleITK")
    for to in ("rtstruct", "nifti"):
        _write(tmp_path / to, _volume(), organs(), to)
    files = sorted(map(str, (tmp_path / "rtstruct" / "images").iterdir()))
    series = simpleitk.ReadImage(files[::-1])  # it wants them along the normal: to the head
    scan, mask = (
        simpleitk.ReadImage(tmp_path / "nifti" / f"{name}.nii.gz") for name in ("image", "stomach")
    )
    assert series.TransformIndexToPhysicalPoint((0, 0, 0)) == (-17.25, -11.875, -7.5)
    for one in (scan, mask):
        on_series = simpleitk.Resample(
            one, series, simpleitk.Transform(), simpleitk.sitkNearestNeighbor
        )
        array = simpleitk.GetArrayFromImage(on_series)[::-1]
        assert np.array_equal(array, grey() if one is scan else organs()[2])
    assert np.array_equal(simpleitk.GetArrayFromImage(series)[::-1], grey())


def test_nifti_keeps_overlaps_and_numbers_organs_where_there_are_none(tmp_path):
    masks = organs()
    folder = _write(tmp_path / "over", _volume(), masks, "nifti")
    found = [
        np.asarray(nibabel.load(folder / f"{organ}.nii.gz").dataobj).T
        for organ in ("large_bowel", "small_bowel", "stomach")
    ]
    assert np.array_equal(found, masks) and not (folder / "labels.nii.gz").exists()
    masks[1] &= ~masks[0]
    folder = _write(tmp_path / "apart", _volume(), masks, "nifti")
    labels = np.asarray(nibabel.load(folder / "labels.nii.gz").dataobj).T
    assert np.array_equal(labels, masks[0] + 2 * masks[1] + 3 * masks[2])


@pytest.mark.parametrize("to", FORMATS)
def test_empty_masks_and_equal_bytes(tmp_path, to):
    for masks in (organs(), np.zeros((3, *SHAPE), bool)):
        for name in "ab":
            _write(tmp_path / name, _volume(), masks, to)
        one, two = (read_json(tmp_path / name / "export.json") for name in "ab")
        assert one == two and one["format"] == to and one["masks"] == "drawn"
        assert one["notice"] == "not for clinical use" and one["spacing_mm"] == [3, 1.25, 1.5]
        voxels = masks.sum(axis=(1, 2, 3)) * 3 * 1.25 * 1.5 / 1000
        assert list(one["ml"].values()) == voxels.round(2).tolist()


@pytest.mark.parametrize("to", ["rtstruct", "seg"])
def test_a_series_of_ones_own_is_referred_to_and_not_written_again(tmp_path, to):
    volume = read_series(write_series(tmp_path / "mr", grey()))
    masks = organs()
    folder = _write(tmp_path / "out", volume, masks, to)
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", f"{to}.dcm"]
    seen = pydicom.dcmread(folder / f"{to}.dcm")
    assert seen.PatientName == "Müller^Jürgen" and seen.PatientID == "4711"
    assert (seen.StudyInstanceUID, seen.FrameOfReferenceUID) == ("1.2.3.1", "1.2.3.3")
    assert seen.SeriesInstanceUID.startswith("2.25.") and seen.StudyDate == "20220714"
    text = seen.to_json()
    assert "1.2.3.2" in text and all(f'"1.2.3.4.{z}"' in text for z in range(2, 6))


def test_tilted_series(tmp_path):
    """Contours of oblique slices lie in the planes of their images."""
    angle = np.radians(12)
    across, down = (1, 0, 0), (0, np.cos(angle), np.sin(angle))
    step = 3 * np.cross(across, down)
    series = write_series(tmp_path / "mr", grey(), across=(*across, *down), step=step)
    volume = read_series(series)
    for to in FORMATS:  # each reads back what it wrote before it is kept
        _write(tmp_path / to, volume, organs(), to)
    seen = pydicom.dcmread(tmp_path / "rtstruct" / "rtstruct.dcm")
    contour = seen.ROIContourSequence[0].ContourSequence[0]
    points = np.array(contour.ContourData, float).reshape(-1, 3) - (-10, 20, 30)
    # the first contour is on the second slice
    assert np.allclose(points @ step / 3, 3, atol=1e-5)


def test_what_reads_back_as_something_else_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(nifti, "read", lambda folder: ~organs())
    with pytest.raises(ValueError, match="out was not kept: as nifti, the masks read back as othe"):
        _write(tmp_path / "out", _volume(), organs(), "nifti")
    assert list(tmp_path.iterdir()) == []


def test_a_corrected_file_is_not_replaced(tmp_path):
    folder = _write(tmp_path / "out", _volume(), organs(), "rtstruct")
    check_clinic_folder(folder, [], "seg")  # an export of another format may take its place
    _write(folder, _volume(), organs(), "rtstruct")
    corrected = pydicom.dcmread(folder / "rtstruct.dcm")
    corrected.ApprovalStatus = "APPROVED"
    corrected.save_as(folder / "rtstruct.dcm")
    with pytest.raises(FileExistsError, match=r"rtstruct.dcm was changed since it was written and"):
        check_clinic_folder(folder, [], "rtstruct")
    (tmp_path / "dear").mkdir()
    shutil.copy(folder / "rtstruct.dcm", tmp_path / "dear")
    with pytest.raises(FileExistsError, match="dear holds rtstruct.dcm, which this command did no"):
        check_clinic_folder(tmp_path / "dear", [], "rtstruct")
    (folder / "labels.nii.gz").write_bytes(b"of somebody else")
    (folder / "export.json").write_text("[]")
    with pytest.raises(FileExistsError, match="images/0001.dcm was changed since"):
        check_clinic_folder(folder, [], "nifti")


def test_an_absent_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(output.FORMATS, "nifti", "gone")
    monkeypatch.setitem(output.need_extra.__globals__["EXTRAS"], "gone", ("gone_nibabel",))
    with pytest.raises(ValueError, match=r"--to nifti needs gone_nibabel, .*pip install 'gutseg\["):
        check_clinic_folder(tmp_path / "out", [], "nifti")
