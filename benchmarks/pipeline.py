"""Draw docs/images/pipeline.png: from five slices to masks. python -m benchmarks.pipeline

A drawing, not a measurement: slices and masks are the phantom's, and the probabilities are its
truth, blurred, with one false speck for the post-processing to remove.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from scipy.ndimage import gaussian_filter

from gutseg.constants import CLASSES
from gutseg.reporting.figures import COLOURS
from gutseg.synthetic import draw_scan, roster

PICTURE = Path("docs/images/pipeline.png")
SEED, SLICES, STEP = 0, 5, 2
# One colour a role, legible on the card whatever the page around it.
CARD, PAPER, QUIET = "#10151d", "#f2f5f9", "#9aa7b8"
CONVOLUTION, LOCAL, EXTERNAL, TRAINING = "#4f7cac", "#2fbf8f", "#b98cf0", "#f0b45a"
WIDTHS = (16, 32, 64, 128, 256)
SIDE = 17.0  # units of the drawing that a slice is wide
FIRST, LAST = 0.20, 0.65  # the rows that the organs are in, as shares of the side
SPECK = 0.50, 0.14  # row and column


def main() -> None:
    """Write the picture."""
    stack, truth = _example()
    figure = Figure(figsize=(13.6, 5.0), facecolor=CARD)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, 136), ylim=(0, 50), aspect="equal")
    axis.set_axis_off()
    _headings(axis)
    _stack(axis, stack)
    _network(axis)
    _probabilities(axis, truth)
    _training(axis)
    _result(axis, stack[SLICES // 2], truth)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110, facecolor=CARD)


def _example() -> tuple[np.ndarray, np.ndarray]:
    """Return five slices (S, h, w) in [0, 1] and the truth of the middle one (C, h, w)."""
    scan = next(scan for scan in roster(5, SEED, "full")[0] if scan.voxels.width == 266)
    drawing = draw_scan(SEED, scan)
    truth = np.stack([drawing.mask >> bit & 1 for bit in range(len(CLASSES))]).astype(bool)
    z = int(truth.sum((2, 3)).min(0).argmax())  # all three organs are well visible
    planes = drawing.image[z - STEP * (SLICES // 2) : z + STEP * (SLICES // 2) + 1 : STEP]
    body = planes[SLICES // 2] > 0.08 * planes.max()
    rows, columns = (np.flatnonzero(body.any(axis)) for axis in (1, 0))
    middle = (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
    half = max(rows[-1] - rows[0], columns[-1] - columns[0]) // 2 + 6
    box = tuple(slice(max(m - half, 0), m + half) for m in middle)
    top = np.quantile(planes, 0.998)
    return (planes[:, *box] / top).clip(0, 1), truth[:, z, *box]


def _headings(axis: Axes) -> None:
    columns = (
        (14, "Input", "five neighbouring slices as channels,\nscaled by percentiles of the scan"),
        (49.5, "Network", "U-Net with local and external attention,\n2.5 million parameters"),
        (90, "Probabilities", "one sigmoid for each organ;\nfolds and runs averaged"),
        (
            121.3,
            "Post-processing",
            "threshold, smallest component,\npresence gate, one rule per organ",
        ),
    )
    for x, title, text in columns:
        axis.text(x, 46.6, title, color=PAPER, fontsize=14, ha="center", weight="bold")
        axis.text(x, 44.6, text, color=QUIET, fontsize=9.5, ha="center", va="top")


def _picture(axis: Axes, image: np.ndarray, x: float, y: float, side: float, order: int) -> None:
    extent = (x, x + side, y, y + side)
    shown = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "bilinear"}
    axis.imshow(image, extent=extent, zorder=order, aspect="auto", **shown)


def _organs(axis: Axes, masks: np.ndarray, x: float, y: float, side: float, order: int) -> None:
    """Fill the masks (C, h, w) in the colours of the organs."""
    rows = y + side - (np.arange(masks.shape[1]) + 0.5) * side / masks.shape[1]
    columns = x + (np.arange(masks.shape[2]) + 0.5) * side / masks.shape[2]
    for organ, mask in zip(CLASSES, masks, strict=True):
        if mask.any():
            colours = {"colors": [COLOURS[organ]], "levels": [0.5, 1.5]}
            axis.contourf(columns, rows, mask, alpha=0.75, zorder=order, **colours)


def _frame(axis: Axes, x: float, y: float, side: float, colour: str, order: int) -> None:
    corner = Rectangle((x, y), side, side, fill=False, edgecolor=colour, linewidth=1.2)
    axis.add_patch(corner).set_zorder(order)


def _arrow(axis: Axes, start: tuple, end: tuple, colour: str = PAPER, **style: object) -> None:
    shape = {"arrowstyle": "-|>", "mutation_scale": 13, "linewidth": 1.5} | style
    axis.add_patch(FancyArrowPatch(start, end, color=colour, zorder=30, **shape))


def _stack(axis: Axes, stack: np.ndarray) -> None:
    """Five slices, one behind the other, the one to be predicted framed."""
    for place in reversed(range(SLICES)):
        x, y = 2.5 + 1.5 * place, 13.0 + 1.9 * place
        order = 2 * (SLICES - place)
        _picture(axis, stack[place], x, y, SIDE, order)
        middle = place == SLICES // 2
        _frame(axis, x, y, SIDE, TRAINING if middle else "#5b6878", order + 1)
    axis.text(13, 9.9, "the framed slice is predicted", color=TRAINING, fontsize=9.5, ha="center")
    _arrow(axis, (28.2, 24), (32.3, 24))


def _network(axis: Axes) -> None:
    """Encoder down, decoder up: a bar a level, as wide as its channels and as high as its maps."""
    centres = {}
    for level, width in enumerate(WIDTHS):
        height, y = 3.4, 36.0 - 6.2 * level
        bottom = level == len(WIDTHS) - 1
        for side in (-1,) if bottom else (-1, 1):
            x = 49.5 if bottom else 49.5 + side * (14.6 - 2.7 * level)
            wide = 2.2 + 1.15 * level
            _block(axis, x, y, wide, height, CONVOLUTION, str(width))
            attention = EXTERNAL if bottom else LOCAL if width == 64 else None
            if attention:
                inner = 1 if side < 0 else -1
                _block(axis, x + inner * (wide / 2 + 1.1), y, 1.5, height, attention, "")
            centres[level, side] = x, y
    for level in range(len(WIDTHS) - 1):
        (left, y), (right, _) = centres[level, -1], centres[level, 1]
        gap = 2.6 + 0.6 * level + (2.0 if WIDTHS[level] == 64 else 0)
        line = {"linestyle": (0, (3, 2)), "linewidth": 1.1, "mutation_scale": 9}
        _arrow(axis, (left + gap - 0.6, y), (right - gap + 0.6, y), QUIET, **line)
        below = centres[level + 1, -1]
        up = centres.get((level + 1, 1), below)
        thin = {"linewidth": 1.2, "mutation_scale": 9}
        _arrow(axis, (left + 0.9, y - 1.9), (below[0] - 0.6, below[1] + 1.9), **thin)
        _arrow(axis, (up[0] + 0.6, up[1] + 1.9), (right - 0.9, y - 1.9), **thin)
    legend = (
        (CONVOLUTION, "two 3 × 3 convolutions (channels)"),
        (LOCAL, "self-attention inside 4 × 4 windows"),
        (EXTERNAL, "external attention over all pixels"),
    )
    for row, (colour, text) in enumerate(legend):
        y = 6.6 - 2.3 * row
        _block(axis, 36.2, y, 1.5, 1.5, colour, "")
        axis.text(37.8, y, text, color=QUIET, fontsize=9.5, va="center")
    _arrow(axis, (68.2, 24), (72.3, 24))


def _block(
    axis: Axes, x: float, y: float, wide: float, high: float, colour: str, text: str
) -> None:
    corner = (x - wide / 2, y - high / 2)
    shape = {"boxstyle": "round,pad=0,rounding_size=0.35", "linewidth": 0}
    axis.add_patch(FancyBboxPatch(corner, wide, high, facecolor=colour, zorder=20, **shape))
    axis.text(x, y, text, color="white", fontsize=8.5, ha="center", va="center", zorder=21)


def _probabilities(axis: Axes, truth: np.ndarray) -> None:
    """One map an organ, the rows where the organs are; the last has a false speck."""
    side = truth.shape[1]
    rows = slice(int(FIRST * side), int(LAST * side))
    wide = SIDE + 1.5
    high = wide * (LAST - FIRST)
    for place, organ in enumerate(CLASSES):
        shown = gaussian_filter(truth[place].astype(float), side / 70)
        if organ == "stomach":
            shown = np.maximum(shown, _speck(side))
        x, y = 90.5 - wide / 2, 31.8 - place * (high + 0.9)
        colour = np.array([int(COLOURS[organ][k : k + 2], 16) / 255 for k in (1, 3, 5)])
        ink = (0.03 + shown[rows, :, None] * colour).clip(0, 1)
        extent = (x, x + wide, y, y + high)
        axis.imshow(ink, extent=extent, zorder=3, aspect="auto", interpolation="bilinear")
        shape = {"fill": False, "edgecolor": COLOURS[organ], "linewidth": 1.2}
        axis.add_patch(Rectangle((x, y), wide, high, zorder=4, **shape))
        label = organ.replace("_", " ")
        axis.text(x + wide / 2, y + 0.7, label, color=PAPER, fontsize=9, ha="center", zorder=5)
    _arrow(axis, (102.8, 24), (106.9, 24))


def _speck(side: int) -> np.ndarray:
    speck = np.zeros((side, side))
    speck[int(SPECK[0] * side), int(SPECK[1] * side)] = 1
    speck = gaussian_filter(speck, side / 70)
    return 0.9 * speck / speck.max()


def _training(axis: Axes) -> None:
    """The loss, which only training has."""
    shape = {"boxstyle": "round,pad=0.2,rounding_size=0.8", "linewidth": 1.2, "fill": False}
    axis.add_patch(FancyBboxPatch((73.5, 1.4), 34, 6.6, edgecolor=TRAINING, **shape))
    lines = (
        (6.1, "training only", TRAINING, 9.5),
        (3.0, "loss = BCE + ½ Dice against the truth", PAPER, 11),
    )
    for y, text, colour, size in lines:
        axis.text(90.5, y, text, color=colour, fontsize=size, ha="center", va="center")
    _arrow(axis, (90.5, 12.6), (90.5, 8.6), TRAINING)


def _result(axis: Axes, image: np.ndarray, truth: np.ndarray) -> None:
    """The slice with its masks, and where the speck was."""
    side = SIDE + 3.6
    x, y = 111.0, 14.2
    _picture(axis, image, x, y, side, 2)
    _organs(axis, truth, x, y, side, 3)
    _frame(axis, x, y, side, "#5b6878", 4)
    spot = x + SPECK[1] * side, y + side * (1 - SPECK[0])
    axis.plot(*spot, "x", color=PAPER, markersize=8, markeredgewidth=1.8, zorder=5)
    axis.text(x + 0.8, y + 0.9, "× false speck removed", color=PAPER, fontsize=9, zorder=5)
    axis.text(x + side / 2, 10.4, "run-length codes", color=PAPER, fontsize=11, ha="center")
    axis.text(x + side / 2, 8.2, "submission.csv", color=QUIET, fontsize=9.5, ha="center")


if __name__ == "__main__":
    main()
