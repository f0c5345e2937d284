"""A folder of DICOM MR images as a volume: sorted by position, nothing guessed."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage

from gutseg.clinic.dicom_image import check_image, is_dicom, numbers, read_header, read_pixels
from gutseg.clinic.dicom_parts import SHARED, decimals
from gutseg.clinic.geometry import Geometry
from gutseg.clinic.volume import Volume, as_grey
from gutseg.data.index import LARGEST_SCAN
from gutseg.registry import counted, listed

log = logging.getLogger(__name__)

# of one folder; a long study of one patient has thousands
MOST_FILES = 5000
# share of the step between slices that an image may be away from its place
UNEVEN = 0.02
# millimetres and direction cosines that scanners round differently from slice to slice
ROUNDED = 1e-3
# how dates, times and the sex of a patient are written, if at all
DAY = r"(\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01]))?"
VALID = {
    **dict.fromkeys(("StudyDate", "PatientBirthDate"), DAY),
    "StudyTime": r"(([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?)?",
    "PatientSex": "[MFO]?",
}
ALIKE = ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient")


def read_series(folder: Path) -> Volume:
    """Read the MR images of a folder, which must be one series, sorted by position.

    Raises ValueError or FileNotFoundError, naming the file, for whatever is missing, damaged,
    compressed so that it cannot be decoded, uneven or mixed.
    """
    images = _images(folder)
    for path, header in images.items():
        check_image(path, header)
    _check_one_series(folder, images)
    (first_path, first), *_ = images.items()
    for path, header in images.items():
        for keyword in ALIKE:
            one, other = numbers(first_path, first, keyword), numbers(path, header, keyword)
            if np.abs(one - other).max() > ROUNDED:
                raise ValueError(
                    f"{path.name} has {keyword} {header[keyword].value} and {first_path.name} "
                    f"{first[keyword].value}; expected the same in all images of {folder}"
                )
    voxels = len(images) * first.Rows * first.Columns
    if voxels > LARGEST_SCAN:
        raise ValueError(f"{folder} holds {voxels:,} voxels; expected at most {LARGEST_SCAN:,}")
    ordered, geometry = _in_order(folder, images)
    planes = np.empty(geometry.shape, np.float32)
    for z, path in enumerate(ordered):
        planes[z] = read_pixels(path, images[path])
    headers = [_complete(images[path], geometry) for path in ordered]
    return Volume(folder.resolve().name, as_grey(planes, str(folder)), geometry, headers)


def _images(folder: Path) -> dict[Path, Dataset]:
    """Return the MR images of a folder; other files are passed over, and named if there is none."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if len(files) > MOST_FILES:
        raise ValueError(f"{folder} holds {len(files)} files; expected at most {MOST_FILES}")
    images, others = {}, Counter[str]()
    for path in files:
        if not is_dicom(path):
            others["not DICOM"] += 1
            continue
        header = read_header(path)
        kind = header.get("SOPClassUID", "")
        if kind in (MRImageStorage, EnhancedMRImageStorage):
            images[path] = header
        else:
            others[getattr(kind, "name", "of no class")] += 1
    passed_over = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    if not images:
        found = passed_over or "nothing"
        raise FileNotFoundError(
            f"{folder} holds no MR image ({found}); give the folder with the files of one series"
        )
    if passed_over:
        log.info("%s: passed over are %s", folder, passed_over)
    return images


def _check_one_series(folder: Path, images: Mapping[Path, Dataset]) -> None:
    series = {str(header.SeriesInstanceUID) for header in images.values()}
    if len(series) > 1:
        raise ValueError(
            f"{folder} holds {len(series)} series ({listed(sorted(series), len(series))}); "
            "expected one, so move each into a folder of its own"
        )
    if len(images) < 2:
        (only,) = images
        raise ValueError(f"{only} is the only MR image of {folder}; expected 2 slices or more")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        found = {str(header[keyword].value) for header in images.values()}
        if len(found) > 1:
            raise ValueError(
                f"{folder}: its images have {counted(found, keyword)}; expected one: images of "
                "different ones do not make a volume"
            )


def _in_order(folder: Path, images: Mapping[Path, Dataset]) -> tuple[list[Path], Geometry]:
    """Sort images by position along the axis through them; refuse doubles, gaps and shifts."""
    (first_path, first), *_ = images.items()
    across, down = numbers(first_path, first, "ImageOrientationPatient").reshape(2, 3)
    height, width = numbers(first_path, first, "PixelSpacing")
    normal = np.cross(across, down)
    places = {path: numbers(path, one, "ImagePositionPatient") for path, one in images.items()}
    ordered = sorted(places, key=lambda path: float(places[path] @ normal))
    position = np.stack([places[path] for path in ordered])  # (Z, 3)
    gaps = np.diff(position @ normal)
    usual = float(np.median(gaps))
    for before, after, gap in zip(ordered, ordered[1:], gaps, strict=False):
        pair = f"{before.name} and {after.name} in {folder}"
        if gap < ROUNDED:
            raise ValueError(
                f"{pair} lie in the same place; expected one image per place, so keep one echo, "
                "phase or copy of it"
            )
        if abs(gap - usual) > max(UNEVEN * usual, ROUNDED):
            raise ValueError(
                f"{pair} are {gap:.4g} mm apart and most others {usual:.4g} mm; expected even "
                "steps, so add the slice that is missing or leave out the odd one"
            )
    step = (position[-1] - position[0]) / (len(ordered) - 1)
    away = np.linalg.norm(position - position[0] - np.arange(len(ordered))[:, None] * step, axis=1)
    if away.max() > max(2 * UNEVEN * usual, 2 * ROUNDED):
        odd = ordered[int(away.argmax())].name
        raise ValueError(
            f"{odd} in {folder} lies {away.max():.3g} mm beside the line through the first and the "
            "last slice; expected one straight stack"
        )
    shape = (len(ordered), int(first.Rows), int(first.Columns))
    return ordered, Geometry(shape, position[0], np.stack([step, down * height, across * width]))


def _complete(header: Dataset, geometry: Geometry) -> Dataset:
    """Leave empty what objects that refer to an image repeat of it, where it says nothing valid."""
    for keyword in SHARED:
        value = str(header.get(keyword) or "")
        if not re.fullmatch(VALID.get(keyword, ".*"), value, re.DOTALL):
            value = ""
        if not value:
            setattr(header, keyword, "")
    if not header.get("SliceThickness"):
        header.SliceThickness = decimals([geometry.spacing[0]])[0]
    return header
