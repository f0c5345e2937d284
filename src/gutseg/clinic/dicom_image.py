"""One DICOM file of an MR series, read with suspicion: every refusal is one sentence."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import get_decoder
from pydicom.uid import UID, EnhancedMRImageStorage

from gutseg.clinic.dicom_parts import SHARED, SHARED_IF_THERE
from gutseg.data.index import LARGEST_SLICE
from gutseg.registry import brief, shown

# bytes of a file; 2048 x 2048 pixels of 16 bits are an eighth of it
LARGEST_FILE = 2**26
PREAMBLE, MARK = 128, b"DICM"
GEOMETRY = {
    **{"Rows": 1, "Columns": 1, "PixelSpacing": 2},
    **{"ImageOrientationPatient": 6, "ImagePositionPatient": 3},
}
UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
# what is kept of a header; the rest may be of any size and is of no use here
KEPT = (
    *(*SHARED, *SHARED_IF_THERE, *GEOMETRY, *UIDS, "SOPClassUID", "ImageType", "Modality"),
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "NumberOfFrames"),
    *("RescaleSlope", "RescaleIntercept", "SliceThickness", "InstanceNumber", "SeriesNumber"),
    *("SeriesDescription", "PatientPosition"),
)
Answer = TypeVar("Answer")


def is_dicom(path: Path) -> bool:
    """Say whether a file has the mark of DICOM behind its preamble."""
    with path.open("rb") as stream:
        return stream.read(PREAMBLE + len(MARK))[PREAMBLE:] == MARK


def read_header(path: Path) -> Dataset:
    """Read the elements KEPT of a file; raises ValueError for one that is damaged or too large."""
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ValueError(f"{path} has {size} bytes; expected at most {LARGEST_FILE}")
    # before the rest is parsed: a deflated file of a megabyte may hold gigabytes
    syntax = _reading(path, lambda: UID(read_file_meta_info(path).TransferSyntaxUID))
    if not _is_readable(syntax):
        raise ValueError(
            f"{path} is compressed as {shown(syntax.name)}, which cannot be decoded here; "
            "decompress the series (dcmdjpeg, gdcmconv --raw) or install pylibjpeg or gdcm"
        )
    return _reading(path, lambda: _kept(path))


def _kept(path: Path) -> Dataset:
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(KEPT))
    for _ in header:  # elements are decoded when they are asked for: now, where errors are caught
        pass
    return header


def _is_readable(syntax: UID) -> bool:
    try:
        if syntax.is_deflated:
            return False
        return not syntax.is_compressed or get_decoder(syntax).is_available
    except (ValueError, NotImplementedError):  # no transfer syntax, or one without a decoder
        return False


def check_image(path: Path, header: Dataset) -> None:
    """Raise ValueError unless a header is that of one slice of grey values with a place."""
    if header.get("SOPClassUID") == EnhancedMRImageStorage or header.get("NumberOfFrames", 1) != 1:
        raise ValueError(
            f"{path} holds several slices (Enhanced MR); expected one file per slice, so convert "
            "it to NIfTI (dcm2niix) and give that"
        )
    kind = header.get("SamplesPerPixel"), header.get("PhotometricInterpretation")
    if kind != (1, "MONOCHROME2") or header.get("BitsAllocated") not in (8, 16):
        found = f"{shown(kind[1])} of {shown(header.get('BitsAllocated'))} bits"
        raise ValueError(f"{path} is {found}; expected MONOCHROME2, grey values of 8 or 16 bits")
    for keyword in UIDS:
        if not str(header.get(keyword) or ""):
            raise ValueError(f"{path} has no {keyword}; expected a file as the scanner wrote it")
    for keyword in GEOMETRY:
        numbers(path, header, keyword)
    sides = header.Rows, header.Columns
    if not all(isinstance(side, int) and 1 <= side <= LARGEST_SLICE for side in sides):
        problem = f"has {sides[0]} rows and {sides[1]} columns"
        raise ValueError(f"{path} {problem}; expected 1 to {LARGEST_SLICE} pixels a side")
    if min(numbers(path, header, "PixelSpacing")) <= 0:
        raise ValueError(f"{path} has PixelSpacing {header.PixelSpacing}; expected millimetres")
    across, down = numbers(path, header, "ImageOrientationPatient").reshape(2, 3)
    if not np.allclose([across @ across, down @ down, across @ down], [1, 1, 0], atol=1e-3):
        problem = f"has ImageOrientationPatient {header.ImageOrientationPatient}"
        raise ValueError(f"{path} {problem}; expected two directions at a right angle")


def numbers(path: Path, header: Dataset, keyword: str) -> np.ndarray:
    """Return the numbers of an element of GEOMETRY; raises ValueError where they are not there."""
    count = GEOMETRY[keyword]
    found = _reading(path, lambda: header.get(keyword))
    try:
        values = np.array(found, float).reshape(-1)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.size != count or not np.isfinite(values).all():
        plural = "" if count == 1 else "s"
        raise ValueError(
            f"{path} has {keyword} {shown(found)}; expected {count} number{plural}, which say "
            "where its pixels lie"
        )
    return values


def read_pixels(path: Path, header: Dataset) -> np.ndarray:
    """Return the grey values (H, W) float32 of a checked file, slope and intercept applied."""
    pixels = _reading(path, lambda: pydicom.dcmread(path).pixel_array)
    if pixels.shape != (header.Rows, header.Columns):
        problem = f"holds {pixels.shape} pixels"
        raise ValueError(f"{path} {problem}; its header says {header.Rows} x {header.Columns}")
    slope = _reading(path, lambda: float(header.get("RescaleSlope", 1)))
    intercept = _reading(path, lambda: float(header.get("RescaleIntercept", 0)))
    if not np.isfinite([slope, intercept]).all() or slope <= 0:
        raise ValueError(
            f"{path} has RescaleSlope {slope:g} and RescaleIntercept {intercept:g}; expected a "
            "slope above 0"
        )
    return pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _reading(path: Path, read: Callable[[], Answer]) -> Answer:
    """Return what pydicom reads; its errors and those of decoders are of many kinds."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return read()
    except OSError:
        raise
    except Exception as error:
        problem = f"is not a readable DICOM file ({brief(error)})"
        raise ValueError(f"{path} {problem}; copy it again") from None
