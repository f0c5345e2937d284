"""What one false speck of 25 pixels costs under every reading of the metric; draws docs/metric.md.

python -m benchmarks.speck [--out FILE]
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.measure import main, table
from gutseg.constants import CLASSES
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, compare, summarise
from gutseg.reporting.figures import COLOURS
from gutseg.synthetic import draw_scan, roster

ORGAN, SEED, SIDE = "stomach", 0, 5
PICTURE = Path("docs/images/speck.png")


def _example() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int, int]]:
    """A phantom scan: image, truth (C, Z, H, W), a good prediction, and where the speck goes."""
    scan = next(scan for scan in roster(5, SEED, "full")[0] if scan.voxels.width == 266)
    drawing = draw_scan(SEED, scan)
    truth = np.stack([drawing.mask >> bit & 1 for bit in range(len(CLASSES))]).astype(bool)
    shifted = np.roll(truth, 1, axis=3)  # one pixel off, as good as a network gets
    organ = truth[CLASSES.index(ORGAN)]
    z = int(np.flatnonzero(organ.any((1, 2)))[-1])
    return drawing.image, truth, shifted, (z, 200, 60)


def _with_speck(prediction: np.ndarray, place: tuple[int, int, int]) -> np.ndarray:
    z, y, x = place
    found = prediction.copy()
    found[CLASSES.index(ORGAN), z, y : y + SIDE, x : x + SIDE] = True
    return found


def _scores(truth: np.ndarray, prediction: np.ndarray, name: str) -> tuple[float, float, float]:
    metric = METRICS[name]
    pair = BitRows.from_arrays(prediction), BitRows.from_arrays(truth)
    found = summarise([compare("scan", *pair, metric)], metric)
    return found.dice, found.hausdorff, found.score


def run(quick: bool) -> str:
    """Score the example under every preset, without and with the speck; draw the picture."""
    image, truth, good, place = _example()
    bad = _with_speck(good, place)
    rows, costs = [], {}
    for name in METRICS:
        before, after = _scores(truth, good, name), _scores(truth, bad, name)
        costs[name] = before[2] - after[2]
        cells = [f"{a:.4f} → {b:.4f}" for a, b in zip(before, after, strict=True)]
        rows.append([f"`{name}`", *cells, f"{after[2] - before[2]:+.4f}"])
    _draw(image, truth, bad, place, costs)
    return table(["metric", "Dice", "normalised Hausdorff", "score", "cost"], rows)


def _draw(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    place: tuple[int, int, int],
    costs: dict[str, float],
) -> None:
    """One slice, and the whole scan from the front, with the distance that each metric sees."""
    z, y, x = place
    organ = CLASSES.index(ORGAN)
    figure = Figure(figsize=(9, 4.2), facecolor="black", layout="constrained")
    flat, deep = figure.subplots(1, 2, width_ratios=[1, 1.15])
    two = f"2-D: one of {len(image)} slices, costs {costs['slice_2d']:.4f}"
    three = f"3-D: the scan from the front, costs {costs['default']:.4f}"
    views = (
        (flat, image[z], prediction[organ, z], (x + 2, y + 2), two),
        (deep, image.mean(1), prediction[organ].any(1), (x + 2, z), three),
    )
    for axis, picture, mask, speck, title in views:
        aspect = 1 if picture.shape[0] == picture.shape[1] else 2
        axis.imshow(picture, cmap="gray", vmax=np.quantile(picture, 0.995), aspect=aspect)
        axis.contourf(mask, levels=[0.5, 1.5], colors=[COLOURS[ORGAN]], alpha=0.7)
        axis.set_title(title, color="white")
        axis.set_axis_off()
        body = np.argwhere(truth[organ, z] if axis is flat else truth[organ].any(1))
        near = body[np.argmin(((body - speck[::-1]) ** 2).sum(1))]
        arrow = {"arrowstyle": "<->", "color": "white", "linewidth": 1.5}
        axis.annotate("", xy=speck, xytext=near[::-1], arrowprops=arrow)
        axis.text(speck[0], speck[1] + 14, "25 pixels", color="white", ha="center", fontsize=9)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=90)


if __name__ == "__main__":
    main(run)
