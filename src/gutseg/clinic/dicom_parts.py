"""What the DICOM objects that gutseg writes have in common."""

import hashlib
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRLittleEndian

from gutseg import __version__

# of the patient and the study: an object that belongs to images repeats theirs, empty ones too
SHARED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
# these where the image has them
SHARED_IF_THERE = (
    *("SpecificCharacterSet", "StudyDescription", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "PositionReferenceIndicator"),
)


def uid(*parts: str) -> UID:
    """Return a UID that depends on the parts alone, so that a repeated export is the same file.

    Below 2.25 anybody may write the decimal number of a UUID (PS3.5, B.2).
    """
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    # version 8: what its bits are made of is ours to choose (RFC 9562)
    bits = bytearray(digest[:16])
    bits[6], bits[8] = bits[6] & 0x0F | 0x80, bits[8] & 0x3F | 0x80
    return UID(f"2.25.{uuid.UUID(bytes=bytes(bits)).int}")


def dataset(values: dict[str, Any]) -> Dataset:
    """Return a data set of elements by keyword; a list of data sets becomes a sequence."""
    made = Dataset()
    for keyword, value in values.items():
        is_sequence = isinstance(value, list) and all(isinstance(one, Dataset) for one in value)
        setattr(made, keyword, Items(value) if is_sequence and value else value)
    return made


def code(value: str, meaning: str) -> Dataset:
    """Return a code of SNOMED CT."""
    words = {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}
    return dataset(words)


def shared(header: Dataset) -> dict[str, Any]:
    """Return what an object has in common with the image that it belongs to."""
    there = {keyword: header[keyword].value for keyword in SHARED_IF_THERE if keyword in header}
    return {keyword: header.get(keyword, "") for keyword in SHARED} | there


def equipment() -> dict[str, Any]:
    """Say which program wrote an object."""
    model = {"Manufacturer": "gutseg", "ManufacturerModelName": "gutseg"}
    return model | {"SoftwareVersions": __version__}


def decimals(values: Iterable[float]) -> list[str]:
    """Return millimetres as text of at most 16 characters, to a millionth."""
    # adding 0 takes the sign off a zero
    return [f"{round(value, 6) + 0:.6f}".rstrip("0").rstrip(".") for value in values]


def save(made: Dataset, path: Path) -> None:
    """Write a data set as a DICOM file."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)
