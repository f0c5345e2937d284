"""A folder of masks in one format: written, read back, compared, and only then kept."""

import hashlib
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from gutseg import __version__
from gutseg.clinic.extras import need_extra
from gutseg.clinic.organs import NOTICE, ORGANS
from gutseg.clinic.volume import Volume
from gutseg.files import check_output_folder, read_json, replacing_folder, write_json

NOTE = "export.json"
SERIES = "images"
# --to -> the extra that it needs
FORMATS = {"rtstruct": "dicom", "seg": "dicom", "nifti": "nifti"}
WRITTEN = (f"{SERIES}/*.dcm", "rtstruct.dcm", "seg.dcm", "*.nii.gz", NOTE)
MM3_OF_ML = 1000


def check_clinic_folder(out: Path, inputs: Iterable[Path], to: str) -> None:
    """Raise unless masks can be written to a folder as `to`; call it before the work.

    A folder that an earlier export wrote is replaced, but not when somebody changed a file in it
    since: a corrected contour is worth more than a new prediction.
    """
    need_extra(FORMATS[to], f"--to {to}")
    target = check_output_folder(out, WRITTEN, marker=NOTE, inputs=inputs)
    if not (target / NOTE).is_file():
        return
    note = read_json(target / NOTE)
    known = note.get("files") if isinstance(note, dict) else None
    found = _hashes(target)
    if changed := sorted(
        name for name in found if not isinstance(known, dict) or known.get(name) != found[name]
    ):
        raise FileExistsError(
            f"{out / changed[0]} was changed since it was written and would be replaced; give "
            "another folder or move it away first"
        )


def write_masks(
    out: Path, volume: Volume, masks: np.ndarray, to: str, *, by_hand: bool, about: dict[str, Any]
) -> list[Path]:
    """Write the masks (C, Z, H, W) bool of a volume into a folder of their own; return its files.

    to: a row of FORMATS. by_hand: whether people drew the masks. about: goes into NOTE. A DICOM
    object that has no series to refer to gets one. Raises ValueError, and keeps nothing, unless
    what was written reads back as the same masks.
    """
    with replacing_folder(out, WRITTEN, marker=NOTE) as folder:
        folder.mkdir()
        if not np.array_equal(_write(folder, volume, masks, to, by_hand), masks):
            raise ValueError(f"{out} was not kept: as {to}, the masks read back as others")
        files = _hashes(folder)
        spacing = [round(side, 4) for side in volume.geometry.spacing]
        voxels = masks.sum(axis=(1, 2, 3))
        ml = voxels * np.prod(volume.geometry.spacing) / MM3_OF_ML
        facts = {
            "made_with": f"gutseg {__version__}",
            "notice": NOTICE,
            "scan": volume.name,
            "format": to,
            **about,
            "shape": list(masks.shape[1:]),
            "spacing_mm": spacing,
            "ml": {name: round(float(one), 2) for name, one in zip(ORGANS, ml, strict=True)},
            "files": files,
        }
        write_json(folder / NOTE, facts)
    return [out / name for name in sorted(files) if not name.startswith(f"{SERIES}/")]


def _hashes(folder: Path) -> dict[str, str]:
    """Hash the files below a folder, but for NOTE."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path != folder / NOTE
    }


def _write(folder: Path, volume: Volume, masks: np.ndarray, to: str, by_hand: bool) -> np.ndarray:
    """Write masks as `to` says; return what the files hold, read again."""
    if to == "nifti":
        from gutseg.clinic import nifti

        nifti.write(folder, volume, masks)
        return nifti.read(folder)
    from gutseg.clinic import series_out

    if not volume.headers:
        volume = series_out.with_series(volume, folder / SERIES)
    written, path = import_module(f"gutseg.clinic.{to}"), folder / f"{to}.dcm"
    # UIDs are hashes of the images that an object belongs to, and of what it shows
    digest = hashlib.sha256(np.packbits(masks).tobytes()).hexdigest()
    identity = " ".join([digest, *(str(header.SOPInstanceUID) for header in volume.headers)])
    written.write(path, volume, masks, by_hand=by_hand, identity=identity)
    return written.read(path, volume)
