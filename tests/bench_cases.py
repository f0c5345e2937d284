"""Small images and a small study, shared by the tests of the bench."""

import copy
from pathlib import Path

import cv2
import numpy as np

from gutseg.config import validate
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources.pictures import Pictures, picture
from gutseg.study.grid import Study


def blobs(count=6, size=24) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images (H, W) float and labels (H, W): a bright square and a small grey one on each."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(count):
        label = np.zeros((size, size), np.uint8)
        top, left = random.integers(1, size - 12, 2)
        label[top : top + 7, left : left + 7] = 1
        label[top + 8 : top + 10, left + 3 : left + 6] = 2
        image = (label * 0.4 + 0.1 + random.normal(0, 0.05, (size, size))).clip(0, 1)
        found.append((image, label))
    return found


def blob_source(count=6, size=24, mode="multiclass") -> Pictures:
    """The same as a source with images of one channel."""
    pictures = [
        picture(f"image{number}", image[..., None], label)
        for number, (image, label) in enumerate(blobs(count, size))
    ]
    classes, background = ("ground", "large", "small"), 0
    if mode == "multilabel":
        classes, background = classes[1:], None
    native = Inputs(Stack(), Scaling(), Geometry(kind="native"))
    return Pictures(pictures, native, classes, mode, background=background)


def write_pictures(folder: Path) -> Path:
    """Write a folder that png_folder reads, and return it."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number, (image, label) in enumerate(blobs()):
        rgb = np.repeat((255 * image).astype(np.uint8)[..., None], 3, axis=2)
        cv2.imwrite(str(folder / "images" / f"image{number}.png"), rgb)
        cv2.imwrite(str(folder / "labels" / f"image{number}.png"), label)
    return folder


CONTENT = {
    "name": "tiny",
    "base": {
        "data": {"source": "png_folder", "folder": "data", "folds": 2},
        "geometry": {"kind": "native"},
        "crop": {"size": [16, 16]},
        "model": {"name": "unet", "params": {"widths": [4, 8], "norm": "batch"}},
        "optim": {"name": "adam", "lr": 0.01, "weight_decay": 0.0},
        "train": {"steps": 3, "batch_size": 2, "monitor": "pooled.iou", "tensorboard": False},
    },
    "axes": {"loss": [{"name": "ce"}, {"name": "dice"}], "seed": [0, 1]},
}


def content(axes=None, base=None, **changes) -> dict:
    """The small study's content; axes, base: keys that are replaced or added, dotted."""
    made = copy.deepcopy(CONTENT) | changes
    made["axes"] |= axes or {}
    made["set"] = made.get("set", {}) | (base or {})
    return made


def study_of(content: dict) -> Study:
    """Make a study of what a YAML would hold."""
    return validate(Study, content, "tiny.yaml")


def tiny(axes=None, base=None, **changes) -> Study:
    """The small study with changes."""
    return study_of(content(axes, base, **changes))
