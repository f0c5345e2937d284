"""Images with labels, held in memory: what `gutseg bench` compares losses on."""

from dataclasses import dataclass, replace

import numpy as np

from gutseg.losses.reductions import Mode


@dataclass(frozen=True)
class Labelled:
    """Images of any sizes with their labels.

    images: (H, W, S) float32 in [0, 1] each. labels: (H, W) uint8 each, class numbers in mode
    `multiclass`, one bit a class in mode `multilabel`. names: one an image. groups: images of
    one group never stand on both sides of a fold. background: the class number that is no
    object, None in mode `multilabel`.
    """

    images: list[np.ndarray]
    labels: list[np.ndarray]
    names: list[str]
    groups: list[str]
    classes: tuple[str, ...]
    mode: Mode
    background: int | None = 0

    @property
    def channels(self) -> int:
        """Channels of every image."""
        return self.images[0].shape[2]


def spread(count: int, limit: int | None) -> np.ndarray:
    """Return at most `limit` of the numbers 0 to count - 1, evenly spread, all without limit."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit = {limit}; expected at least 1 or none")
    kept = count if limit is None else min(limit, count)
    return np.arange(kept) * count // kept


def some_channels(data: Labelled, channels: list[int] | None) -> Labelled:
    """Return the data with some channels of its images alone, with None as it is."""
    if channels is None:
        return data
    return replace(data, images=[np.ascontiguousarray(x[..., channels]) for x in data.images])


def against_background(data: Labelled) -> Labelled:
    """Return multiclass data whose objects, of whatever class, are one class."""
    labels = [(plane != data.background).astype(np.uint8) for plane in data.labels]
    return replace(data, labels=labels, classes=("background", "object"), background=0)


def class_shares(data: Labelled, indices: np.ndarray) -> list[float]:
    """Return the share of the pixels of some images that each class has, one number a class.

    In mode `multiclass` they sum to 1, in mode `multilabel` classes may overlap.
    """
    pixels = sum(data.labels[index].size for index in indices)
    return (_counts(data, indices).sum(axis=0) / max(pixels, 1)).tolist()


def folds(data: Labelled, num_folds: int, seed: int) -> list[np.ndarray]:
    """Return the positions of the images that each fold holds out, in ascending order.

    Every image is held out once, and groups stay whole. The images of one stratum, the rarest
    class that they show, are shared out evenly; a stratum of fewer images than folds is joined
    to the largest. Raises ValueError with fewer groups than folds.
    """
    # takes a second and 50 MB, which commands that train nothing have no use for
    from sklearn.model_selection import StratifiedGroupKFold

    groups = len(set(data.groups))
    if not 2 <= num_folds <= groups:
        raise ValueError(f"num_folds = {num_folds}; expected 2 to {groups}, the number of groups")
    stratum = _rarest(data)
    values, sizes = np.unique(stratum, return_counts=True)
    stratum[np.isin(stratum, values[sizes < num_folds])] = values[sizes.argmax()]
    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    return [held for _, held in splitter.split(stratum, stratum, data.groups)]


def _counts(data: Labelled, indices: np.ndarray) -> np.ndarray:
    """Count the pixels of every class: (N, C)."""
    counts = np.zeros((len(indices), len(data.classes)), np.int64)
    for row, index in zip(counts, indices, strict=True):
        values = np.bincount(data.labels[index].ravel(), minlength=256)
        if data.mode == "multiclass":
            row[:] = values[: len(row)]
        else:
            bits = np.arange(256)[:, None] >> np.arange(len(row)) & 1
            row[:] = values @ bits
    return counts


def _rarest(data: Labelled) -> np.ndarray:
    """Return the rarest class by pixels that each image shows (N,); -1 for none."""
    counts = _counts(data, np.arange(len(data.labels)))
    rarity = counts.sum(axis=0)
    order = [c for c in np.argsort(rarity, kind="stable") if c != data.background]
    shown = np.c_[counts[:, order] > 0, np.ones(len(counts), bool)]
    return np.array([*order, -1])[shown.argmax(axis=1)]
