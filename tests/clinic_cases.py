"""MR series as a scanner would write them, and masks with overlaps, for the tests of clinic/."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SHAPE = (6, 20, 24)


def grey(seed=0, shape=SHAPE):
    """Grey values (Z, H, W) uint16, all different from slice to slice."""
    return np.random.default_rng(seed).integers(0, 2000, shape).astype(np.uint16)


def organs(shape=SHAPE):
    """Masks (3, Z, H, W): a ring, a block that overlaps it, and two specks; some slices empty."""
    masks = np.zeros((3, *shape), bool)
    masks[0, 1:5, 3:14, 4:15] = True
    masks[0, 1:5, 6:10, 7:12] = False
    masks[1, 2:4, 8:17, 2:11] = True
    masks[2, 3, 0, 0] = masks[2, 4, -1, -1] = True
    return masks


def header(z, position, across=AXIAL, spacing=(1.5, 1.25)):
    """The data set of one slice without pixels, as small as the standard allows."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, f"1.2.3.4.{z + 1}"
    made.SpecificCharacterSet = "ISO_IR 100"
    made.PatientName, made.PatientID = "Müller^Jürgen", "4711"
    made.PatientBirthDate, made.PatientSex = "19500102", "M"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = "1.2.3.3", ""
    made.StudyDate, made.StudyTime, made.StudyID = "20220714", "101500", "7"
    made.AccessionNumber, made.ReferringPhysicianName = "", ""
    made.Modality, made.SeriesNumber, made.InstanceNumber = "MR", 3, z + 1
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.ImageOrientationPatient = list(across)
    made.ImagePositionPatient = [round(float(one), 6) for one in position]
    made.PixelSpacing, made.SliceThickness = list(spacing), 3
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    return made


def write_series(
    folder: Path,
    image,
    *,
    origin=(-10.0, 20.0, 30.0),
    step=(0.0, 0.0, 3.0),
    change=None,
    **of_header,
):
    """Write a volume slice by slice under names that are not in order; return the folder.

    change: called with each slice's number and data set before it is written.
    """
    folder.mkdir(parents=True)
    for z, plane in enumerate(image):
        made = header(z, np.add(origin, z * np.array(step)), **of_header)
        made.Rows, made.Columns = plane.shape
        made.PixelData = plane.astype("<u2").tobytes()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if change:
            change(z, made)
        made.save_as(folder / f"IM{(z * 5 + 3) % 7}{z}", enforce_file_format=True)
    return folder
