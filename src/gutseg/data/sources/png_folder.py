"""Reader of folders of RGB images and label maps, as PanNuke is exported to."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from gutseg.data import image_io
from gutseg.data.inputs import Inputs
from gutseg.data.sources.pictures import Pictures, picture

# above this a file without given classes is taken for grey values: 0 and 255, or a photograph
MOST_CLASSES = 32


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
    number of unlabelled pixels: they count neither in a loss nor in a measure. binary: take
    all objects for one class.
    Raises ValueError or FileNotFoundError naming the file and what to do.
    """
    found, highest = [], 0
    for image_file, label_file in image_io.pairs(folder / "images", folder / "labels"):
        image, label = image_io.read_rgb(image_file), image_io.read_numbers(label_file)
        image_io.same_size(image, label, image_file, label_file)
        unknown = label == ignore if ignore is not None else None
        if unknown is not None:
            label = np.where(unknown, 0, label)
        _check_numbers(label, classes, label_file)
        highest = max(highest, int(label.max()))
        found.append(picture(image_file.stem, image, label, ignore=unknown))
    if not highest:
        raise ValueError(f"{folder / 'labels'} holds background (0) alone; there is no class")
    known = classes or ["background", *(f"class {n}" for n in range(1, highest + 1))]
    return Pictures(found, inputs, known, "multiclass", background=0, binary=binary)


def _check_numbers(label: np.ndarray, classes: list[str] | None, file: Path) -> None:
    highest = int(label.max())
    if classes is not None and highest >= len(classes):
        raise ValueError(
            f"{file} holds class {highest}; the {len(classes)} classes given are numbered "
            f"0 to {len(classes) - 1}, name the others too"
        )
    if classes is None and highest >= MOST_CLASSES:
        raise ValueError(
            f"{file} holds {highest}, which looks like a grey value and no class number; "
            "renumber the label map or give the names of all classes"
        )
