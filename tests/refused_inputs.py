"""Folders, images and blends that a submission cannot be made from; see test_refusals.py."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from folders import draw, png_path, write_csv, write_scan

from gutseg.prepare import prepare
from gutseg.submit import submit

Refused = tuple[str, Callable[[Path], None]]
GO_ON = " (--skip-bad records such input and continues)"
BLEND = Path("blend.yaml")


def _submit(spoil: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make a case of a change to the folder hidden/."""

    def refused(place: Path) -> None:
        spoil(place / "hidden")
        submit(place / BLEND, place / "hidden", place / "submission.csv")

    return refused


def _prepare(spoil: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make a case of a change to the second slice of a download with one scan."""

    def refused(place: Path) -> None:
        rows = write_scan(place / "raw", "case2_day1", *draw(3, 20, 30, 0))
        write_csv(place / "raw" / "train.csv", rows)
        spoil(png_path(place / "raw", "train", "case2_day1", 2, 20, 30))
        prepare(place / "raw", place / "cache", workers=1)

    return refused


def _public(hidden: Path) -> None:
    (hidden / "sample_submission.csv").write_text("id,class,predicted\n")


def _one_slice(hidden: Path) -> Path:
    return png_path(hidden, "test", "case7_day0", 2, 40, 48)


def _second_name(hidden: Path) -> None:
    path = _one_slice(hidden)
    shutil.copy(path, path.with_name(path.name.replace("1.50_1.50", "1.63_1.63")))


def _eight_bits(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))


INPUTS: dict[str, Refused] = {
    "no competition's folder": (
        "no train.csv or sample_submission.csv in …; download the data (kaggle competitions "
        "download -c uw-madison-gi-tract-image-segmentation), unzip it and give its folder, or "
        "write a synthetic one: gutseg phantom data/phantom",
        lambda place: submit(place / BLEND, place / "elsewhere"),
    ),
    "a header-only sample and no train.csv": (
        "…/train.csv does not exist; …/sample_submission.csv is only a header, so labelled train "
        "scans would be predicted",
        _submit(_public),
    ),
    "no images": (
        f"…/test: holds no PNG of a slice that sample_submission.csv asks for{GO_ON}",
        _submit(lambda hidden: shutil.rmtree(hidden / "test")),
    ),
    "a slice without an image": (
        "sample_submission.csv, …: the sample asks for this slice, but there is no PNG of it"
        f"{GO_ON}",
        _submit(lambda hidden: _one_slice(hidden).unlink()),
    ),
    "an image by another name": (
        "test/…: the name does not read as caseC/caseC_dayD/scans/"
        f"slice_NNNN_WIDTH_HEIGHT_SX_SY.png{GO_ON}",
        _submit(lambda hidden: _one_slice(hidden).rename(_one_slice(hidden).with_name("2.png"))),
    ),
    "two images of a slice": (
        f"test/… and test/…: two PNGs of one slice, …; keep one{GO_ON}",
        _submit(_second_name),
    ),
    "an output that is an input": (
        "… cannot be written: this command reads …; give another place",
        lambda place: submit(
            place / BLEND, place / "hidden", place / "hidden" / "sample_submission.csv"
        ),
    ),
    "an output that is somebody's file": (
        "… exists and begins with …, expected …: it is not an earlier output of this command; "
        "give another name or delete it first",
        lambda place: submit(place / BLEND, place / "hidden", _notes(place)),
    ),
    "no blend": (
        "…/blend.yaml does not exist; give a YAML file, …",
        _submit(lambda hidden: None),
    ),
    "a run that is gone": (
        "…/config.yaml does not exist; train this fold first",
        _submit(
            lambda hidden: (hidden.parent / BLEND).write_text("members: [{run: gone, folds: [0]}]")
        ),
    ),
    "a PNG cut short": (
        f"train/…: truncated after … bytes: no IEND chunk; download it again{GO_ON}",
        _prepare(lambda path: path.write_bytes(path.read_bytes()[:60])),
    ),
    "a photograph": (
        f"train/…: a 8-bit RGB PNG; expected 16-bit grey{GO_ON}",
        _prepare(_eight_bits),
    ),
    "an empty file": (
        f"train/…: not a PNG: the file is empty; download it again{GO_ON}",
        _prepare(lambda path: path.write_bytes(b"")),
    ),
}


def _notes(place: Path) -> Path:
    (place / "notes.txt").write_text("dear diary")
    return place / "notes.txt"
