"""A whole competition folder: PNGs, csv files, and the hidden test kept aside."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gutseg.claims import CLAIM, claimed
from gutseg.constants import CLASSES
from gutseg.files import read_json, replacing, replacing_folder, sweep, write_json
from gutseg.jobs import run
from gutseg.masks.rle_writing import encode
from gutseg.registry import shown
from gutseg.synthetic.labels import draw_labels
from gutseg.synthetic.roster import Visit, roster
from gutseg.synthetic.scan import draw_scan

SETTINGS = "phantom.json"
# To be raised whenever a change alters a voxel: halves of two drawings do not mix.
DRAWING = 1
SUBMISSION_HEADER = "id,class,predicted\n"
LABELS_HEADER = "id,class,segmentation\n"


@dataclass(frozen=True)
class Job:
    """One scan to be written."""

    seed: int
    scan: Visit
    # its folder of PNGs
    scans: Path


def write_folder(
    out: Path, *, cases: int, seed: int, preset: str, workers: int
) -> tuple[list[Visit], list[Visit]]:
    """Write, resume or complete a synthetic competition folder; return train and hidden scans.

    workers: processes, 0 for one per core. The result does not depend on it. Raises ValueError
    for bad arguments, FileExistsError when out holds something else.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}; expected 0 (one per core) or more")
    train, hidden = roster(cases, seed, preset)
    settings = {"cases": cases, "seed": seed, "preset": preset, "drawing": DRAWING}
    _check(out, settings)
    with claimed(out, [SETTINGS]):
        for folder in {path.parent for path in out.glob("**/.*.tmp")}:
            sweep(folder)  # what a killed run was busy with
        if not (out / SETTINGS).is_file():
            write_json(out / SETTINGS, settings)
        places = {"train": train, "hidden/test": hidden}
        jobs = [
            Job(seed, scan, out / place / f"case{scan.case}" / scan.name / "scans")
            for place, scans in places.items()
            for scan in scans
        ]
        with closing(run(jobs, write_scan, jobs=workers, desc="phantom", unit="scan")) as written:
            rows = {job.scan: text for job, text in written}
        empty = [label_rows(scan, np.zeros(scan.voxels.shape, np.uint8)) for scan in hidden]
        _write(out / "hidden" / "sample_submission.csv", SUBMISSION_HEADER + "".join(empty))
        _write(out / "hidden_truth.csv", LABELS_HEADER + "".join(rows[scan] for scan in hidden))
        _write(out / "sample_submission.csv", SUBMISSION_HEADER)
        _write(out / "train.csv", LABELS_HEADER + "".join(rows[scan] for scan in train))
    return train, hidden


def _check(out: Path, settings: dict) -> None:
    """Raise FileExistsError unless the folder is new, empty or ours: the same settings resume."""
    remedy = "give another folder, or delete this one"
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; a folder was expected: {remedy}")
    marker = out / SETTINGS
    if marker.is_file():
        found = read_json(marker)
        if found != settings:
            raise FileExistsError(
                f"{out} holds another phantom: {SETTINGS} says {_words(found)}, expected "
                f"{_words(settings)}; {remedy}"
            )
        return
    content = sorted(path.name for path in out.glob("*"))
    content = [name for name in content if not name.startswith((f".{SETTINGS}.", CLAIM))]
    if content:
        raise FileExistsError(
            f"{out} is neither empty nor a phantom: it holds {content[0]}, expected {SETTINGS} or "
            f"nothing; {remedy}"
        )


def _words(settings: Any) -> str:
    if not isinstance(settings, dict):
        return shown(settings)
    return " ".join(f"{key}={shown(value)}" for key, value in settings.items())


def write_scan(job: Job) -> str:
    """Write the PNGs of one scan, all or none, unless they are there; return its csv rows."""
    scan, count = job.scan, job.scan.voxels.num_slices
    if len(list(job.scans.glob("*.png"))) == count:
        return label_rows(scan, draw_labels(job.seed, scan))
    drawing = draw_scan(job.seed, scan)
    with replacing_folder(job.scans, ["slice_*.png"]) as folder:
        folder.mkdir()
        for number, image in enumerate(drawing.image, 1):
            path = folder / scan.file_name(number)
            if not cv2.imwrite(str(path), image):
                raise OSError(f"{path} could not be written; is the disk full?")
    return label_rows(scan, drawing.mask)


def label_rows(scan: Visit, mask: np.ndarray) -> str:
    """Return the rows of train.csv of one scan: by slice, then in CLASSES' order.

    mask: (Z, H, W) uint8, bit c = class c of CLASSES.
    """
    lines = []
    for number, plane in enumerate(mask, 1):
        for bit, name in enumerate(CLASSES):
            text = encode((plane >> bit) & 1)
            lines.append(f"{scan.name}_slice_{number:04d},{name},{text}\n")
    return "".join(lines)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, newline="\n")
