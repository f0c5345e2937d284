"""Images with labels, held in memory: what `gutseg bench` compares losses on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from gutseg.constants import CLASSES
from gutseg.data import sources
from gutseg.data.cache import Cache
from gutseg.data.index import LARGEST_SIDE
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.losses.reductions import Mode
from gutseg.registry import Spec, check, not_bool

Side = Annotated[int, Field(le=LARGEST_SIDE)]


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


def slices(
    folder: Path,
    *,
    size: tuple[Side, Side] = (160, 192),
    stack: Annotated[Literal[1, 3, 5], BeforeValidator(not_bool)] = 1,
    empty_share: float = 0.3,
    limit: int | None = None,
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0,
) -> Labelled:
    """Read slices of a cache that `gutseg prepare` wrote; a group is a patient.

    size: (h, w) that the body, found once a scan, is stretched to. stack: the slice and its
    neighbours as channels. All slices with an organ are kept and the share `empty_share` of
    the others, drawn with seed; limit: at most so many of them, drawn likewise.
    """
    if min(size) < 1:
        raise ValueError(f"size = {size}; expected height and width of at least 1 pixel")
    cache = Cache(folder)
    rows = _choose(cache.index, empty_share, limit, seed)
    # sides below 16, which a config refuses, are allowed here
    geometry = Geometry.model_construct(kind="body", size=tuple(size))
    inputs = Inputs(Stack(slices=stack), Scaling(), geometry)
    images, labels = [], []
    for name, planes in rows.groupby("scan", sort=False)["z"]:
        scan = cache.scan(name)
        stacks = inputs.images(scan, planes.to_numpy())
        # a network's input is (S, h, w), a picture in memory (h, w, S)
        images += list(np.ascontiguousarray(np.moveaxis(stacks, 1, 3)))
        labels += list(inputs.labels(scan, planes.to_numpy()))
    groups = [f"case{case}" for case in rows["case"]]
    return Labelled(images, labels, rows["id"].tolist(), groups, CLASSES, "multilabel", None)


def _choose(index: pd.DataFrame, empty_share: float, limit: int | None, seed: int) -> pd.DataFrame:
    """Return the rows of the slices to read, scans one after the other, planes in order."""
    if not 0 <= empty_share <= 1:
        raise ValueError(f"empty_share = {empty_share}; expected 0 to 1")
    if limit is not None and limit < 1:
        raise ValueError(f"limit = {limit}; expected at least 1 or none")
    random = np.random.default_rng(seed)
    full = index[list(CLASSES)].to_numpy().any(axis=1)
    empty = random.permutation(np.flatnonzero(~full))
    kept = [np.flatnonzero(full), empty[: round(empty_share * len(empty))]]
    positions = random.permutation(np.concatenate(kept))[:limit]
    if not len(positions):
        raise ValueError(f"no slice shows an organ and empty_share = {empty_share} keeps no other")
    return index.iloc[positions].sort_values(["scan", "z"])


DATASETS = {name: spec for name, spec in sources.SOURCES.items() if name != "competition"}
DATASETS["slices"] = Spec(slices, "UW-Madison GI Tract, Lee 2024, a cache of `gutseg prepare`")


def read(name: str, folder: Path, params: Mapping[str, Any]) -> Labelled:
    """Read a data set of the table; raises ValueError naming the choices when it cannot."""
    settings = check(DATASETS, name, params, where="dataset")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the one that holds the {name} data")
    if name == "slices":
        return slices(folder, **settings)
    inputs = Inputs(Stack(), Scaling(), Geometry(kind="native"))
    found = DATASETS[name].build(folder, inputs, **settings)
    pictures = list(found.pictures.values())
    return Labelled(
        [np.ascontiguousarray(one.image.transpose(1, 2, 0)) for one in pictures],
        [one.labels[0] for one in pictures],
        [one.name for one in pictures],
        [one.group for one in pictures],
        found.classes,
        found.mode,
        found.background,
    )
