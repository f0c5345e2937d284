"""A scan of a cache with its masks: the labels, or what a run or a blend predicts out of fold."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gutseg import blends
from gutseg.clinic.geometry import of_scan
from gutseg.clinic.organs import NOTICE
from gutseg.clinic.output import check_clinic_folder, write_masks
from gutseg.clinic.volume import Volume
from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.data.index import INDEX
from gutseg.data.sources.competition import Competition
from gutseg.masks.bit_rows import BitRows
from gutseg.registry import counted, shown


def export_scan(
    source: Path, scan: str, to: str, *, wanted: str, truth: bool, out: Path | None
) -> None:
    """Write the masks of a scan of the competition, and its images, as `gutseg export` does.

    wanted: as in `--fold`. Other arguments: `open_scan`, `write_masks`.
    """
    if not scan:
        raise ValueError(f"--to {to} writes one scan; name it with --scan (case7_day0)")
    target = out or Path("exports") / _named(source) / scan / _kind(to, wanted, truth)
    check_clinic_folder(target, [source], to)
    volume, masks, whose = open_scan(source, scan, wanted=wanted, truth=truth)
    files = write_masks(target, volume, masks, to, by_hand=truth, about={"masks": whose})
    print(f"{', '.join(map(str, files))}: {whose}; {NOTICE}")


def _named(source: Path) -> str:
    """Return what exports of a source lie under: blends of one folder have different names."""
    place = source.resolve()
    if place.is_dir() or place.name == "blend.yaml":
        return place.name if place.is_dir() else place.parent.name
    return f"{place.parent.name}-{place.stem}"


def _kind(to: str, wanted: str, truth: bool) -> str:
    """Return the folder of masks as `to`: labels and folds do not replace predictions."""
    return to + ("-truth" if truth else "") + (f"-fold{wanted}" if wanted != "all" else "")


def open_scan(
    source: Path, scan: str, *, wanted: str, truth: bool
) -> tuple[Volume, np.ndarray, str]:
    """Return a scan, its masks (C, Z, H, W) bool, and a sentence that says whose they are.

    source: a run folder, a blend.yaml, or with truth a cache. wanted: as in `--fold`. Slices that
    were not predicted stay empty, and the sentence counts them.
    """
    if truth and (source / INDEX).is_file():
        cache = Cache(source)
        _check(scan, cache.index["scan"].unique(), source)
        return _volume(cache, scan), _labels(cache, scan), f"labels of {source}"
    opened = blends.open_source(source, wanted)
    data = opened.data
    if not isinstance(data, Competition) or data.classes != CLASSES:
        raise ValueError(
            f"{source} predicts {', '.join(data.classes)}; clinics' formats are written of scans "
            f"with {', '.join(CLASSES)}"
        )
    _check(scan, opened.scans, source)
    if truth:
        return _volume(data.cache, scan), _labels(data.cache, scan), f"labels of {source}"
    masks, seen = opened.masks(scan)
    unseen = "" if seen.all() else f"; {np.sum(~seen)} of {len(seen)} slices were not predicted"
    words = f"out-of-fold prediction of {source}{unseen}"
    return _volume(data.cache, scan), masks.to_arrays(), words


def _check(scan: str, scans: Iterable[str], source: Path) -> None:
    if scan not in (known := set(scans)):
        raise ValueError(f"--scan: {source} has no {shown(scan)}; {counted(known, 'scan')}")


def _volume(cache: Cache, name: str) -> Volume:
    opened = cache.scan(name)
    row = cache.index[cache.index["scan"] == name].iloc[0]
    geometry = of_scan(opened.shape, (float(row["spacing_y"]), float(row["spacing_x"])))
    return Volume(name, np.array(opened.image), geometry)


def _labels(cache: Cache, name: str) -> np.ndarray:
    return BitRows.from_class_bits(cache.scan(name).labels, len(CLASSES)).to_arrays()
