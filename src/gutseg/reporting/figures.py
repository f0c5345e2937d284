"""Figures as PNG files: slices with truth and prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gutseg.constants import CLASSES
from gutseg.files import replacing

# Okabe-Ito: told apart with every kind of colour vision.
COLOURS = {"large_bowel": "#0072B2", "small_bowel": "#E69F00", "stomach": "#D55E00"}


def save(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a figure as PNG."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)


class Panel(NamedTuple):
    """One slice: image (H, W) in [0, 1], truth and prediction (C, H, W) bool."""

    title: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


def slice_figure(path: Path, panels: Sequence[Panel]) -> None:
    """Draw slices in a row: above the image with the truth filled, below with the prediction.

    The outline of the truth is drawn over the prediction too, which shows where they differ.
    """
    figure = Figure(figsize=(3.1 * len(panels), 6.6), facecolor="black", layout="constrained")
    axes = figure.subplots(2, len(panels), squeeze=False)
    for column, panel in enumerate(panels):
        for row, masks in enumerate((panel.truth, panel.prediction)):
            axis = axes[row, column]
            axis.imshow(panel.image, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
            for organ, mask in zip(CLASSES, masks, strict=True):
                if mask.any():
                    axis.contourf(mask, levels=[0.5, 1.5], colors=[COLOURS[organ]], alpha=0.55)
            for mask in panel.truth if row else ():
                if mask.any():
                    axis.contour(mask, levels=[0.5], colors="white", linewidths=0.8)
            axis.set_axis_off()
        axes[0, column].set_title(panel.title, color="white", fontsize=9)
    organs = [Patch(color=COLOURS[organ], label=organ.replace("_", " ")) for organ in CLASSES]
    truth = Line2D([], [], color="white", linewidth=0.8, label="truth (outline, lower row)")
    figure.legend(
        handles=[*organs, truth],
        loc="outside lower center",
        ncols=5,
        labelcolor="white",
        facecolor="black",
        edgecolor="black",
        fontsize=9,
    )
    save(figure, path, dpi=100)
