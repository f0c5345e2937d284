"""DICOM series and NIfTI files from elsewhere: sorted, turned, rescaled, or refused by name."""

import gzip
import logging
from itertools import permutations, product

import nibabel
import numpy as np
import pydicom
import pytest
from clinic_cases import SHAPE, grey, write_series
from pydicom.uid import JPEGLosslessSV1

from gutseg.clinic import dicom_image, nifti, series_in
from gutseg.clinic.geometry import Turn, of_scan
from gutseg.clinic.input import read_volume
from gutseg.clinic.resample import Fit, fit, parsed, resample
from gutseg.clinic.volume import as_grey
from gutseg.ending import explain

KAGGLE = (3.0, 1.5, 1.25)


def test_a_series_is_sorted_by_position(tmp_path):
    """Files are named in another order, and slices run to the head, against Kaggle's."""
    volume = read_volume(write_series(tmp_path / "mr", grey()))
    assert np.array_equal(volume.image, grey()) and volume.name == "mr"
    assert volume.geometry.spacing == pytest.approx((3, 1.5, 1.25))
    assert volume.geometry.to_patient(np.array([[2, 4, 8]])).tolist() == [[0, 26, 36]]
    seen = fit(volume, KAGGLE, "mr")
    assert np.array_equal(seen.forward(volume.image), grey()[::-1])
    assert str(seen) == "6x20x24 voxels of 3x1.5x1.25 mm, not resampled"


