"""What organs are called and coloured in files for clinics."""

from dataclasses import dataclass

from gutseg.constants import CLASSES
from gutseg.reporting.figures import COLOURS

NOTICE = "not for clinical use"
# in every file that is written
DESCRIPTION = f"gutseg, {NOTICE}"


@dataclass(frozen=True)
class Organ:
    """A class as a clinic's program shows it."""

    label: str
    # of SNOMED CT, with its meaning there; DICOM PS3.16 lists them for organs
    code: str
    meaning: str
    # red, green and blue in 0..255
    colour: tuple[int, int, int]


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


_CODES = {
    "large_bowel": ("14742008", "Large intestine"),
    "small_bowel": ("30315005", "Small intestine"),
    "stomach": ("69695003", "Stomach"),
}
# in the order of CLASSES
ORGANS = {
    name: Organ(name.replace("_", " "), *_CODES[name], _rgb(COLOURS[name])) for name in CLASSES
}
