"""Organ volumes over the days of a patient: a frame in, a frame out."""

import numpy as np
import pandas as pd

# an organ that is gone, or came from nowhere, counts as changed by this power of two
MOST_DOUBLINGS = 4.0


def by_day(organs: pd.DataFrame) -> pd.DataFrame:
    """Return ml per organ, a row per scan; organs: rows of `measure` with case and day."""
    wide = organs.pivot(index=["case", "day"], columns="organ", values="ml")
    wide.columns.name = None
    return wide.reset_index()


def against_other_days(organs: pd.DataFrame) -> pd.DataFrame:
    """Return usual_ml, change and blamed for every row of organs (case, organ, ml), in its order.

    usual_ml: median of the patient's other days, NaN for a patient with one day. change:
    log2(ml / usual_ml) within ± MOST_DOUBLINGS. blamed: the same, but of two days, which differ
    by the same factor, the one nearer to the median of all scans is not blamed (0).
    """
    typical = organs.groupby("organ")["ml"].transform("median")
    usual = organs.groupby(["case", "organ"])["ml"].transform(_median_of_others)
    # of a patient with one day only a missing organ can be judged, by all other patients
    usual = usual.where(usual.notna() | (organs["ml"] > 0), typical)
    change = _doublings(organs["ml"], usual)
    days = organs.groupby(["case", "organ"])["ml"].transform("size")
    here, there = (_doublings(ml, typical).abs() for ml in (organs["ml"], usual))
    blamed = change.mask((days == 2) & (here < there), 0.0)
    return pd.DataFrame({"usual_ml": usual, "change": change, "blamed": blamed})


def _median_of_others(ml: pd.Series) -> "pd.Series[float]":
    values = ml.to_numpy(float)
    if len(values) == 1:
        return pd.Series(np.nan, ml.index)
    return pd.Series([np.median(np.delete(values, n)) for n in range(len(values))], ml.index)


def _doublings(ml: pd.Series, usual: pd.Series) -> pd.Series:
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log2(ml.to_numpy(float) / usual.to_numpy(float))
    # 0 / 0: never there
    change = np.where((ml == 0) & (usual == 0), 0.0, change)
    return pd.Series(np.clip(change, -MOST_DOUBLINGS, MOST_DOUBLINGS), ml.index)
