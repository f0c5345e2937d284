"""Grey values per scan from its histogram: frames out."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

# of the voxels of a scan
PERCENTILES = (1, 50, 99, 99.5)


def grey_scales(histograms: Iterable[tuple[str, np.ndarray]]) -> pd.DataFrame:
    """Return a row per scan: percentiles, the largest value and the share of voxels that are 0.

    histograms: names of scans and voxels per grey value. A percentile is the lowest value below
    or at which so many of the voxels lie.
    """
    rows = {}
    for scan, counts in histograms:
        cumulated = np.cumsum(counts, dtype=np.int64)
        ranks = np.array(PERCENTILES) / 100 * cumulated[-1]
        values = np.searchsorted(cumulated, ranks).tolist()
        row = {f"{percent:g} %": value for percent, value in zip(PERCENTILES, values, strict=True)}
        largest = int(np.flatnonzero(counts)[-1])
        rows[scan] = row | {"largest": largest, "zeros, %": 100 * int(counts[0]) / cumulated[-1]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("scan")
