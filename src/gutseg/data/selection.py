"""Which training slices are drawn, and which of them more often than others."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from gutseg.data.folds import Held
from gutseg.data.sources.source import Source
from gutseg.registry import shown, suggest
from gutseg.settings import Count, Natural, Section

# beyond it an epoch would hold little else
Factor = Annotated[float, Field(ge=1, le=100)]
# in the place of a class: a slice that shows one of them
ANY = "any"


class Dropped(Section):
    """Training slices that are never drawn and have no loss; held-out ones are all kept."""

    # those that show objects, but in fewer pixels of the native slice, all classes together
    below_pixels: Natural = 0
    # those after the last one of their scan that shows an object
    tail: bool = False


class Hard(Section):
    """Training slices with the voxels that make the Hausdorff distances of their scans."""

    # epochs between two predictions of all training scans; the first comes after so many epochs
    every: Count = 5
    # how many times as often as others such a slice is drawn
    factor: Factor = 3.0
    # of the distances of all scans and classes, the longest ones whose slices count; of images that
    # stand alone, each of which has distances of its own, rather 0.25
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


def without_dropped(
    table: pd.DataFrame, source: Source, dropped: Dropped | None, fold: Held
) -> pd.DataFrame:
    """Return a source's index with a column `fold` without the training rows that are dropped.

    A scan that shows no object has no tail. Raises ValueError where no training row is left.
    """
    if dropped is None:
        return table
    training = (table["fold"] != fold).to_numpy()
    keep = _kept(table[training], source, dropped)
    if not keep.any():
        raise ValueError(
            f"data.drop leaves none of {len(keep)} training slices; lower "
            f"below_pixels = {dropped.below_pixels}"
        )
    chosen = ~training
    chosen[training] = keep
    return table[chosen]


def _kept(rows: pd.DataFrame, source: Source, dropped: Dropped) -> np.ndarray:
    shows = source.shows_object(rows)
    keep = np.ones(len(rows), bool)
    if dropped.below_pixels:
        counts = source.pixels(rows[shows])[0]
        if source.background is not None:
            counts = np.delete(counts, source.background, axis=1)
        keep[shows] = counts.sum(axis=1) >= dropped.below_pixels
    if dropped.tail:
        last = rows["scan"].map(rows[shows].groupby("scan")["z"].max())
        keep &= ~(rows["z"] > last).to_numpy()  # no number is above the NaN of a scan without
    return keep


def draw_weights(rows: pd.DataFrame, source: Source, factors: Mapping[str, float]) -> np.ndarray:
    """Return how often rows (N,) are drawn relative to one that shows no class of the factors.

    factors: by class, or ANY. Of several classes that a row shows the highest factor counts. Raises
    ValueError for a class that the source does not have.
    """
    weights = np.ones(len(rows))
    for name, factor in factors.items():
        if name != ANY and name not in source.classes:
            problem = f"{shown(name)} is not a class; {suggest(name, [*source.classes, ANY])}"
            raise ValueError(f"data.oversample: {problem}")
        shows = source.shows_object(rows) if name == ANY else rows[name].to_numpy(bool)
        weights[shows] = np.maximum(weights[shows], factor)
    return weights


def weighted_draw(weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Return so many positions of weights (N,), each as often as is its due, rounded up or down.

    With equal weights, N of them are every position once.
    """
    order = random.permutation(len(weights))
    ends = np.cumsum(weights[order])
    marks = (np.arange(count) + random.random()) * ends[-1] / count
    return order[np.searchsorted(ends[:-1], marks, side="right")]
