"""Whether predictions are too small or too large: on which side of each other surfaces lie."""

import numpy as np

from gutseg.metrics.mask_words import Spacing
from gutseg.metrics.surface import signed_distances

# mm: what lies further away is counted at the end
FAR, STEP = 50.0, 0.1
# of the surface, by which one side has more than the other
LEANING = 0.1
# sides of the bins of a histogram of signed distances, 0 in the middle of a bin
EDGES = (np.arange(round(2 * FAR / STEP) + 2) - 0.5) * STEP - FAR


def signed_counts(prediction: np.ndarray, truth: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Return a histogram (len(EDGES) - 1,) of signed distances in mm between two surfaces.

    Below 0 the prediction falls short: its surface inside the truth, or the truth's outside of it.
    Above 0 it goes too far. Both surfaces count, so that a mask that is only displaced has as much
    on either side. prediction, truth: (Z, H, W64) words; where one is empty there is no distance.
    """
    forth = signed_distances(prediction, truth, spacing=spacing)
    back = signed_distances(truth, prediction, spacing=spacing)
    both = np.concatenate([forth, -back])
    kept = both[np.isfinite(both)]
    return np.histogram(np.clip(kept, -FAR, FAR), EDGES)[0]


def quantile(counts: np.ndarray, share: float) -> float:
    """Return the distance in mm that a share of the voxels does not exceed, to STEP; NaN of none.

    counts: of `signed_counts`, of several scans added up.
    """
    total = counts.sum()
    if not total:
        return float("nan")
    place = int(np.searchsorted(counts.cumsum(), max(share * total, 1)))
    return round(place * STEP - FAR, 3)


def mean(counts: np.ndarray) -> float:
    """Return the mean signed distance in mm; NaN of none."""
    total = counts.sum()
    centres = (EDGES[:-1] + EDGES[1:]) / 2
    return float((counts * centres).sum() / total) if total else float("nan")


def sides(counts: np.ndarray) -> tuple[float, float]:
    """Return the shares of the surfaces where the prediction falls short and goes too far."""
    middle, total = len(counts) // 2, counts.sum()
    if not total:
        return float("nan"), float("nan")
    return float(counts[:middle].sum() / total), float(counts[middle + 1 :].sum() / total)


def verdict(counts: np.ndarray) -> str:
    """Say in a word what a histogram of signed distances means."""
    median, (short, far) = quantile(counts, 0.5), sides(counts)
    if np.isnan(median):
        return "not measured"
    if abs(median) >= STEP / 2:
        return "too small" if median < 0 else "too large"
    # half of the surface or more is on the outline: which side the rest is on
    if abs(short - far) < LEANING:
        return "on the outline"
    return "rather too small" if short > far else "rather too large"
