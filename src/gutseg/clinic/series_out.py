"""A DICOM series for a scan that has none, so that programs can show masks over its images."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage
from pydicom.valuerep import format_number_as_ds

from gutseg.clinic.dicom_parts import dataset, decimals, save, uid
from gutseg.clinic.organs import NOTICE
from gutseg.clinic.volume import Volume
from gutseg.data.index import SCAN_FOLDER


def with_series(volume: Volume, folder: Path) -> Volume:
    """Write the slices of a volume as MR images, 0001.dcm and so on; return it with their headers.

    The patient is called Anonymous and has the first part of the scan's name as ID. Repeated, it
    writes the same bytes: UIDs are hashes of the content, dates are empty.
    """
    folder.mkdir()
    geometry = volume.geometry
    digest = hashlib.sha256(np.ascontiguousarray(volume.image).tobytes()).hexdigest()
    content = f"{volume.name} {digest} {decimals(geometry.origin)} {geometry.steps.tolist()}"
    common = dataset(_common(volume, content))
    headers = []
    for z, plane in enumerate(volume.image):
        header = Dataset()
        header.update(common)
        header.update(dataset(_of_slice(volume, z, content)))
        header.PixelData = plane.astype("<u2").tobytes()
        save(header, folder / f"{z + 1:04d}.dcm")
        del header.PixelData
        headers.append(header)
    return replace(volume, headers=headers)


def _common(volume: Volume, content: str) -> dict:
    """What all slices say: patient, study, series, frame of reference, pixels."""
    geometry, image = volume.geometry, volume.image
    depth, height, width = geometry.spacing
    low, high = (float(value) for value in np.percentile(image, [1, 99.5]))
    across = [*geometry.directions[2], *geometry.directions[1]]
    return {
        "ImageType": ["DERIVED", "SECONDARY"],
        "SOPClassUID": MRImageStorage,
        **dict.fromkeys(("StudyDate", "StudyTime", "AccessionNumber"), ""),
        **dict.fromkeys(("ReferringPhysicianName", "PatientBirthDate", "PatientSex"), ""),
        "Modality": "MR",
        "SeriesDescription": f"written by gutseg, {NOTICE}"[:64],
        "Manufacturer": "",
        "PatientName": "Anonymous",
        "PatientID": _patient(volume.name, content),
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "written from pictures without a patient",
        **dict.fromkeys(("ScanOptions", "RepetitionTime", "EchoTime"), ""),
        # a research mode, as nothing is known of the sequence
        **{"ScanningSequence": "RM", "SequenceVariant": "NONE", "MRAcquisitionType": ""},
        "EchoTrainLength": "",
        "SliceThickness": decimals([depth])[0],
        "SpacingBetweenSlices": decimals([depth])[0],
        "PatientPosition": "HFS",
        "StudyInstanceUID": uid("study", content),
        "SeriesInstanceUID": uid("series", content),
        "FrameOfReferenceUID": uid("frame", content),
        "PositionReferenceIndicator": "",
        "StudyID": _patient(volume.name, content)[:16],
        "SeriesNumber": 1,
        "Laterality": "",
        "ImageOrientationPatient": [format_number_as_ds(float(one)) for one in across],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        **{"Rows": image.shape[1], "Columns": image.shape[2]},
        "PixelSpacing": decimals([height, width]),
        **{"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0},
        **{"WindowCenter": decimals([(low + high) / 2]), "WindowWidth": decimals([high - low + 1])},
    }


def _patient(name: str, content: str) -> str:
    """Return a patient's ID: the competition's case, else digits; a file may be called anything."""
    known = SCAN_FOLDER.fullmatch(name)
    return name.split("_")[0] if known else hashlib.sha256(content.encode()).hexdigest()[:8]


def _of_slice(volume: Volume, z: int, content: str) -> dict:
    (position,) = volume.geometry.to_patient(np.array([[z, 0, 0]]))
    return {
        "SOPInstanceUID": uid("image", str(z), content),
        "InstanceNumber": z + 1,
        "ImagePositionPatient": decimals(position),
    }
