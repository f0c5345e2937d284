"""Colours of figures: told apart with every kind of colour vision, on white and on black."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gutseg.reporting.figures import COLOURS
from gutseg.reporting.parts import Series

# Okabe-Ito without its yellow, which is lost on white, and its black; then three of our own
PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"),
    *("#7F7F7F", "#8A5FBF", "#A6761D"),
)
SEQUENTIAL, DIVERGING = "cividis", "RdBu"


def of_series(series: Sequence[Series]) -> list[str]:
    """Return a colour per series: its own, that of the organ it is named after, or the next."""
    named = {organ.replace("_", " "): colour for organ, colour in COLOURS.items()} | COLOURS
    known = [one.colour or named.get(one.name) for one in series]
    free = [colour for colour in PALETTE if colour not in known] or list(PALETTE)
    found, taken = [], 0
    for colour in known:
        found.append(colour or free[taken % len(free)])
        taken += colour is None
    return found


def limits(frame: pd.DataFrame) -> tuple[str, float, float]:
    """Return the scale of a matrix and its ends: around 0 where it has both signs."""
    values = frame.to_numpy(float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if low < 0 < high:
        most = max(-low, high)
        return DIVERGING, -most, most
    return SEQUENTIAL, low, high if high > low else low + 1
