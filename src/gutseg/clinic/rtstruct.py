"""Masks as an RT Structure Set: contours that decode to the same masks, bit for bit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from gutseg.clinic.contours import fill, outlines
from gutseg.clinic.dicom_parts import code, dataset, decimals, equipment, save, shared, uid
from gutseg.clinic.organs import DESCRIPTION, NOTICE, ORGANS
from gutseg.clinic.volume import Volume

# the class of an object that no longer exists, which the standard still wants of a study
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"


def write(path: Path, volume: Volume, masks: np.ndarray, *, by_hand: bool, identity: str) -> None:
    """Write masks (C, Z, H, W) bool of a volume with headers, one ROI per class in their order.

    by_hand: whether people drew them. identity: what a repeated export has in common. Every
    contour is CLOSED_PLANAR and runs along the edges of pixels; see `contours`.
    """
    organs = list(enumerate(ORGANS.values(), 1))
    header = volume.headers[0]
    made = {
        **shared(header),
        "SOPClassUID": RTStructureSetStorage,
        "SOPInstanceUID": uid("rtstruct", identity),
        "SeriesInstanceUID": uid("rtstruct series", identity),
        "FrameOfReferenceUID": header.FrameOfReferenceUID,
        **equipment(),
        **{"Modality": "RTSTRUCT", "SeriesNumber": 9001, "SeriesDescription": DESCRIPTION},
        **{"InstanceNumber": 1, "OperatorsName": "", "ApprovalStatus": "UNAPPROVED"},
        "StructureSetLabel": "gutseg",
        "StructureSetDescription": f"made by a program, {NOTICE}",
        # of the images, so that a repeated export is the same file
        "StructureSetDate": header.get("StudyDate", ""),
        "StructureSetTime": header.get("StudyTime", ""),
        "ReferencedFrameOfReferenceSequence": [_frame(volume)],
        "StructureSetROISequence": [
            dataset(
                {
                    "ROINumber": number,
                    "ReferencedFrameOfReferenceUID": header.FrameOfReferenceUID,
                    "ROIName": organ.label,
                    "ROIGenerationAlgorithm": "MANUAL" if by_hand else "AUTOMATIC",
                }
            )
            for number, organ in organs
        ],
        "ROIContourSequence": [
            _contours(volume, mask, number, organ.colour)
            for (number, organ), mask in zip(organs, masks, strict=True)
        ],
        "RTROIObservationsSequence": [
            dataset(
                {
                    "ObservationNumber": number,
                    "ReferencedROINumber": number,
                    "RTROIIdentificationCodeSequence": [code(organ.code, organ.meaning)],
                    "RTROIInterpretedType": "ORGAN",
                    "ROIInterpreter": "",
                }
            )
            for number, organ in organs
        ],
    }
    save(dataset(made), path)


def _reference(header: Dataset) -> Dataset:
    names = {"ReferencedSOPClassUID": header.SOPClassUID}
    return dataset(names | {"ReferencedSOPInstanceUID": header.SOPInstanceUID})


def _frame(volume: Volume) -> Dataset:
    """Name the images that the contours were drawn on."""
    header = volume.headers[0]
    series = {
        "SeriesInstanceUID": header.SeriesInstanceUID,
        "ContourImageSequence": [_reference(one) for one in volume.headers],
    }
    study = {
        "ReferencedSOPClassUID": STUDY_CLASS,
        "ReferencedSOPInstanceUID": header.StudyInstanceUID,
        "RTReferencedSeriesSequence": [dataset(series)],
    }
    frame = {"FrameOfReferenceUID": header.FrameOfReferenceUID}
    return dataset(frame | {"RTReferencedStudySequence": [dataset(study)]})


def _contours(volume: Volume, mask: np.ndarray, number: int, colour: Sequence[int]) -> Dataset:
    """Draw the outlines of one class, (Z, H, W) bool; one that is nowhere has no contour."""
    drawn: list[Dataset] = []
    for z in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for corners in outlines(mask[z]):
            index = np.column_stack([np.full(len(corners), z), corners])
            contour = {
                "ContourImageSequence": [_reference(volume.headers[z])],
                "ContourGeometricType": "CLOSED_PLANAR",
                "NumberOfContourPoints": len(corners),
                "ContourData": decimals(volume.geometry.to_patient(index).ravel()),
            }
            drawn.append(dataset({"ContourNumber": len(drawn) + 1} | contour))
    roi = {"ROIDisplayColor": list(colour), "ReferencedROINumber": number}
    return dataset(roi | ({"ContourSequence": drawn} if drawn else {}))


def read(path: Path, volume: Volume) -> np.ndarray:
    """Return the masks (C, Z, H, W) bool of a file that `write` made, ROI by ROI."""
    found = pydicom.dcmread(path)
    geometry, (depth, height, width) = volume.geometry, volume.geometry.shape
    masks = np.zeros((len(found.ROIContourSequence), depth, height, width), bool)
    for mask, roi in zip(masks, found.ROIContourSequence, strict=True):
        for contour in roi.get("ContourSequence", ()):
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            index = geometry.to_index(points)
            z = round(index[0, 0])
            mask[z] ^= fill([index[:, 1:]], (height, width))
    return masks
