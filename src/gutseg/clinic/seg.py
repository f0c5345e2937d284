"""Masks as a DICOM Segmentation: one binary segment per class, which may overlap."""

import logging
import warnings
from pathlib import Path

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription, segread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from gutseg import __version__
from gutseg.clinic.dicom_parts import uid
from gutseg.clinic.organs import DESCRIPTION, ORGANS, Organ
from gutseg.clinic.volume import Volume
from gutseg.registry import brief

# The standard wants a date of a segmentation; where the images have none, this one shows it.
NO_DATE, NO_TIME = "19700101", "000000"


def write(path: Path, volume: Volume, masks: np.ndarray, *, by_hand: bool, identity: str) -> None:
    """Write masks (C, Z, H, W) bool of a volume with headers, one segment per class.

    Arguments as of `rtstruct.write`. Planes without any organ are left out, as the standard allows.
    """
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # it reports each module it copies
    try:
        with warnings.catch_warnings(action="ignore"):  # about empty names of patients
            made = _segmentation(volume, masks, by_hand, identity)
    except Exception as error:  # of highdicom's checks of what the images say
        raise ValueError(
            f"--to seg: no segmentation can refer to these images ({brief(error)}); give --to "
            "rtstruct or nifti"
        ) from None
    del made.InstanceCreationDate, made.InstanceCreationTime
    # what else differs from call to call: a random UID, and again the time
    for one in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        one.DimensionOrganizationUID = uid("dimensions", identity)
    for one in made.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in one:
            del one.ContributionDateTime
    made.save_as(path)


def _segmentation(volume: Volume, masks: np.ndarray, by_hand: bool, identity: str) -> Segmentation:
    first = volume.headers[0]
    return Segmentation(
        volume.headers,
        np.moveaxis(masks, 0, -1).astype(np.uint8),  # (Z, H, W, C)
        "BINARY",
        [_segment(number, organ, by_hand) for number, organ in enumerate(ORGANS.values(), 1)],
        series_instance_uid=uid("seg series", identity),
        series_number=9002,
        sop_instance_uid=uid("seg", identity),
        instance_number=1,
        manufacturer="gutseg",
        manufacturer_model_name="gutseg",
        software_versions=__version__,
        device_serial_number="none",
        content_label="GUTSEG",
        content_description=DESCRIPTION,
        series_description=DESCRIPTION,
        content_date=first.get("StudyDate") or NO_DATE,
        content_time=first.get("StudyTime") or NO_TIME,
    )


def _segment(number: int, organ: Organ, by_hand: bool) -> SegmentDescription:
    network = AlgorithmIdentificationSequence(
        "gutseg", codes.cid7162.ArtificialIntelligence, __version__
    )
    return SegmentDescription(
        number,
        organ.label,
        codes.SCT.AnatomicalStructure,
        Code(organ.code, "SCT", organ.meaning),
        SegmentAlgorithmTypeValues.MANUAL if by_hand else SegmentAlgorithmTypeValues.AUTOMATIC,
        None if by_hand else network,
        display_color=CIELabColor.from_rgb(*organ.colour),
    )


def read(path: Path, volume: Volume) -> np.ndarray:
    """Return the masks (C, Z, H, W) bool of a file that `write` made, segment by segment."""
    planes = [header.SOPInstanceUID for header in volume.headers]
    found = segread(path).get_pixels_by_source_instance(
        planes, assert_missing_frames_are_empty=True
    )
    return np.moveaxis(found, -1, 0).astype(bool)  # (C, Z, H, W)
