"""Small images and a small config, shared by the tests of the bench."""

import numpy as np

from gutseg.config import validate
from gutseg.data.sources.labelled import Labelled
from gutseg.study.sections import Bench


def blobs(count=6, size=24, mode="multiclass") -> Labelled:
    """Images with a bright square and a small grey one; every image is its own group."""
    random = np.random.default_rng(0)
    images, labels = [], []
    for _ in range(count):
        label = np.zeros((size, size), np.uint8)
        top, left = random.integers(1, size - 12, 2)
        label[top : top + 7, left : left + 7] = 1
        label[top + 8 : top + 10, left + 3 : left + 6] = 2
        noise = random.normal(0, 0.05, (size, size, 1))
        images.append((label[..., None] * 0.4 + 0.1 + noise).clip(0, 1).astype(np.float32))
        labels.append(label)
    names = [f"image{number}" for number in range(count)]
    classes = ("ground", "large", "small")
    if mode == "multilabel":
        return Labelled(images, labels, names, names, classes[1:], mode, None)
    return Labelled(images, labels, names, names, classes, mode, 0)


CONTENT = {
    "name": "tiny",
    "dataset": {"name": "png_folder", "folder": "."},
    "losses": [{"name": "ce"}, {"name": "dice"}],
    "networks": [{"name": "unet", "params": {"widths": [4, 8], "norm": "batch"}, "label": "unet"}],
    "budget": {"steps": 3},
    "lrs": [0.01],
    "patches": [[16, 16]],
    "seeds": [0, 1],
    "folds": 2,
    "batch_size": 2,
}


def tiny(**changes) -> Bench:
    """The small config with changes."""
    return validate(Bench, CONTENT | changes, "tiny.yaml")
