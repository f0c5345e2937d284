"""Reader of ISBI 2012: cell membranes in electron microscopy."""

from pathlib import Path

from gutseg.data import image_io
from gutseg.data.inputs import Inputs
from gutseg.data.sources.pictures import Pictures, picture


def isbi(folder: Path, inputs: Inputs) -> Pictures:
    """Read folder/train/image/*.png and folder/train/label/*.png, joined by name.

    Images are grey. One class, the inside of a cell: 255 in the label map, bit 0 of the labels;
    the membrane is 0 in both. A group is an image, though the 30 of the challenge are
    neighbouring sections of one stack. Raises ValueError or FileNotFoundError naming the file.
    Source: [Arganda-Carreras 2015].
    """
    found, part = [], folder / "train"
    for image_file, label_file in image_io.pairs(part / "image", part / "label"):
        image, label = image_io.read_grey(image_file), image_io.read_numbers(label_file)
        image_io.same_size(image, label, image_file, label_file)
        other = label[(label != 0) & (label != 255)]
        if other.size:
            raise ValueError(
                f"{label_file} holds {other[0]}; expected 0 (membrane) and 255 (inside) alone, "
                "save it without smoothing"
            )
        found.append(picture(image_file.stem, image, label == 255))
    return Pictures(found, inputs, ("inside",), "multilabel")
