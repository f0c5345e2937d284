"""Readers of folders of images and label maps: ISBI 2012, and any RGB images."""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from gutseg.data.image_io import read_grey, read_labelled, read_rgb
from gutseg.data.inputs import Inputs
from gutseg.data.sources.pictures import Pictures, picture

# above this a file without given classes is taken for grey values: 0 and 255, or a photograph
MOST_CLASSES = 32
# pixels by which labels may lie beside their images
Offset = Annotated[float, Field(ge=-16, le=16)]


def isbi(folder: Path, inputs: Inputs, *, offset: tuple[Offset, Offset] = (0.0, 0.0)) -> Pictures:
    """Read cell membranes: folder/train/image/*.png, grey, and folder/train/label/*.png.

    One class, the inside of a cell: 255 in the label map, bit 0 of the labels; the membrane is 0
    in both. offset: what the label map shows at row y, column x is in the image at y + offset[0],
    x + offset[1], in pixels, so that the image is moved onto it. A group is an image, though the
    30 of the challenge are neighbouring sections of one stack. Raises ValueError or
    FileNotFoundError naming the file. Source: [Arganda-Carreras 2015].
    """
    found, part = [], folder / "train"
    for file, image, label in read_labelled(part / "image", part / "label", read_grey):
        other = label[(label != 0) & (label != 255)]
        if other.size:
            raise ValueError(
                f"{file} holds {other[0]}; expected 0 (membrane) and 255 (inside) alone, "
                "save it without smoothing"
            )
        found.append(picture(file.stem, _moved(image, offset), label == 255))
    return Pictures(found, inputs, ("inside",), "multilabel")


def _moved(image: np.ndarray, offset: tuple[float, float]) -> np.ndarray:
    """Return an image (H, W, 1) sampled at (y, x) + offset by cubics, its edge repeated."""
    if not any(offset):
        return image
    height, width = image.shape[:2]
    places = np.array([[1, 0, offset[1]], [0, 1, offset[0]]], np.float64)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        image, places, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.reshape(image.shape).clip(0, 1)  # cubics overshoot


def png_folder(
    folder: Path,
    inputs: Inputs,
    *,
    classes: list[str] | None = None,
    ignore: Annotated[int, Field(ge=0, le=255)] | None = None,
    binary: bool = False,
) -> Pictures:
    """Read folder/images/*.png and folder/labels/*.png, joined by name; a group is an image.

    An image is RGB, its label map 8-bit grey with class numbers, 0 the background. classes:
    their names, number 0 first; None names them by number as far as they occur. ignore: the
    number of unlabelled pixels, which count neither in a loss nor in a measure. binary: take
    all objects for one class. Raises ValueError or FileNotFoundError naming the file.
    """
    found, highest = [], 0
    for file, image, label in read_labelled(folder / "images", folder / "labels", read_rgb):
        unknown = None if ignore is None else label == ignore
        if unknown is not None:
            label = np.where(unknown, 0, label)
        here = int(label.max())
        if classes is not None and here >= len(classes):
            raise ValueError(
                f"{file} holds class {here}; the {len(classes)} classes given are numbered 0 to "
                f"{len(classes) - 1}, name the others too"
            )
        if classes is None and here >= MOST_CLASSES:
            raise ValueError(
                f"{file} holds {here}, which looks like a grey value and not a class number; "
                "renumber the label map or give the names of all classes"
            )
        highest = max(highest, here)
        found.append(picture(file.stem, image, label, ignore=unknown))
    if not highest:
        raise ValueError(f"{folder / 'labels'} holds background (0) alone; there is no class")
    known = classes or ["background", *(f"class {n}" for n in range(1, highest + 1))]
    return Pictures(found, inputs, known, "multiclass", background=0, binary=binary)
