"""gutseg segment BLEND SCAN --out FOLDER --to rtstruct|seg|nifti: organs of a scan of a clinic."""

from pathlib import Path
from typing import Annotated

import typer

from gutseg.clinic import output
from gutseg.clinic.input import read_volume
from gutseg.clinic.organs import NOTICE
from gutseg.clinic.resample import fit, parsed
from gutseg.notebook import Segmenter
from gutseg.registry import require


def segment(
    blend: Annotated[Path, typer.Argument(help="a blend.yaml or a run folder")],
    scan: Annotated[Path, typer.Argument(help="a folder of DICOM MR images, or a NIfTI file")],
    out: Annotated[Path, typer.Option(help="folder to write, for this output alone")],
    to: Annotated[str, typer.Option(help="rtstruct, seg or nifti")] = "rtstruct",
    trained_mm: Annotated[
        str, typer.Option(help="slices x rows x columns in mm that the networks saw")
    ] = "3x1.5x1.5",
    device: Annotated[str, typer.Option(help="cpu or cuda:1; default: the GPU, if any")] = "",
) -> None:
    """Predict the organs of one MR scan and write them with its geometry. Not for clinical use.

    The scan may lie in any direction along the patient's axes. Where its spacing is more than 15 %
    away from --trained-mm it is resampled, and the masks are brought back; beyond three times
    finer or coarser it is refused.
    """
    require(to, output.FORMATS, "--to")
    millimetres = parsed(trained_mm)
    output.check_clinic_folder(out, [blend, scan], to)
    volume = read_volume(scan)
    seen = fit(volume, millimetres, str(scan))  # before networks are loaded
    networks = Segmenter(blend, device or None)
    masks = seen.back(networks(seen.forward(volume.image), seen.voxel_mm))
    about = {"masks": f"prediction of {blend}", "seen": str(seen)}
    files = output.write_masks(out, volume, masks, to, by_hand=False, about=about)
    print(f"{', '.join(map(str, files))}: {seen}; {NOTICE}")
