"""Reader of CoNIC: nuclei in H&E images of the colon, as the challenge's own arrays."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from gutseg.data.inputs import Inputs
from gutseg.data.sources.pictures import Pictures, picture
from gutseg.files import need_file

CLASSES = (
    "background",
    "neutrophil",
    "epithelial",
    "lymphocyte",
    "plasma",
    "eosinophil",
    "connective",
)


def conic(
    folder: Path,
    inputs: Inputs,
    *,
    limit: Annotated[int, Field(ge=1)] | None = None,
    binary: bool = False,
) -> Pictures:
    """Read CoNIC's images.npy (N, 256, 256, 3) uint8 and labels.npy (N, 256, 256, 2).

    labels[..., 1] is the class, 0-6. limit: keep so many patches, evenly spread over all; the
    4,981 of the challenge take 4.2 GB in memory. With patch_info.csv (names such as
    consep_1-0000) a group is the image that a patch was cut from, without it every patch is a
    group. binary: take all objects for one class. Source: [Graham 2021].
    """
    images = _open(folder / "images.npy", "(N, H, W, 3) uint8", 3, np.uint8)
    labels = _open(folder / "labels.npy", "(N, H, W, 2) of whole numbers", 2, np.integer)
    if images.shape[:3] != labels.shape[:3]:
        raise ValueError(
            f"{folder / 'labels.npy'} has shape {labels.shape}, images.npy {images.shape}; "
            "take both from one release"
        )
    names, groups = _patches(folder / "patch_info.csv", len(images))
    found = []
    for patch in _spread(len(images), limit):
        kind = np.array(labels[patch, ..., 1])
        wrong = kind[(kind < 0) | (kind >= len(CLASSES))]
        if wrong.size:
            raise ValueError(
                f"{folder / 'labels.npy'}, patch {patch}: class {wrong[0]}; expected 0 to "
                f"{len(CLASSES) - 1} in labels[..., 1]"
            )
        image = images[patch].astype(np.float32) / 255
        found.append(picture(names[patch], image, kind, group=groups[patch]))
    return Pictures(found, inputs, CLASSES, "multiclass", background=0, binary=binary)


def _open(file: Path, expected: str, channels: int, kind: type) -> np.ndarray:
    need_file(file, "download CoNIC's images.npy and labels.npy into one folder")
    try:
        array = np.load(file, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is not a readable .npy ({error}); download it again") from None
    fits = array.ndim == 4 and array.shape[3] == channels and len(array)
    if not fits or not np.issubdtype(array.dtype, kind):
        found = f"shape {array.shape} and type {array.dtype}"
        raise ValueError(f"{file} has {found}; expected {expected}")
    return array


def _patches(file: Path, count: int) -> tuple[list[str], list[str]]:
    """Return the names of all patches and the images that they were cut from."""
    if not file.is_file():
        names = [f"patch_{number:04d}" for number in range(count)]
        return names, names
    try:
        names = pd.read_csv(file, dtype=str, keep_default_na=False).iloc[:, 0].tolist()
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a readable csv ({error}); download it again") from None
    if len(names) != count:
        raise ValueError(
            f"{file} names {len(names)} patches, images.npy holds {count}; take both from one "
            "release or remove the csv"
        )
    return names, [name.rsplit("-", 1)[0] for name in names]


def _spread(count: int, limit: int | None) -> np.ndarray:
    """Return at most `limit` of the numbers 0 to count - 1, evenly spread, all without limit."""
    kept = count if limit is None else min(limit, count)
    return np.arange(kept) * count // kept
