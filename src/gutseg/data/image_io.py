"""Pictures as arrays: colour, grey and label maps, each issue named with its file."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from gutseg.data.volume import PNG_COLOURS, decode_picture, png_header, read_file

# pixels; a whole slide is larger, but no tile of one
LARGEST_PICTURE = 2**26


def by_number(paths: list[Path]) -> list[Path]:
    """Sort paths as people count: 2.png before 10.png."""
    return sorted(paths, key=lambda path: re.sub(r"\d+", lambda run: run[0].zfill(12), str(path)))


def list_pngs(folder: Path) -> list[Path]:
    """Return the *.png of a folder in order of their numbers; FileNotFoundError for none."""
    found = [path for path in folder.glob("*.png") if not path.name.startswith(".")]
    if not found:
        raise FileNotFoundError(f"{folder} holds no *.png; put the pictures there")
    return by_number(found)


def read_labelled(
    images: Path, labels: Path, read: Callable[[Path], np.ndarray]
) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Read the PNGs of two folders, joined by name: the label map's file, the image, the label map.

    Raises FileNotFoundError for an image in one of the folders alone, ValueError for two sizes.
    """
    left, right = ({path.name: path for path in list_pngs(folder)} for folder in (images, labels))
    for name in sorted(left.keys() ^ right.keys()):
        there, missing = (left[name], labels) if name in left else (right[name], images)
        raise FileNotFoundError(f"{missing / name} does not exist; add it or remove {there}")
    for name, file in left.items():
        image, label = read(file), read_numbers(right[name])
        (height, width), (rows, columns) = image.shape[:2], label.shape
        if (height, width) != (rows, columns):
            raise ValueError(
                f"{right[name]} is {rows}x{columns} and {file} is {height}x{width} "
                "(height x width); export both at one size"
            )
        yield right[name], image, label


def read_rgb(path: Path) -> np.ndarray:
    """Read a picture as (H, W, 3) float32 in [0, 1], red first; transparency is dropped."""
    # a label map has no EXIF rotation, so its image must not be turned either
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(_decode(path, flags), cv2.COLOR_BGR2RGB).astype(np.float32) / 255


def read_grey(path: Path) -> np.ndarray:
    """Read a picture as (H, W, 1) float32 in [0, 1]."""
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    return _decode(path, flags)[..., None].astype(np.float32) / 255


def read_numbers(path: Path) -> np.ndarray:
    """Read a grey PNG's numbers as they are: (H, W) uint8 or uint16; ValueError for any other."""
    return _decode(path, cv2.IMREAD_UNCHANGED, numbers=True)


def _decode(path: Path, flags: int, *, numbers: bool = False) -> np.ndarray:
    try:
        data = read_file(path)
        is_png = numbers or path.suffix.lower() == ".png"
        height, width, bits, colour = png_header(data) if is_png else (0, 0, 8, 0)
        if height * width > LARGEST_PICTURE:
            raise ValueError(f"claims {width}x{height} pixels; expected at most {LARGEST_PICTURE}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if numbers and (colour != 0 or bits < 8):  # decoders stretch palettes and few bits to 0-255
        raise ValueError(
            f"{path} is a {bits}-bit {PNG_COLOURS.get(colour, 'unknown')} PNG; a label map is "
            "8-bit grey and holds class numbers, save it so"
        )
    image = decode_picture(data, flags)
    if image is None:
        raise ValueError(f"{path} does not decode as a picture; download it again")
    return image
