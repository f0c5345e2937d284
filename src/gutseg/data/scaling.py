"""Intensity scaling: 16-bit grey values, whose scale differs tenfold between scans, to [0, 1]."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from gutseg.data.volume import Scan
from gutseg.settings import Section


class Scaling(Section):
    """How 16-bit grey values become [0, 1]."""

    # stack: by the maximum of each stack (1st place of the competition); scan: by that of the
    # scan; percentile: the scan's low and high percentile become 0 and 1, values beyond are clipped
    kind: Literal["stack", "scan", "percentile"] = "percentile"
    # of kind percentile alone: becomes 0
    low: Annotated[float, Field(ge=0, lt=100)] = 1.0
    # of kind percentile alone: becomes 1
    high: Annotated[float, Field(gt=0, le=100)] = 99.5

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g}, high = {self.high:g}; expected low < high")
        return self


def scale(stack: np.ndarray, scan: Scan, scaling: Scaling) -> np.ndarray:
    """Scale stacks (B, S, H, W) uint16 of one scan to float32 in [0, 1]."""
    values = stack.astype(np.float32)
    if scaling.kind == "stack":
        return values / values.max(axis=(1, 2, 3), keepdims=True).clip(min=1)
    if scaling.kind == "scan":
        return values / max(scan.percentile(100), 1)
    bottom, top = scan.percentile(scaling.low), scan.percentile(scaling.high)
    values -= bottom
    values /= max(top - bottom, 1)
    return values.clip(0, 1, out=values)
