"""Volumes and masks as NIfTI: one file per organ, so that overlaps are kept."""

import gzip
import logging
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.imageglobals import logger

from gutseg.clinic.geometry import Geometry
from gutseg.clinic.organs import DESCRIPTION, ORGANS
from gutseg.clinic.volume import Volume, as_grey
from gutseg.data.index import LARGEST_SCAN, LARGEST_SLICE
from gutseg.data.volume import read_file
from gutseg.registry import brief

SUFFIXES = (".nii", ".nii.gz")
# bytes of a volume of float32 at its largest, and of a header with extensions
LARGEST = 4 * LARGEST_SCAN + 2**20
# DICOM's x and y run the other way
FLIP = np.array([-1.0, -1.0, 1.0])
MM_OF_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
IMAGE, LABELS = "image.nii.gz", "labels.nii.gz"


def read_nifti(path: Path) -> Volume:
    """Read a volume of grey values; ValueError says what is damaged, missing or of another kind."""
    found, shape = _open_volume(path)
    header = found.header
    if header.get_data_dtype().kind not in "iuf":
        raise ValueError(f"{path} holds {header.get_data_dtype()}; expected grey values")
    if not (header["sform_code"] or header["qform_code"]):
        raise ValueError(
            f"{path} has neither sform nor qform, so that left and right are unknown; convert the "
            "images again with a program that keeps them (dcm2niix)"
        )
    try:
        values = np.asarray(found.dataobj, np.float32).reshape(shape)
    except Exception as error:  # nibabel's and numpy's, by what is missing
        raise _damaged(path, error) from None
    name = path.name.removesuffix(".gz").removesuffix(".nii")
    return Volume(name, as_grey(values.T, str(path)), _geometry(path, found, shape))


def read_labels(path: Path) -> tuple[np.ndarray, Geometry]:
    """Read a label map (Z, H, W) uint8, and where it lies; ValueError for anything else."""
    found, shape = _open_volume(path)
    try:
        values = np.asarray(found.dataobj).reshape(shape)
    except Exception as error:  # nibabel's and numpy's, by what is missing
        raise _damaged(path, error) from None
    labels = np.zeros(shape, np.uint8)
    if values.dtype.kind in "iuf":
        with np.errstate(invalid="ignore"):
            labels = values.astype(np.uint8)
    if not (values.dtype.kind in "iuf" and (labels == values).all()):
        raise ValueError(f"{path} is not a label map; expected whole numbers from 0 to 255")
    return labels.T, _geometry(path, found, shape)


def _open_volume(path: Path) -> tuple[Any, tuple[int, ...]]:
    """Open a file and check its shape (W, H, Z)."""
    found = _open(path)
    shape = found.shape
    shape = shape[:3] if len(shape) == 4 and shape[3] == 1 else shape
    if len(shape) != 3 or not all(1 <= side <= LARGEST_SLICE for side in shape):
        raise ValueError(
            f"{path} holds {' x '.join(map(str, shape))} values; expected one volume of 1 to "
            f"{LARGEST_SLICE} voxels a side"
        )
    if int(np.prod(shape)) > LARGEST_SCAN:
        raise ValueError(f"{path} has {np.prod(shape)} voxels; expected at most {LARGEST_SCAN:,}")
    return found, shape


def _open(path: Path) -> Any:
    """Read the header of a file and hold its bytes."""
    data = _unpacked(path)
    logger.setLevel(logging.CRITICAL)  # what it says of a bad header comes with its error
    # how long the header is, in either order of bytes
    is_second = 540 in (int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big"))
    try:
        return (nibabel.Nifti2Image if is_second else nibabel.Nifti1Image).from_bytes(data)
    except Exception as error:  # nibabel's own, struct's, numpy's
        raise _damaged(path, error) from None


def _unpacked(path: Path) -> bytes:
    """Return the bytes of a file, unpacked; a small file may not become a huge one."""
    try:
        data = read_file(path)
    except ValueError as error:
        raise ValueError(f"{path} {error}; expected a NIfTI file") from None
    if path.suffix == ".gz":
        try:
            data = gzip.GzipFile(fileobj=BytesIO(data)).read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(path, error) from None
    if len(data) > LARGEST:
        raise ValueError(f"{path} unpacks to more than {LARGEST} bytes; expected fewer")
    return data


def _damaged(path: Path, error: Exception) -> ValueError:
    problem = f"is not a readable NIfTI file ({brief(error)})"
    return ValueError(f"{path} {problem}; copy it again or convert the images again")


def _geometry(path: Path, found: Any, shape: Sequence[int]) -> Geometry:
    """Return where voxels lie; array axes run column, row, slice, so that they are turned round."""
    try:
        unit = MM_OF_UNIT.get(found.header.get_xyzt_units()[0], 1.0)
    except KeyError as error:
        raise _damaged(path, error) from None
    lps = FLIP[:, None] * found.affine[:3] * unit  # (3, 4)
    steps = lps[:, [2, 1, 0]].T
    if not np.isfinite(lps).all() or abs(np.linalg.det(steps)) < 1e-9:
        raise ValueError(f"{path}: its affine spans no volume; convert the images again")
    width, height, depth = (int(side) for side in shape)
    return Geometry((depth, height, width), lps[:, 3], steps)


def write(folder: Path, volume: Volume, masks: np.ndarray) -> None:
    """Write the grey values and masks (C, Z, H, W) bool as 0 and 1, one file per class.

    So overlaps are kept. Where there are none, LABELS holds all: 1, 2, ... in the order of CLASSES.
    """
    _save(folder / IMAGE, volume.image, volume.geometry)
    arrays = {
        f"{name}.nii.gz": mask.astype(np.uint8) for name, mask in zip(ORGANS, masks, strict=True)
    }
    if masks.sum(axis=0).max(initial=0) <= 1:
        numbers = np.arange(1, len(masks) + 1, dtype=np.uint8)
        arrays[LABELS] = np.tensordot(numbers, masks, 1).astype(np.uint8)
    for name, array in arrays.items():
        _save(folder / name, array, volume.geometry)


def _save(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    affine = np.eye(4)
    affine[:3, :3] = FLIP[:, None] * geometry.steps[[2, 1, 0]].T
    affine[:3, 3] = FLIP * geometry.origin
    made = nibabel.Nifti1Image(array.T, affine)
    # 1: coordinates of the scanner
    made.set_qform(affine, code=1)
    made.set_sform(affine, code=1)
    made.header.set_xyzt_units("mm")
    made.header["descrip"] = DESCRIPTION
    nibabel.save(made, path)


def read(folder: Path) -> np.ndarray:
    """Return the masks (C, Z, H, W) bool of a folder that `write` filled."""
    files = (nibabel.Nifti1Image.from_filename(folder / f"{name}.nii.gz") for name in ORGANS)
    return np.stack([np.asarray(one.dataobj).T > 0 for one in files])