def test_slope_and_intercept_of_each_slice(tmp_path):
    def rescale(z, made):
        made.RescaleSlope, made.RescaleIntercept = z + 1, 100 * z

    volume = read_volume(write_series(tmp_path / "mr", grey() // 8, change=rescale))
    z = np.arange(SHAPE[0])[:, None, None]
    assert np.array_equal(volume.image, grey() // 8 * (z + 1) + 100 * z)


def test_other_files_of_a_folder_are_passed_over(tmp_path, caplog):
    folder = write_series(tmp_path / "mr", grey())
    (folder / "README").write_text("DICM")
    (folder / "sub").mkdir()
    report = pydicom.dcmread(next(folder.glob("IM*")))
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    report.save_as(folder / "contours.dcm")
    with caplog.at_level(logging.INFO):
        assert read_volume(folder).image.shape == SHAPE
    assert caplog.messages[0].endswith("passed over are 1 RT Structure Set Storage, 1 not DICOM")


def test_dates_that_are_none_do_not_spoil_an_export(tmp_path):
    def spoil(z, made):
        made.StudyDate, made.PatientSex = "2022", "X"
        del made.PatientBirthDate, made.SliceThickness

    (first, *_) = read_volume(write_series(tmp_path / "mr", grey(), change=spoil)).headers
    assert (first.StudyDate, first.PatientSex, first.PatientBirthDate) == ("", "", "")
    assert first.StudyTime == "101500" and first.SliceThickness == 3


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_all_48_ways_to_lay_the_axes(tmp_path, order):
    """A volume stored in any order and direction of its axes is seen in the same one."""
    image, path = grey(), tmp_path / "scan.nii"
    kaggle = of_scan(SHAPE, KAGGLE[1:])
    for flips in product((False, True), repeat=3):
        turned = image.transpose(order)
        steps, shape = kaggle.steps[list(order)], np.array(turned.shape)
        corner = kaggle.origin + (steps * (shape - 1)[:, None])[list(flips)].sum(axis=0)
        steps = np.where(np.array(flips)[:, None], -steps, steps)
        affine = np.eye(4)
        affine[:3] = np.column_stack([*steps, corner])
        affine[:2] *= -1
        turned = np.flip(turned, np.flatnonzero(flips))
        nibabel.save(nibabel.Nifti1Image(turned.astype(np.int16), affine), path)
        volume = read_volume(path)
        seen = fit(volume, KAGGLE, "scan.nii")
        assert np.array_equal(seen.forward(volume.image), image)
        assert np.array_equal(seen.back(image[None] > 999)[0], volume.image > 999)
        # masks go back into a file of the same grid
        nifti.write(tmp_path, volume, np.stack([volume.image > 999] * 3))
        written = nibabel.load(tmp_path / "stomach.nii.gz")
        assert np.array_equal(written.dataobj, turned > 999)
        assert np.allclose(written.affine, affine)


def test_grey_values():
    whole = np.array([[[0.0, 7.0, 65535.0]]], np.float32)
    assert as_grey(whole, "x").tolist() == [[[0, 7, 65535]]]
    # stretched from 0: halves, and what is brighter than 16 bits; moved: what is below 0
    assert as_grey(np.array([[[0.5, 1.0, 2.0]]]), "x").tolist() == [[[16384, 32768, 65535]]]
    assert as_grey(np.array([[[0, 131070, 2]]]), "x").tolist() == [[[0, 65535, 1]]]
    assert as_grey(np.array([[[-1, 0, 3]]]), "x").tolist() == [[[0, 16384, 65535]]]
    with pytest.raises(ValueError, match="x: grey values are not finite"):
        as_grey(np.array([[[np.nan, 1]]]), "x")


def test_resampling_by_hand():
    row = np.array([[[0, 2, 4, 6]]])
    assert resample(row, (1, 1, 2)).tolist() == [[[1, 5]]]  # means of two
    assert resample(row[..., :2], (1, 1, 4)).tolist() == [[[0, 0.5, 1.5, 2]]]  # centres stay
    # 1 1/3 voxels each: 0 and a third of 2, two thirds of 2 and of 4, a third of 4 and 6
    assert np.allclose(resample(row, (1, 1, 3)) * 4 / 3, [[[2 / 3, 4, 22 / 3]]])
    block = np.random.default_rng(0).random((5, 7, 9))
    assert np.allclose(resample(block, (3, 2, 4)).mean(), block.mean())


def test_when_a_volume_is_resampled(tmp_path):
    """Within 15 % not at all; up to three times finer or coarser to 3 x 1.5 x 1.5 mm."""

    def seen(depth, height, width):
        step, spacing = (0, 0, depth), (height, width)
        made = write_series(tmp_path / str(depth), grey(), step=step, spacing=spacing)
        return fit(read_volume(made), parsed("3x1.5x1.5"), "mr")

    assert seen(3.4, 1.63, 1.31).seen == SHAPE
    finer = seen(1.5, 0.75, 4.5)
    assert finer.seen == (3, 10, 72)
    assert str(finer) == "6x20x24 voxels of 1.5x0.75x4.5 mm, resampled to 3x10x72"
    masks = np.zeros((1, *SHAPE), bool)
    masks[0, 2:4, 4:10, 6:9] = True
    there = np.zeros((1, 3, 10, 72), bool)
    there[0, 1, 2:5, 18:27] = True
    assert np.array_equal(finer.back(there), masks[:, ::-1])
    with pytest.raises(
        ValueError, match=r"mr: its slices are 9.1 mm apart; .* 3 mm, to which 1 to"
    ):
        seen(9.1, 1.5, 1.5)


@pytest.mark.parametrize(
    "text", ["", "3x1.5", "3x1.5x0", "3x1.5x-1", "axbxc", "3,1.5,1.5", "1e9x1x1"]
)
def test_other_words_for_a_spacing_are_refused(text):
    with pytest.raises(ValueError, match=r"^--trained-mm .*; expected"):
        parsed(text)


def _change(**values):
    def change(z, made):
        for keyword, value in values.items():
            if z == 2 and value is None:
                del made[keyword]
            elif z == 2:
                setattr(made, keyword, value)

    return change


def _syntax(z, made):
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    made.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    made["PixelData"].is_undefined_length = True


def _several(z, made):
    made.SeriesInstanceUID = f"1.2.3.{z % 2}"


def _bad_pixels(z, made):
    made.PixelData = made.PixelData[:-2]


TILTED = (1, 0, 0, 0, np.cos(np.radians(30)), np.sin(np.radians(30)))
# what is changed of a good series -> what is said
SERIES = {
    "a gap": (
        _change(ImagePositionPatient=[-10, 20, 36.5]),
        "IM11 and IM62 in …/mr are 3.5 mm apart and most others 3 mm; expected even steps, so add",
    ),
    "one place twice": (
        _change(ImagePositionPatient=[-10, 20, 33]),
        "IM11 and IM62 in …/mr lie in the same place; expected one image per place, so keep one",
    ),
    "beside the others": (
        _change(ImagePositionPatient=[-9, 20, 36]),
        "IM62 in …/mr lies 1 mm beside the line through the first and the last slice; expected",
    ),
    "another size": (
        lambda z, made: _change(Rows=10)(z, made),
        "IM62 has Rows 10 and IM05 20; expected the same in all images of …/mr",
    ),
    "another direction": (
        _change(ImageOrientationPatient=[0, 1, 0, 1, 0, 0]),
        "IM62 has ImageOrientationPatient [0.0, 1.0, 0.0, 1.0, 0.0, 0.0] and IM05 [1.0, 0",
    ),
    "another spacing": (
        _change(PixelSpacing=[1.5, 1.5]),
        "IM62 has PixelSpacing [1.5, 1.5] and IM05 [1.5, 1.25]; expected the same",
    ),
    "another frame": (
        _change(FrameOfReferenceUID="1.2"),
        "…/mr: its images have 2 FrameOfReferenceUIDs (1.2, 1.2.3.3); expected one",
    ),
    "two series": (_several, "…/mr holds 2 series (1.2.3.0, 1.2.3.1); expected one, so move each"),
    "no position": (
        _change(ImagePositionPatient=None),
        "…/mr/IM62 has ImagePositionPatient None; expected 3 numbers, which say where its pixels",
    ),
    "half a position": (
        _change(ImagePositionPatient=[1, 2]),
        "…/mr/IM62 has ImagePositionPatient [1.0, 2.0]; expected 3 numbers",
    ),
    "no frame": (_change(FrameOfReferenceUID=None), "…/mr/IM62 has no FrameOfReferenceUID; expe"),
    "directions askew": (
        _change(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
        "…/mr/IM62 has ImageOrientationPatient [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]; expected two",
    ),
    "no spacing": (
        _change(PixelSpacing=[0, 1]),
        "…/mr/IM62 has PixelSpacing [0.0, 1.0]; expected mill",
    ),
    "too many rows": (_change(Rows=4096), "…/mr/IM62 has 4096 rows and 24 columns; expected 1 to"),
    "colours": (
        _change(PhotometricInterpretation="RGB"),
        "…/mr/IM62 is 'RGB' of 16 bits; expected MONOCHROME2, grey values of 8 or 16 bits",
    ),
    "several frames": (_change(NumberOfFrames=3), "…/mr/IM62 holds several slices (Enhanced MR); "),
    "no slope": (_change(RescaleSlope=0), "…/mr/IM62 has RescaleSlope 0 and RescaleIntercept 0; "),
    "cut pixels": (_bad_pixels, "…/mr/IM30 is not a readable DICOM file (…); copy it again"),
    "a compression without a decoder": (
        _syntax,
        "…/mr/IM05 is compressed as 'JPEG Lossless, …, which cannot be decoded here; decompress",
    ),
    "of another kind": (
        lambda z, made: setattr(made, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"),
        "…/mr holds no MR image (6 CT Image Storage); give the folder with the files of one series",
    ),
}


def _says(message, call):
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        call()
    sentence = explain(refused.value)
    start, *rest = message.split("…")
    at = 0 if start else sentence.find(rest[0])
    for part in [start, *rest]:
        assert (at := sentence.find(part, at)) >= 0, sentence
    assert "\n" not in sentence and len(sentence) < 400


@pytest.mark.parametrize("case", SERIES)
def test_series_that_are_refused(tmp_path, case, monkeypatch):
    change, message = SERIES[case]
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", 0)
    folder = write_series(tmp_path / "mr", grey(), change=change)
    _says(message, lambda: read_volume(folder))


def test_folders_that_are_refused(tmp_path, monkeypatch):
    folder = write_series(tmp_path / "mr", grey(shape=(1, 8, 8)))
    (only,) = folder.iterdir()
    _says("…/mr/IM30 is the only MR image of …; expected 2 slices", lambda: read_volume(folder))
    good = only.read_bytes()
    only.write_bytes(good.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"[:20]))
    _says("…/mr/IM30 is compressed as '1.2.840.10008.1.2.1.', which", lambda: read_volume(folder))
    only.write_bytes(good[:200])
    _says("…/mr/IM30 is not a readable DICOM file (…); copy it", lambda: read_volume(folder))
    only.unlink()
    _says("…/mr holds no MR image (nothing); give the folder", lambda: read_volume(folder))
    tilted = write_series(tmp_path / "tilted", grey(), across=TILTED, step=(0, -1.5, 1.5 * 3**0.5))
    message = "tilted: its axes are tilted by 30 degrees against the patient's; at most 20 are"
    _says(message, lambda: fit(read_volume(tilted), KAGGLE, "tilted"))
    sheared = write_series(tmp_path / "sheared", grey(), step=(1, 0, 3))
    message = (
        "sheared: slices, rows and columns are not at right angles (cosine 0.316); resample it"
    )
    _says(message, lambda: fit(read_volume(sheared), KAGGLE, "sheared"))
    monkeypatch.setattr(series_in, "MOST_FILES", 5)
    _says("…/tilted holds 6 files; expected at most 5", lambda: read_volume(tilted))
    monkeypatch.setattr(dicom_image, "LARGEST_FILE", 999)
    monkeypatch.setattr(series_in, "MOST_FILES", 6)
    _says("…/tilted/IM05 has … bytes; expected at most 999", lambda: read_volume(tilted))
    monkeypatch.setattr(dicom_image, "LARGEST_FILE", 9999)
    monkeypatch.setattr(series_in, "LARGEST_SCAN", 2879)
    _says("…/tilted holds 2,880 voxels; expected at most 2,879", lambda: read_volume(tilted))
    _says("…/gone does not exist; give a folder", lambda: read_volume(tmp_path / "gone"))
    (tmp_path / "scan.png").touch()
    _says("…/scan.png is neither a folder nor", lambda: read_volume(tmp_path / "scan.png"))


def _image(shape=(4, 5, 6), dtype=np.int16, affine=(1.5, 1.5, 3, 1)):
    affine = None if affine is None else np.diag(affine)
    return nibabel.Nifti1Image(np.zeros(shape, dtype), affine).to_bytes()


# name -> the bytes of a .nii file, and what is said
NIFTIS = {
    "text": (b"not an image", "is not a readable NIfTI file"),
    "empty": (b"", "is not a readable NIfTI file"),
    "cut": (_image()[:-9], "is not a readable NIfTI file"),
    "unit": (_image()[:123] + b"\5" + _image()[124:], "is not a readable NIfTI file"),
    "in time": (_image((4, 5, 6, 2)), "holds 4 x 5 x 6 x 2 values; expected one volume"),
    "no volume": (_image((4, 5)), "holds 4 x 5 values; expected one volume of 1 to"),
    "complex": (_image(dtype=np.complex64), "holds complex64; expected grey values"),
    "no place": (
        _image(affine=None),
        "has neither sform nor qform, so that left and right are unknown",
    ),
    "flat": (_image()[:280] + bytes(16) + _image()[296:], "its affine spans no volume; conv"),
}


@pytest.mark.parametrize("case", NIFTIS)
def test_nifti_files_that_are_refused(tmp_path, case):
    data, message = NIFTIS[case]
    (tmp_path / "x.nii").write_bytes(data)
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(data))
    for name in ("x.nii", "x.nii.gz"):
        _says(f"…/{name}…{message}", lambda name=name: read_volume(tmp_path / name))


def test_a_packed_file_does_not_fill_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(bytes(10**6)))
    monkeypatch.setattr(nifti, "LARGEST", 10**5)
    _says("…/x.nii.gz unpacks to more than 100000 bytes; expected", lambda: read_volume(path))
    path.write_bytes(path.read_bytes()[:-9])
    monkeypatch.setattr(nifti, "LARGEST", 10**7)
    _says("…/x.nii.gz is not a readable NIfTI file (…); copy it", lambda: read_volume(path))


def test_units_and_versions_of_nifti(tmp_path):
    affine = np.diag([1.5e-3, 1.5e-3, 3e-3, 1])
    made = nibabel.Nifti2Image(grey().astype(np.int16), affine)
    made.header.set_xyzt_units("meter")
    nibabel.save(made, tmp_path / "x.nii")
    volume = read_volume(tmp_path / "x.nii")
    assert volume.geometry.spacing == pytest.approx((3, 1.5, 1.5)) and volume.name == "x"
    assert np.array_equal(volume.image, grey().T)


@pytest.mark.parametrize("slices", [6.0, 9.0, 4.5])
def test_a_ball_that_is_brought_back_keeps_its_volume(slices):
    """Where two voxels become one, halves are exact: they must not all be inside."""
    spacing = np.array([3, 1.5, 1.5])
    places = np.stack(np.mgrid[:36, :40, :40], axis=-1) * spacing
    shape = (round(36 * 3 / slices), 40, 40)
    made = Fit(Turn((0, 1, 2), (False,) * 3), shape, (slices, 1.5, 1.5), (36, 40, 40))
    ratios = []
    for shift in np.linspace(0, slices, 7):
        middle = (54 + shift, 30, 30)
        ball = np.linalg.norm(places - middle, axis=-1) < 20
        found = made.back(ball[None])[0]
        ratios.append(found.sum() * slices / (ball.sum() * 3))
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)
