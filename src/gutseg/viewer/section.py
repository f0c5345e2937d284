"""The report's section of scans to scroll through: the worst, a middling and the best one."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gutseg.data.index import INDEX
from gutseg.progress import progress
from gutseg.reporting.parts import Html, Section
from gutseg.viewer.page import BUDGET, part
from gutseg.viewer.scans import Scans, open_scans, pick

SHOWN = 3
# of the sources, so that each has bytes enough for its scans
MOST_VIEWERS = 4
LEFT_OUT = f" Only the first {MOST_VIEWERS} are shown; gutseg view shows the others."
ABOUT = (
    "Truth is outlined and the prediction filled; differences, window and level, three axes and "
    "surfaces are in the controls. The ring marks the voxel behind the Hausdorff distance."
)


def sections(sources: Sequence[Path], data: Path | None = None) -> list[Section]:
    """Return a section with a viewer per run folder or blend.yaml, or of the data alone.

    data: looked at where there are no sources, if it is a cache. Sources that cannot be opened
    have no viewer; what is wrong with them is said where they are scored.
    """
    if not sources:
        places = [data] if data and (data / INDEX).is_file() else []
        return _section([_of_data(open_scans(place)) for place in places])
    opened = []
    for source in sources:
        try:
            opened.append((source, open_scans(source)))
        except (ValueError, OSError):
            continue
    shown, several = opened[:MOST_VIEWERS], len(opened) > 1
    viewers = [
        _of_source(scans, f"{number}_{_name(source)}" if several else "", BUDGET // len(shown))
        for number, (source, scans) in enumerate(shown, 1)
    ]
    return _section([one for one in viewers if one], len(opened) > len(shown))


def _section(viewers: Sequence[Html], some_left_out: bool = False) -> list[Section]:
    about = ABOUT + LEFT_OUT * some_left_out
    return [Section("scans", "Scans to scroll through", about, viewers)] if viewers else []


def _name(source: Path) -> str:
    return (source.parent if source.name == "blend.yaml" else source).resolve().name


def _of_data(scans: Scans) -> Html:
    places = np.linspace(0, len(scans.names) - 1, min(SHOWN, len(scans.names))).astype(int)
    return part([scans[scans.names[place]] for place in places])


def _of_source(scans: Scans, key: str, budget: int) -> Html | None:
    """Return a viewer of three scans, of the worst where three do not fit, or none."""
    names = pick(dice(scans)) or list(scans.names[:1])
    chosen = f"the worst, the median and the best of {len(scans.names)} by Dice"
    about = f"{key.partition('_')[2] or 'Scans'}: {chosen}"
    name = f"viewer_{key}" if key else "viewer"
    for shown in (names, names[:1]):
        try:
            return part([scans[one] for one in shown], budget, name=name, about=about)
        except ValueError:
            continue
    return None


def dice(scans: Scans) -> dict[str, float]:
    """Return the Dice of every scan, all classes and voxels pooled; NaN where both are empty."""

    def of_scan(name: str) -> float:
        one = scans[name]
        if one.prediction is None:
            return np.nan
        truth = one.truth
        one.scan.release()
        both = one.prediction.intersection_counts(truth)
        sizes = one.prediction.slice_counts() + truth.slice_counts()
        if one.seen is not None:
            both, sizes = both[:, one.seen], sizes[:, one.seen]
        return 2 * both.sum() / sizes.sum() if sizes.any() else np.nan

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(of_scan, scans.names)
        shown = progress(found, desc="scans to show", unit="scan", total=len(scans.names))
        return dict(zip(scans.names, map(float, shown), strict=True))
