"""Everything that is measured on a data set, read scan by scan."""

from dataclasses import dataclass, replace

import pandas as pd

from gutseg.chapters.dataset.greys import grey_scales
from gutseg.chapters.dataset.measuring import ORGAN_COLUMNS, measure
from gutseg.chapters.dataset.reading import Data
from gutseg.constants import CLASSES


@dataclass(frozen=True)
class Numbers:
    """What the sections are made of."""

    # for the reader: "a prepared cache"
    kind: str
    # columns of reading.Data; has_mask is None where nobody knows
    slices: pd.DataFrame
    # the same slices with the columns of `measure`; None without labels
    planes: pd.DataFrame | None
    # a row per scan and organ, columns ORGAN_COLUMNS; None without labels
    organs: pd.DataFrame | None
    # columns of grey_scales; None without images
    greys: pd.DataFrame | None
    # sentences about input that was left out
    notes: list[str]


def gather(data: Data) -> Numbers:
    """Read labels and histograms once, one scan in memory at a time; ValueError if damaged."""
    names = data.slices["scan"].unique().tolist()
    histogram = data.histogram
    greys = histogram and grey_scales((name, histogram(name)) for name in names)
    numbers = Numbers(data.kind, data.slices, None, None, greys, data.notes)
    if data.labels is None:
        return numbers
    measured = [measure(data.labels(name)) for name in names]
    areas = pd.concat([planes for planes, _ in measured])
    planes = data.slices.drop(columns=["has_mask", *CLASSES], errors="ignore")
    planes = planes.merge(areas, on="id", validate="one_to_one")
    planes["has_mask"] = (planes[list(CLASSES)] > 0).any(axis=1)
    rows = [row for _, organs in measured for row in organs]
    organs = pd.DataFrame(rows, columns=ORGAN_COLUMNS)
    scans = data.slices.drop_duplicates("scan")[["scan", "case", "day"]]
    organs = organs.merge(scans, on="scan", validate="many_to_one")
    return replace(numbers, slices=planes, planes=planes, organs=organs)
