"""Images that stand alone: measures pooled over pixels, with intervals over groups of images."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gutseg.blends import Blended
from gutseg.chapters.results.levels import level_counts
from gutseg.chapters.results.probabilities import pooled_dice, probability_parts, sweep_parts
from gutseg.chapters.results.wording import organ_name
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.intervals import Interval, ratio_intervals
from gutseg.metrics.pooled import Counts, count, decided, measures
from gutseg.progress import progress
from gutseg.reporting.parts import Part, Table
from gutseg.settings import Mode


def picture_parts(name: str, opened: Blended, key: str) -> list[Part]:
    """Return measures by class and fold, calibration, and thresholds where classes overlap."""
    data, member = opened.data, opened.members[0]
    groups = data.index.groupby("scan")["group"].first()
    counts = {fold: Counts.none(len(data.classes)) for fold in member.folds}
    of_group: dict[str, Counts] = {}
    levels = np.zeros((len(data.classes), 2, 256), np.int64)
    todo = [(fold, scan, z) for fold in member.folds for scan, z in member.planes[fold].items()]
    for fold, scan_name, z in progress(todo, desc=name, unit="image"):
        scan, whole = data.scan(scan_name), opened.probabilities(scan_name, fold)[0][:, z]
        truth, ignored = data.truth(scan, z), data.ignored(scan, z)
        part = count(decided(whole, data.mode), truth, data.mode, ignored)
        counts[fold] += part
        group = str(groups[scan_name])
        of_group[group] = of_group.get(group, Counts.none(len(data.classes))) + part
        if ignored is not None:
            # at 0 outside the truth, where no measure looks
            whole, truth = np.where(ignored, 0, whole), truth & ~ignored
        levels += level_counts(whole, BitRows.from_arrays(truth)).sum(axis=1)
    parts: list[Part] = [
        class_table([*of_group.values()], data.classes, data.mode, data.background, key),
        _folds(counts, data.classes, data.mode, data.background, key),
        *probability_parts(levels, data.classes, key, unit="pixels"),
    ]
    if data.mode == "multilabel":
        used = [0.5] * len(data.classes)
        about = "pooled over all pixels"
        parts += sweep_parts(pooled_dice(levels), used, data.classes, key, about)
    return parts


def class_table(
    groups: Sequence[Counts], classes: Sequence[str], mode: Mode, background: int | None, key: str
) -> Table:
    """Return measures by class with intervals of Dice over groups."""
    total = sum(groups[1:], groups[0])
    found = measures(total, classes, mode, background)
    names = ["dice", "iou", "precision", "recall"]
    rows = []
    for organ, one in zip(classes, dice_intervals(groups, background), strict=False):
        row = {"class": organ_name(organ), "Dice": one.value, "from": one.low, "to": one.high}
        rows.append(row | {name: found[f"{name}.{organ}"] for name in names[1:]})
    mean = dice_intervals(groups, background)[-1]
    row = {"class": "mean over objects", "Dice": mean.value, "from": mean.low, "to": mean.high}
    rows.append(row | {name: found[f"{name}_fg"] for name in names[1:]})
    frame = pd.DataFrame(rows).rename(columns={"iou": "IoU"})
    return Table(
        f"results_pooled{key}",
        f"Measures pooled over all pixels, by class; pixel accuracy {found['accuracy']:.4f}",
        frame,
        note=f"Intervals of 95 % are from a studentised bootstrap over the {len(groups)} groups of "
        "images that folds keep together.",
    )


def dice_intervals(groups: Sequence[Counts], background: int | None) -> list[Interval]:
    """Return pooled Dice of every class with its interval, last the mean over objects.

    A class that is nowhere is NaN and not in the mean.
    """
    sums = np.stack(
        [np.stack([2 * one.tp, 2 * one.tp + one.fp + one.fn], axis=-1) for one in groups]
    ).astype(float)  # (G, C, 2)
    there = sums[..., 1].sum(axis=0) > 0
    if background is not None:
        there[background] = False
    mean = there / max(there.sum(), 1)
    found = ratio_intervals(sums, np.vstack([np.eye(len(there)), mean]))
    if not there.any():
        found[-1] = Interval(np.nan, np.nan, np.nan)
    return [one.within(0, 1) for one in found]


def _folds(
    counts: dict[int, Counts], classes: Sequence[str], mode: Mode, background: int | None, key: str
) -> Table:
    rows = []
    for fold, part in counts.items():
        found = measures(part, classes, mode, background)
        row = {"fold": fold, "Dice": found["dice_fg"], "IoU": found["iou_fg"]}
        rows.append(row | {"pixel accuracy": found["accuracy"]})
    return Table(f"results_folds{key}", "Measures by fold, means over objects", pd.DataFrame(rows))
