"""Are probabilities what they say, and what would other thresholds do."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gutseg.chapters.results.levels import LEVELS, reliability
from gutseg.chapters.results.wording import organ_name
from gutseg.reporting.figures import COLOURS
from gutseg.reporting.parts import Chart, Part, Series, Table


def probability_parts(
    levels: np.ndarray, classes: Sequence[str], key: str, *, unit: str = "voxels"
) -> list[Part]:
    """Return calibration by class; levels: (C, 2, 256) counts by truth and byte."""
    series, rows, said = [], [], []
    for organ, counts in zip(classes, levels, strict=True):
        found, name = reliability(counts), organ_name(organ)
        some = found.voxels > 0
        series.append(
            Series(
                name,
                found.predicted[some].tolist(),
                found.observed[some].tolist(),
                labels=[f"{count:.0f} {unit}" for count in found.voxels[some]],
                colour=COLOURS.get(organ),
            )
        )
        rows.append({"class": name, **_calibration(counts, found.error)})
        said.append(f"{name} {found.error:.3f}" if some.any() else f"{name} none")
    perfect = Series("as it says", [0, 1], [0, 1], colour="#888888", dashed=True)
    chart = Chart(
        f"results_calibration{key}",
        f"Calibration: what share of the {unit} of a probability is inside the truth",
        "predicted probability",
        "share inside the truth",
        [*series, perfect],
        x_range=(0, 1),
        y_range=(0, 1),
        about=f"Expected calibration error: {', '.join(said)}.",
        note="Above the dashed line the network is too careful, below it too sure.",
    )
    table = Table(
        f"results_calibration_errors{key}",
        "Calibration error by class",
        pd.DataFrame(rows),
        note=f"Of {unit} with a probability above 0 (they are kept as bytes, so above 1/510), in "
        "ten bins of equal width: the mean gap between probability and share. Those at 0, often "
        "nearly all, would hide it; the last column says how much of the truth is among them.",
    )
    return [chart, table]


def _calibration(counts: np.ndarray, error: float) -> dict[str, float]:
    """Return what a row of the table says about one class; counts: (2, 256)."""
    above = counts[:, 1:].sum(axis=0)
    share = np.arange(1, LEVELS) / (LEVELS - 1)
    total, inside = above.sum(), counts[1].sum()
    nothing = float("nan")
    return {
        "calibration error": error,
        "mean probability": float((above * share).sum() / total) if total else nothing,
        "share inside": float(counts[1, 1:].sum() / total) if total else nothing,
        "truth at probability 0": float(counts[1, 0] / inside) if inside else nothing,
    }


def sweep_parts(
    dice: np.ndarray, used: Sequence[float], classes: Sequence[str], key: str, about: str
) -> list[Part]:
    """Return Dice by threshold; dice: (C, 256) of the thresholds byte / 255, used: those in use."""
    share = np.arange(1, LEVELS) / (LEVELS - 1)
    series, rows = [], []
    for organ, values, threshold in zip(classes, dice[:, 1:], used, strict=True):
        name = organ_name(organ)
        series.append(Series(name, share.tolist(), values.tolist(), colour=COLOURS.get(organ)))
        if not np.isfinite(values).any():
            continue
        best = int(np.nanargmax(values))
        now = values[min(int(np.searchsorted(share, threshold - 1e-9)), LEVELS - 2)]
        row = {"class": name, "threshold in use": threshold, "Dice": now}
        row |= {"best threshold": share[best], "best Dice": values[best]}
        rows.append(row | {"gain": values[best] - now})
    said = [f"{row['class']} {row['best Dice']:.3f} at {row['best threshold']:.2f}" for row in rows]
    caption = f"Dice by threshold, {about}"
    chart = Chart(
        f"results_thresholds{key}",
        caption,
        "threshold of the probability",
        "Dice",
        series,
        x_range=(0, 1),
        about=f"Best: {', '.join(said)}." if said else "No class is there or predicted.",
    )
    table = Table(
        f"results_best_thresholds{key}",
        "The best threshold of each class",
        pd.DataFrame(rows),
        note="Chosen on the data that it is measured on, so the gain is flattered, and by Dice "
        "alone; thresholds of the competition are chosen by the whole score: gutseg blend.",
    )
    return [chart, table]


def mean_of_sums(swept: np.ndarray) -> np.ndarray:
    """Return Dice by class and threshold, (C, 256), NaN without rows; swept: (C, 2, 256)."""
    sums, rows = swept[:, 0], swept[:, 1]
    return np.where(rows > 0, sums / np.maximum(rows, 1), np.nan)


def pooled_dice(levels: np.ndarray) -> np.ndarray:
    """Return Dice over all voxels by class and threshold, (C, 256); levels: (C, 2, 256)."""
    from_on = levels[..., ::-1].cumsum(axis=-1)[..., ::-1]
    both = from_on.sum(axis=1) + levels[:, 1].sum(axis=-1)[:, None]
    return np.where(both > 0, 2 * from_on[:, 1] / np.maximum(both, 1), np.nan)
