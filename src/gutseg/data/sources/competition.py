"""Slices of a prepared cache, held in memory."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BeforeValidator, Field

from gutseg.constants import BLACKLISTS, CLASSES
from gutseg.data.cache import Cache
from gutseg.data.geometry import Geometry
from gutseg.data.index import LARGEST_SIDE, SCAN_FOLDER
from gutseg.data.inputs import Inputs
from gutseg.data.scaling import Scaling
from gutseg.data.sources.labelled import Labelled
from gutseg.data.stack import Stack
from gutseg.registry import not_bool, shown, suggest

Side = Annotated[int, Field(le=LARGEST_SIDE)]


def _scan_or_list(name: str) -> str:
    if name not in BLACKLISTS and not SCAN_FOLDER.fullmatch(name):
        raise ValueError(
            f"{shown(name)} is neither a scan (case7_day0) nor a list; "
            f"{suggest(name, list(BLACKLISTS))}"
        )
    return name


Blacklist = tuple[Annotated[str, AfterValidator(_scan_or_list)], ...]


def competition(folder: Path, *, blacklist: Blacklist = ()) -> tuple[Cache, pd.DataFrame]:
    """Open a cache that `gutseg prepare` wrote; return it and its index without some scans.

    blacklist: scans that are left out, by name (case7_day0) or by list (a key of BLACKLISTS).
    """
    cache = Cache(folder)
    excluded = {scan for name in blacklist for scan in BLACKLISTS.get(name, (name,))}
    return cache, cache.index[~cache.index["scan"].isin(excluded)]


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
