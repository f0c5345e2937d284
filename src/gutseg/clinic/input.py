"""Scans from a clinic: a folder of DICOM images or a NIfTI file."""

from pathlib import Path

from gutseg.clinic.extras import need_extra
from gutseg.clinic.volume import Volume
from gutseg.files import need_file

REMEDY = "give a folder with the DICOM images of one MR series, or a .nii or .nii.gz file"


def read_volume(path: Path) -> Volume:
    """Read an MR scan; ValueError or FileNotFoundError says what is wrong with which file."""
    if path.is_dir():
        need_extra("dicom", str(path))
        from gutseg.clinic.series_in import read_series

        return read_series(path)
    need_file(path, REMEDY)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{path} is neither a folder nor called .nii or .nii.gz; {REMEDY}")
    need_extra("nifti", str(path))
    from gutseg.clinic.nifti import read_nifti

    return read_nifti(path)
