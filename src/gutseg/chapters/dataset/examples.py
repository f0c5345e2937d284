"""Slices with their labels drawn in: typical ones, and those whose organs overlap most.

Figures 4 and 5 of [Xu 2022].
"""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gutseg.chapters.dataset.counts import words
from gutseg.chapters.dataset.measuring import OVERLAPS
from gutseg.chapters.dataset.reading import Data
from gutseg.constants import CLASSES
from gutseg.reporting.figures import COLOURS
from gutseg.reporting.parts import Picture

SHOWN = 4
# grey of the picture where there is no image, and of the labels over it
NO_IMAGE, ALPHA = 0.2, 0.55
# told apart from grey values and from the organs
SEVERAL = "#FF5CFF"
# pixels around the labels
MARGIN = 12


def typical(planes: pd.DataFrame) -> list[str]:
    """Choose slices, of different patients, with as many organs as possible and a usual area.

    Of each scan the slice with the most organs whose smallest one is largest; of these the
    nearest to the median of the labelled area.
    """
    areas = planes[list(CLASSES)]
    number = (areas > 0).sum(axis=1)
    chosen = planes[(number == number.max()) & (number > 0)]
    if chosen.empty:
        return []
    smallest = chosen[list(CLASSES)].where(chosen[list(CLASSES)] > 0).min(axis=1)
    chosen = chosen.loc[smallest.groupby(chosen["scan"]).idxmax()]
    area = chosen[list(CLASSES)].sum(axis=1)
    order = (area - area.median()).abs().sort_values(kind="stable").index
    return chosen.loc[order].drop_duplicates("case")["id"].head(SHOWN).tolist()


def overlapping(planes: pd.DataFrame) -> list[str]:
    """Choose the slices, of different patients, with the largest shared areas."""
    pairs = [name for name, classes in OVERLAPS.items() if len(classes) == 2]
    shared = planes[pairs].sum(axis=1).sort_values(ascending=False, kind="stable")
    rows = planes.loc[shared.index[shared > 0]]
    return rows.drop_duplicates("case")["id"].head(SHOWN).tolist()


def pictures(data: Data, planes: pd.DataFrame) -> list[Picture]:
    """Draw both choices, as far as there are such slices; data: with labels."""
    kinds = (
        ("typical_labels", "Typical labels", typical(planes)),
        ("overlapping_labels", "Labels that overlap most", overlapping(planes)),
    )
    note = "" if data.image else "Only labels: a prepared cache has the images too."
    return [
        Picture(name, caption, _draw(data, ids), about=f"Slices {', '.join(ids)}.", note=note)
        for name, caption, ids in kinds
        if ids
    ]


def _draw(data: Data, ids: Sequence[str]) -> bytes:
    figure = Figure(figsize=(3 * len(ids) + 1, 2.9), facecolor="black", layout="constrained")
    for axis, name in zip(figure.subplots(1, len(ids), squeeze=False)[0], ids, strict=True):
        axis.imshow(_panel(data, name), interpolation="nearest")
        axis.set_title(name, color="white", fontsize=8)
        axis.set_axis_off()
    organs = [Patch(color=COLOURS[organ], label=words(organ)) for organ in CLASSES]
    figure.legend(
        handles=[*organs, Patch(color=SEVERAL, label="several")],
        loc="outside lower center",
        ncols=len(CLASSES) + 1,
        labelcolor="white",
        facecolor="black",
        edgecolor="black",
        fontsize=8,
    )
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return stream.getvalue()


def _panel(data: Data, slice_id: str) -> np.ndarray:
    """Paint a slice cut to its labels: (H, W, 3) in [0, 1]."""
    if data.labels is None:
        raise ValueError(f"there are no labels to draw {slice_id}")
    scan = data.labels(slice_id.rpartition("_slice_")[0])
    z = int(scan.z[np.flatnonzero(scan.ids == slice_id)[0]])
    masks = scan.masks.to_arrays()[:, z]
    grey = data.image(scan.name, z) if data.image else np.full(masks.shape[1:], NO_IMAGE)
    painted = np.repeat(grey[..., None], 3, axis=-1)
    for organ, mask in zip(CLASSES, masks, strict=True):
        painted[mask] += ALPHA * (np.array(to_rgb(COLOURS[organ])) - painted[mask])
    painted[masks.sum(axis=0) > 1] = to_rgb(SEVERAL)
    rows, columns = (np.flatnonzero(masks.any(axis=(0, axis))) for axis in (2, 1))
    cut = [slice(max(0, at[0] - MARGIN), at[-1] + MARGIN + 1) for at in (rows, columns)]
    return painted[cut[0], cut[1]]
