"""How masks are wrong: outlines too small or large, empty slices, false components."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from gutseg.chapters.results.false_parts import MOST_PARTS, FalsePart
from gutseg.chapters.results.measuring import Measured
from gutseg.chapters.results.surfaces import EDGES, FAR, STEP, mean, quantile, sides, verdict
from gutseg.chapters.results.wording import organ_name
from gutseg.constants import CLASSES, SLICE_MM
from gutseg.reporting.figures import COLOURS
from gutseg.reporting.parts import Chart, Part, Series, Table

# mm that are drawn, and how many bins of the histogram make one of the chart
DRAWN, JOINED = 15.0, 10
COSTLIEST = 10


def outline_parts(source: Measured, key: str) -> list[Part]:
    """Return on which side of the truth the surface of each class lies."""
    series, rows, said = [], [], []
    for place, organ in enumerate(CLASSES):
        counts, name = source.signed[place], organ_name(organ)
        offset, (short, far) = quantile(counts, 0.5), sides(counts)
        found, truth = (
            sum(int(getattr(one, side)[place].sum()) for one in source.results)
            for side in ("prediction", "truth")
        )
        by_scan = np.array([one[place] for one in source.offsets.values()])
        rows.append(
            {
                "class": name,
                "median, mm": offset,
                "mean, mm": mean(counts),
                "lower quarter, mm": quantile(counts, 0.25),
                "upper quarter, mm": quantile(counts, 0.75),
                "falls short": short,
                "goes too far": far,
                "scans too small": int((by_scan < -STEP / 2).sum()),
                "scans too large": int((by_scan > STEP / 2).sum()),
                "predicted over true voxels": found / truth if truth else float("nan"),
                "in a word": verdict(counts),
            }
        )
        said.append(f"{name} {offset:+.1f} mm, {verdict(counts)}")
        series.append(_outline(name, counts, COLOURS[organ]))
    chart = Chart(
        f"results_outlines{key}",
        "Signed distances between surfaces: left of 0 the prediction falls short, right of it it "
        "goes too far",
        "signed distance, mm",
        "share of both surfaces",
        series,
        x_range=(-DRAWN, DRAWN),
        about=f"Median signed distance: {'; '.join(said)}.",
        note="From each edge voxel of prediction and truth to the surface of the other, slices "
        f"taken as {SLICE_MM:g} mm thick; beyond {DRAWN:g} mm not drawn. A mask that is displaced "
        "has as much on either side.",
    )
    table = Table(
        f"results_outline_offsets{key}",
        "Too small or too large, by class",
        pd.DataFrame(rows),
        digits=2,
        note="A median below 0 says that the prediction should grow, one above 0 that it should "
        "shrink; at 0 the word is by whether it falls short or goes too far on a tenth more of the "
        "surfaces. A class that is missed or invented in a scan has no distance there; more than "
        f"{FAR:g} mm counts as {FAR:g}.",
    )
    return [chart, table]


def _outline(name: str, counts: np.ndarray, colour: str) -> Series:
    middle, reach = len(counts) // 2, round(DRAWN / STEP)
    first = middle - reach - JOINED // 2
    near = counts[first : first + 2 * reach + JOINED].reshape(-1, JOINED).sum(axis=1)
    centres = EDGES[first] + STEP * JOINED * (np.arange(len(near)) + 0.5)
    share = near / max(counts.sum(), 1)
    return Series(name, centres.round(3).tolist(), share.tolist(), colour=colour)


def presence_parts(source: Measured, key: str) -> list[Part]:
    """Return which slices show a class in truth and prediction, by position."""
    rows, missed, invented = [], [], []
    bins = source.presence.shape[1]
    centres = ((np.arange(bins) + 0.5) / bins).tolist()
    for place, organ in enumerate(CLASSES):
        counts, name = source.presence[place], organ_name(organ)  # (bins, 2, 2)
        (neither, false), (lost, both) = counts.sum(axis=0).tolist()
        row = {"class": name, "both": both, "neither": neither}
        row |= {"missed": lost, "invented": false}
        row["missed of those with it"] = _share(lost, lost + both)
        rows.append(row | {"invented of those without": _share(false, false + neither)})
        colour = COLOURS[organ]
        missed.append(_shares(f"{name}, missed", centres, counts[:, 1], 0, colour))
        invented.append(_shares(f"{name}, invented", centres, counts[:, 0], 1, colour))
    said = [
        f"{row['class']} missed in {row['missed']}, invented in {row['invented']}" for row in rows
    ]
    chart = Chart(
        f"results_presence{key}",
        "Slices whose organ was missed (of those that show it) and invented (of the others)",
        "position in the scan, 0 is the first slice",
        "share of slices",
        [*missed, *invented],
        x_range=(0, 1),
        about=f"Slices: {'; '.join(said)}.",
    )
    table = Table(
        f"results_presence_counts{key}",
        "Slices by what truth and prediction show",
        pd.DataFrame(rows),
        note="A missed or an invented slice has Dice 0; a slice that both leave empty does not "
        "count.",
    )
    return [chart, table]


def _shares(name: str, x: list[float], counts: np.ndarray, found: int, colour: str) -> Series:
    """Return one column of counts (bins, 2) over the sum of both; dashed for what was found."""
    pairs = list(zip(counts[:, found].tolist(), counts.sum(axis=1).tolist(), strict=True))
    shares = [_share(part, whole) for part, whole in pairs]
    labels = [f"{part} of {whole} slices" for part, whole in pairs]
    return Series(name, x, shares, labels=labels, colour=colour, dashed=bool(found))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def false_part_tables(source: Measured, key: str) -> list[Part]:
    """Return what components that touch no truth cost."""
    costly = sorted(source.false, key=lambda one: one.cost, reverse=True)[:COSTLIEST]
    columns = ["scan", "class", "voxels", "slices", "score lost"]
    shown = [
        (one.scan, organ_name(CLASSES[one.organ]), one.voxels, _slices(one), one.cost)
        for one in costly
    ]
    scans = len(source.results)
    dearest = Table(
        f"results_false_components{key}",
        f"The {len(costly)} costliest of {len(source.false)} false components",
        pd.DataFrame(shown, columns=columns),
        digits=4,
        note="False components touch no voxel of the truth. What one costs is what its scan's "
        "score gains when it alone is taken away.",
    )
    total = Table(
        f"results_false_by_class{key}",
        "What false components cost by class",
        pd.DataFrame(_sums(source.false, scans)),
        digits=4,
        note=f"Losses add up over components and are divided by the {scans} scans; where two lie "
        "equally far, taking one away gains nothing, so together they may cost more. Of a class "
        f"in a scan the {MOST_PARTS} largest were tried.",
    )
    return [dearest, total]


def _slices(part: FalsePart) -> str:
    """Return slices as file names count them, from 1."""
    first, last = part.first + 1, part.last + 1
    return str(first) if first == last else f"{first} to {last}"


def _sums(parts: Sequence[FalsePart], scans: int) -> list[dict[str, float | str]]:
    hit = Counter(organ for organ, _ in {(one.organ, one.scan) for one in parts})
    rows: list[dict[str, float | str]] = []
    for place, organ in enumerate(CLASSES):
        own = [one for one in parts if one.organ == place]
        rows.append(
            {
                "class": organ_name(organ),
                "components": len(own),
                "scans with one": hit[place],
                "median voxels": float(np.median([float(one.voxels) for one in own] or [np.nan])),
                "score lost, all scans": sum(one.cost for one in own) / max(scans, 1),
                "better kept": sum(one.cost < 0 for one in own),
            }
        )
    return rows
