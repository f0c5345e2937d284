"""Intensity scaling: 16-bit grey values, whose scale differs tenfold between scans, to [0, 1]."""

from typing import Literal

import numpy as np

from gutseg.data.volume import Scan

Kind = Literal["stack", "scan", "percentile"]


def scale(
    stack: np.ndarray,
    scan: Scan,
    *,
    kind: Kind = "percentile",
    low: float = 1.0,
    high: float = 99.5,
) -> np.ndarray:
    """Scale stacks (B, S, H, W) uint16 of one scan to float32 in [0, 1].

    kind: `stack` divides by the maximum of each stack (1st place of the competition), `scan`
    by the maximum of the scan, `percentile` maps the scan's low and high percentile (0-100)
    to 0 and 1 and clips beyond. low, high: used by `percentile` alone.
    """
    values = stack.astype(np.float32)
    if kind == "stack":
        return values / values.max(axis=(1, 2, 3), keepdims=True).clip(min=1)
    if kind == "scan":
        return values / max(scan.percentile(100), 1)
    if not 0 <= low < high <= 100:
        raise ValueError(f"percentiles low = {low}, high = {high}; expected 0 <= low < high <= 100")
    bottom, top = scan.percentile(low), scan.percentile(high)
    values -= bottom
    values /= max(top - bottom, 1)
    return values.clip(0, 1, out=values)
