"""Scans read, predicted and written as run-length text, on several devices at a time."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import pandas as pd

from gutseg.constants import CLASSES
from gutseg.data.index import Issues
from gutseg.data.volume import Scan, read_scan
from gutseg.inference.dealing import deal
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.parts import Part
from gutseg.masks.rle_writing import encode_scan
from gutseg.progress import progress

# How the prediction of one scan can end because of its images or the memory they ask for
# (torch reports that as RuntimeError). A TypeError or a NameError is a bug and stays loud.
FAILURES = (ValueError, OSError, ArithmeticError, LookupError, RuntimeError, MemoryError, cv2.error)
# Planes with which a unit of several scans is complete: two scans of the competition, whose 288
# planes are whole batches of 16 and 32.
FULL = 256

Texts = dict[tuple[str, str], str]


@dataclass(frozen=True)
class Wanted:
    """A scan that was read: the planes to predict and their ids."""

    part: Part
    ids: list[str]


def scan_texts(
    slices: pd.DataFrame,
    read: Callable[[str], bytes],
    workers: Sequence[Ensemble],
    issues: Issues,
    *,
    fill: bool,
    choose: Callable[[Ensemble, str], Ensemble] | None = None,
    prepare: Callable[[Scan], Scan] | None = None,
) -> Texts:
    """Return the run-length text of every wanted (id, class).

    slices: rows of `wanted_rows`. read: returns the bytes of a `file`. workers: an ensemble for
    every thread, which may share them. fill: batches are filled across scans of one size; it
    changes the last bit of probabilities, so on a processor, which gains nothing, it is left out.
    choose: returns the networks that predict a scan, which then is a unit of its own. prepare: adds
    to a scan what else networks see. A scan that cannot be predicted gives an issue
    and no text.
    """

    def work(ensemble: Ensemble, unit: Sequence[Wanted]) -> list[tuple[Wanted, Texts | Exception]]:
        chosen = choose(ensemble, unit[0].part.scan.name) if choose else ensemble
        return _predict(chosen, unit)

    found: Texts = {}
    scans = slices["scan"].nunique()
    with ThreadPoolExecutor() as pool, progress(total=scans, desc="submit", unit="scan") as bar:
        units = _units(slices, read, issues, pool, fill and not choose, prepare)
        for done in deal(units, work, workers):
            for wanted, texts in done:
                bar.update()
                if isinstance(texts, Exception):
                    _note(wanted.part.scan.name, texts, issues)
                else:
                    found |= texts
    return found


def _units(
    slices: pd.DataFrame,
    read: Callable,
    issues: Issues,
    pool: Executor,
    fill: bool,
    prepare: Callable[[Scan], Scan] | None,
) -> Iterator[list[Wanted]]:
    """Read the scans one by one; yield each, or together those of one size that follow."""
    unit: list[Wanted] = []
    for name, rows in slices.groupby("scan", sort=False):
        try:
            scan, readable = read_scan(rows, read, issues, pool.map)
            scan = prepare(scan) if prepare else scan
        except FAILURES as error:
            _note(str(name), error, issues)
            continue
        asked = readable[readable["wanted"]].sort_values("z")
        if asked.empty:
            continue
        if unit and unit[0].part.scan.shape[1:] != scan.shape[1:]:
            yield unit
            unit = []
        unit.append(Wanted(Part(scan, asked["z"].to_numpy()), asked["id"].tolist()))
        if not fill or sum(len(wanted.ids) for wanted in unit) >= FULL:
            yield unit
            unit = []
    if unit:
        yield unit


def _predict(ensemble: Ensemble, unit: Sequence[Wanted]) -> list[tuple[Wanted, Texts | Exception]]:
    """Return each scan with its texts or what went wrong; a scan costs the others nothing."""
    try:
        masks = ensemble.masks([wanted.part for wanted in unit])
        return [
            (one, _texts(one, encode_scan(rows))) for one, rows in zip(unit, masks, strict=True)
        ]
    except FAILURES as error:
        if len(unit) == 1:
            return [(unit[0], error)]
    return [pair for wanted in unit for pair in _predict(ensemble, [wanted])]


def _texts(wanted: Wanted, texts: Sequence[str]) -> Texts:
    classes = len(CLASSES)
    return {
        (slice_id, organ): text
        for slice_id, z in zip(wanted.ids, wanted.part.z, strict=True)
        for organ, text in zip(CLASSES, texts[z * classes : (z + 1) * classes], strict=True)
    }


def _note(name: str, error: Exception, issues: Issues) -> None:
    if not issues.collect and isinstance(error, (ValueError, OSError)):
        raise error  # such an error says what is wrong
    reason = (str(error).splitlines() or ["no reason given"])[0]
    issues.add(name, f"cannot be predicted ({type(error).__name__}: {reason})")
