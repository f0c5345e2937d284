"""Submissions that Kaggle would refuse, with what `gutseg validate` says; see test_refusals.py."""

import gzip
from collections.abc import Callable
from pathlib import Path

from gutseg.validate import validate

Refused = tuple[str, Callable[[Path], None]]
SAMPLE = Path("hidden") / "sample_submission.csv"


def _validate(place: Path, content: bytes) -> None:
    (place / "submission.csv").write_bytes(content)
    validate(place / "submission.csv", place / SAMPLE, images=place / "hidden")


def _lines(place: Path) -> list[str]:
    """The lines of an empty, valid submission; the header is row 1."""
    return (place / SAMPLE).read_text().splitlines()


def _text(change: Callable[[list[str]], object]) -> Callable[[Path], None]:
    """Make a case of a change to the lines of a valid submission."""

    def refused(place: Path) -> None:
        lines = _lines(place)
        change(lines)
        _validate(place, "\n".join([*lines, ""]).encode())

    return refused


def _bytes(content: bytes) -> Callable[[Path], None]:
    return lambda place: _validate(place, content)


def _runs(text: str) -> Callable[[Path], None]:
    return _text(lambda lines: lines.__setitem__(4, lines[4] + text))


def _damaged_sample(place: Path) -> None:
    lines = _lines(place)
    (place / "sample_submission.csv").write_text("\n".join([*lines, lines[3]]))
    validate(place / SAMPLE, place / "sample_submission.csv")


SUBMISSIONS: dict[str, Refused] = {
    "no file": (
        "…/submission.csv does not exist; give a csv of id, class and run-length text",
        lambda place: validate(place / "submission.csv", place / SAMPLE),
    ),
    "nothing in it": ("…/submission.csv is empty; give a csv of id, class and …", _bytes(b"")),
    "the column of train.csv": (
        "…/submission.csv: header is …; expected id,class,predicted",
        _bytes(b"id,class,segmentation\n"),
    ),
    "columns in another order": (
        "…/submission.csv: header is …; expected id,class,predicted",
        _bytes(b"id,predicted,class\n"),
    ),
    "a column of row numbers": (
        "…/submission.csv: header is …; expected id,class,predicted",
        _bytes(b",id,class,predicted\n"),
    ),
    "a workbook": (
        "…/submission.csv is not a readable csv: it holds binary data; …",
        _bytes(b"PK\3\4\0\0\0"),
    ),
    "half a gzip file": (
        "…/submission.csv is not a readable gzip file (…); …",
        _bytes(gzip.compress(b"id,class,predicted\n")[:-9]),
    ),
    "Latin-1": (
        "submission.csv row …: is not UTF-8 text: …",
        _bytes("id,class,predicted\ncaf\u00e9,stomach,\n".encode("latin-1")),
    ),
    "runs with commas": (
        "submission.csv row …: has … fields; expected id,class,predicted",
        _runs("1, 3, 9, 2"),
    ),
    "a row cut short": (
        "submission.csv row …: has … fields; expected id,class,predicted",
        _text(lambda lines: lines.__setitem__(3, lines[3].partition(",")[0])),
    ),
    "the name of a file as id": (
        "submission.csv row …: id … is not of the form case123_day20_slice_0001",
        _text(lambda lines: lines.__setitem__(2, "slice_0001_48_40_1.50_1.50.png,stomach,")),
    ),
    "a class of another data set": (
        "submission.csv row …: class … is not one of large_bowel, small_bowel, stomach",
        _text(lambda lines: lines.__setitem__(2, lines[2].replace("small_bowel", "colon"))),
    ),
    "a row twice": (
        "submission.csv row …: id … is listed twice with this class",
        _text(lambda lines: lines.append(lines[5])),
    ),
    "a slice of the train set": (
        "submission.csv row …: … is not in the sample",
        _text(lambda lines: lines.append("case1_day0_slice_0001,stomach,")),
    ),
    "a slice left out": (
        "submission.csv: row … of the sample is missing: …",
        _text(lambda lines: lines.__delitem__(slice(4, 7))),
    ),
    "a row that moved": (
        "submission.csv row …: … is out of order: it is row … of the sample",
        _text(lambda lines: lines.insert(1, lines.pop(4))),
    ),
    "a start without a length": (
        "submission.csv row …: predicted, pair …: start … has no length; "
        "expected `start length` pairs, found … numbers",
        _runs("1 3 9"),
    ),
    "starts from 0": (
        "submission.csv row …: predicted, pair …: start … length … is not positive; "
        "starts and lengths count from 1",
        _runs("0 3"),
    ),
    "a run of nothing": (
        "submission.csv row …: predicted, pair …: start … length … is not positive; "
        "starts and lengths count from 1",
        _runs("4 0"),
    ),
    "runs out of order": (
        "submission.csv row …: predicted, pair …: start … length … begins before pair … ends "
        "at …; runs must be sorted",
        _runs("40 3 9 2"),
    ),
    "runs that overlap": (
        "submission.csv row …: predicted, pair …: start … length … begins before pair … ends "
        "at …; runs must be sorted",
        _runs("4 6 9 2"),
    ),
    "the size of another slice": (
        "submission.csv row …: predicted, pair …: start … length … runs past the end of a … slice "
        "(… pixels)",
        _runs("1800 300"),
    ),
    "a NaN as text": (
        "submission.csv row …: predicted, pair …: expected a whole number, found …",
        _runs("nan"),
    ),
    "first and last pixel": (
        "submission.csv row …: predicted, pair …: expected a whole number, found …",
        _runs("4-9"),
    ),
    "a number without end": (
        "submission.csv row …: predicted, pair …: a number of … digits is past any pixel",
        _runs("1 " + "9" * 40),
    ),
    "a sample that was written to": (
        "sample_submission.csv row …: id … is listed twice with this class; "
        "--sample is Kaggle's own sample_submission.csv, download it again",
        _damaged_sample,
    ),
}
