"""Measures of masks; those named here take plain arrays and need numpy and numba alone."""

from gutseg.metrics.surface import (
    SurfaceDistances,
    average_surface_distance,
    hausdorff,
    hausdorff_percentile,
    surface_dice,
    surface_distances,
    volume_error,
)

__all__ = [
    "SurfaceDistances",
    "average_surface_distance",
    "hausdorff",
    "hausdorff_percentile",
    "surface_dice",
    "surface_distances",
    "volume_error",
]
