"""csv and parquet files as people hand them in: read alike, or refused by file, row and column."""

import gzip
import io
import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from gutseg.data import tables
from gutseg.data.folds import assign, by_block, by_case, chosen, read_folds
from gutseg.data.index import Slices
from gutseg.data.tables import is_csv, read_content, read_table
from gutseg.score import score
from gutseg.split import split

SLICES = "id,width,height\ncase1_day0_slice_0001,70,20\ncase1_day0_slice_0002,70,20\n"
TRUTH = "id,class,segmentation\n" + "".join(
    f"case1_day0_slice_000{n},{organ},3 4\n"
    for n in (1, 2)
    for organ in ("large_bowel", "small_bowel", "stomach")
)


def _parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()


GOOD = pd.read_csv(io.StringIO(SLICES))
BROKEN = {
    "empty": (b"", "is empty"),
    "header only": (b"id,width,height\n", "lists no slices"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", r"is not UTF-8 text \(byte 0\)"),
    "UTF-16": (SLICES.encode("utf-16"), r"is not UTF-8 text \(byte 0\)"),
    "UTF-32 without mark": (SLICES.encode("utf-32-be"), "is not a readable csv: it holds binary"),
    "Latin-1": (SLICES.encode() + b"\xe9,1,1\n", r"is not UTF-8 text \(byte 72\)"),
    "NULs": (SLICES.encode() + b"\0" * 500, "it holds binary data"),
    "cut": (SLICES.encode()[:-7], "is not a readable csv: .*Expected 3 columns, got 1"),
    "more fields": (SLICES.replace(",70", ",70,1").encode(), "Expected 3 columns, got 4"),
    "other header": (b"id,w,h\na,1,1\n", "column width is missing; its header is id,w,h"),
    "twice": (b"id,width,width,height\na,1,1,1\n", "column width is listed twice"),
    "cut gzip": (gzip.compress(SLICES.encode())[:-9], "is not a readable gzip file"),
    "damaged gzip": (gzip.compress(SLICES.encode())[:20] + b"\xff" * 30, "not a readable gzip"),
    "no sizes": (SLICES.replace("70", "").encode(), "row 2: width '' is not a whole number"),
    "a fraction": (SLICES.replace("70", "70.0").encode(), "row 2: width '70.0' is not a whole"),
    "text": (SLICES.replace("20", "x").encode(), "row 2: height 'x' is not a whole number from 1"),
    "NaN": (SLICES.replace("20", "nan").encode(), "row 2: height 'nan' is not a whole number"),
    "negative": (SLICES.replace("20", "-5").encode(), "row 2: height '-5' is not a whole number"),
    "zero": (SLICES.replace("20", "0").encode(), "row 2: height '0' .* from 1 to 2048"),
    "an exponent": (SLICES.replace("20", "1e2").encode(), "height '1e2' is not a whole number"),
    "a blank": (SLICES.replace("20", " 20").encode(), "height ' 20' is not a whole number"),
    "Arabic digits": (SLICES.replace("20", "٣٠").encode(), "height '٣٠' is not a whole number"),
    "a superscript": (SLICES.replace("20", "²").encode(), "height '²' is not a whole number"),
    "huge": (SLICES.replace("20", "300000").encode(), "height '300000' .* from 1 to 2048"),
    "beyond int64": (SLICES.replace("20", "9" * 30).encode(), "height '999"),
    "Arabic id": (
        SLICES.replace("case1", "case١").encode(),
        "row 2: id 'case١_day0_slice_0001' is",
    ),
    "case beyond int64": (
        SLICES.replace("case1", f"case{10**20}").encode(),
        "row 2: id 'case100000000000000000000_day0_slice_0001' is not of the form .*; .* rows 3$",
    ),
    "a long scan": (
        SLICES.replace(",70,20", ",2000,2000").replace("0002", "9999").encode(),
        "case1_day0 would have 9999 x 2000 x 2000 voxels; at most 268435456",
    ),
    "parquet, empty": (b"", "s.parquet is empty"),
    "parquet, text": (SLICES.encode(), "s.parquet is not a readable parquet"),
    "parquet, cut": (_parquet(GOOD)[:-20], "s.parquet is not a readable parquet"),
    "parquet, zeros": (b"PAR1" + bytes(99) + b"PAR1", "s.parquet is not a readable parquet"),
    "parquet, fraction": (_parquet(GOOD.assign(width=70.5)), "row 2: width '70.5' is not a whole"),
    "parquet, bool": (_parquet(GOOD.assign(width=True)), "row 2: width 'true' is not a whole"),
    "parquet, null": (_parquet(GOOD.assign(id=None)), "row 2: id '' is not of the form"),
    "parquet, lists": (_parquet(GOOD.assign(width=[[1], [2]])), "s.parquet .*width|not text"),
    "parquet, column": (_parquet(GOOD[["id"]]), "column width is missing; its header is id"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_slices_that_cannot_be_read_are_named(tmp_path, case):
    content, message = BROKEN[case]
    path = tmp_path / ("s.parquet" if case.startswith("parquet") else "s.csv")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        Slices.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.csv", SLICES.encode()),
        ("s.CSV", SLICES.encode()),
        ("s.csv", SLICES.encode("utf-8-sig")),
        ("s.csv", SLICES.replace("\n", "\r\n").encode()),
        ("s.csv", SLICES.encode()[:-1]),
        # without the time: processes that share the work compare the names of their tests
        ("s.csv.gz", gzip.compress(SLICES.encode(), mtime=0)),
        ("s.csv", gzip.compress(SLICES.encode(), mtime=0)),
        ("s.parquet", _parquet(GOOD)),
        ("s.PARQUET", _parquet(GOOD.assign(width=GOOD["width"].astype("uint8")))),
    ],
)
def test_one_table_in_many_clothes(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert Slices.read(tmp_path / name).shapes == [(3, 2, 20, 70)]


def test_five_of_many_rows_are_named(tmp_path):
    (tmp_path / "s.csv").write_text("id,width,height\n" + "x,1,1\n" * 100)
    with pytest.raises(ValueError, match=r"row 2: id 'x' .*; the same in rows 3, 4, 5, 6, 7, and "):
        Slices.read(tmp_path / "s.csv")


def test_a_table_of_too_many_bytes_or_rows_is_not_unpacked(tmp_path, monkeypatch):
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress(SLICES.encode() * 100))
    (tmp_path / "s.parquet").write_bytes(_parquet(GOOD))
    monkeypatch.setattr(tables, "LARGEST", 3000)
    monkeypatch.setattr(tables, "MOST_ROWS", 1)
    with pytest.raises(ValueError, match=r"s.csv.gz has more than 3000 bytes; remedy"):
        read_content(tmp_path / "s.csv.gz", "remedy")
    monkeypatch.setattr(tables, "LARGEST", 30_000)
    with pytest.raises(ValueError, match=r"s.parquet is not a readable parquet: it claims 2 rows"):
        read_table(tmp_path / "s.parquet", ["id"], "remedy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.csv is empty; run: gutseg split CACHE --out"),
        ("case,fold\n", "has a header but no rows; run: gutseg split CACHE"),
        ("\x00\x01", "f.csv is not a readable csv"),
        ("case,fold\n1,0\n2", "f.csv is not a readable csv: .*Expected 2 columns, got 1"),
        ("case,fold\n1,0,3\n", "Expected 2 columns, got 3"),
        ("case,fold\n1,\n", "row 2: fold '' is not a whole number"),
        ("case,fold\n1,1.0\n", "row 2: fold '1.0' is not a whole number"),
        ("case,fold\n1,nan\n", "row 2: fold 'nan' is not a whole number"),
        ("case,fold\n1,1000\n", "row 2: fold '1000' is not a whole number from 0 to 999"),
        ("case,fold\n1,٣\n", "row 2: fold '٣' is not a whole number"),
        ("case,fold\n1,true\n", "row 2: fold 'true' is not a whole number"),
        (f"case,fold\n{10**20},0\n", "row 2: case '100000000000000000000' is not a whole number"),
        ("case,fold\ncase1,0\n", "row 2: case 'case1' is not a whole number"),
        ("case,fold\n1,0\n01,1\n", "row 3: case 1 is listed twice"),
        ("id,fold\nx,0\n", "row 2: id 'x' is not of the form case123_day20_slice_0001"),
        ("a" * 500 + ",fold\n1,1\n", r"header is 'aaa.*\(507 characters\); expected case,fold"),
    ],
)
def test_fold_files_that_cannot_be(tmp_path, text, message):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_folds(tmp_path / "f.csv")
    assert str(tmp_path / "f.csv") in str(error.value)


def test_a_folder_is_no_fold_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is a folder, expected a file; run: gutseg split"):
        read_folds(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("0,0", "--fold 0,0: fold 0 is listed twice"),
        ("٣", "--fold ٣: expected all or some of 0, 1, 3 .cases"),
        ("²", "--fold ²: expected all or some"),
        ("1,2", "--fold 1,2: expected all or some of 0, 1, 3"),
        ("", "--fold : expected"),
        ("00", "--fold 00: expected"),
        ("-1", "--fold -1: expected"),
        ("0, 1", "--fold 0, 1: expected"),
        ("../fold0", "--fold ../fold0: expected"),
        ("0\n", r"--fold '0\\n': expected"),
    ],
)
def test_folds_that_a_command_cannot_choose(wanted, message):
    assert chosen("3,0", [0, 1, 3], "cases") == [3, 0]
    assert chosen("all", [0, 1, 3], "cases") == [0, 1, 3]
    with pytest.raises(ValueError, match=message):
        chosen(wanted, [0, 1, 3], "cases")


def test_one_fold_for_all_leaves_nobody_to_learn_from(tmp_path):
    index = pd.DataFrame({"case": [1, 1, 2]})
    with pytest.raises(ValueError, match="f.csv puts all of the cache's cases into one fold"):
        assign(index, pd.DataFrame({"case": [1, 2, 3], "fold": [0, 0, 1]}), tmp_path / "f.csv")


def test_no_fold_is_left_without_cases_or_blocks():
    slices = pd.DataFrame({"id": list("abcd"), "case": [1, 1, 1, 2], "z": range(4)})
    with pytest.raises(ValueError, match="folds = 5, but the blocks of 1 slices fill only 4"):
        by_block(slices, folds=5, block=1)
    with pytest.raises(ValueError, match="1 case cannot be divided into folds; --block"):
        by_case(slices[:3], slices["z"][:3], 2, seed=0)


LISTING = "id,case,has_ann\n" + "".join(
    f"case{case}_day0_slice_{z:04d},{case},{z % 2 == 0}\n" for case in (1, 2, 3) for z in (1, 2)
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("id,case,has_ann", "id,case,ann"), "l.csv: column has_ann is missing"),
        (("0001,1,", "0001,7,"), "l.csv row 2: case '7' is not that of the row's id"),
        (("0001,1,", "0001,1.5,"), "l.csv row 2: case '1.5' is not a whole number"),
        (("False", "maybe"), "l.csv row 2: has_ann 'maybe' is not True or False; the same in"),
        (("day0_slice_0002,1", "day0_slice_0001,1"), "row 3: id .* is listed twice"),
        ((LISTING.partition("\n")[2], ""), "l.csv lists no slices"),
    ],
)
def test_a_listing_that_split_cannot_divide(tmp_path, change, message):
    (tmp_path / "l.csv").write_text(LISTING.replace(*change))
    with pytest.raises(ValueError, match=message):
        split(tmp_path / "l.csv", tmp_path / "f.csv", folds=2, stratum="has_mask")
    assert not (tmp_path / "f.csv").exists()


@pytest.mark.parametrize("block", [0, 1])
def test_a_listing_is_divided_by_cases_or_blocks(tmp_path, block, capsys):
    (tmp_path / "l.csv").write_text(LISTING)
    split(tmp_path / "l.csv", tmp_path / "f.csv", folds=2, stratum="has_mask", block=block)
    assert set(read_folds(tmp_path / "f.csv")["fold"]) == {0, 1}


def test_what_is_a_csv():
    names = ("a.csv", "a.CSV", "a.csv.gz", "a.Csv.GZ", "-", "/dev/stdin", "/dev/fd/63")
    assert all(is_csv(Path(name)) for name in names)
    assert not any(is_csv(Path(name)) for name in ("a", "a.yaml", "csv", "a.csv.zip", "a.gz"))


@pytest.fixture
def truth(tmp_path):
    (tmp_path / "slices.csv").write_text(SLICES)
    (tmp_path / "truth.csv").write_text(TRUTH)
    return {"truth": tmp_path / "truth.csv", "slices": tmp_path / "slices.csv"}


@pytest.mark.parametrize("name", ["s.csv", "s.CSV", "s.csv.gz", "-", "/dev/stdin"])
def test_a_submission_is_scored_from_a_file_or_from_standard_input(
    tmp_path, truth, monkeypatch, capsys, name
):
    content = TRUTH.encode() if not name.endswith("gz") else gzip.compress(TRUTH.encode())
    (tmp_path / "s").write_bytes(content)
    if name == "-":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        score(Path(name), **truth)
    elif name == "/dev/stdin":
        with (tmp_path / "s").open("rb") as stream:
            score(Path(f"/dev/fd/{os.dup(stream.fileno())}"), **truth)
    else:
        (tmp_path / "s").rename(tmp_path / name)
        score(tmp_path / name, **truth)
    assert "score 1.0000" in capsys.readouterr().out


def _empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (lambda p: p / "x.txt", {}, "x.txt does not exist: expected a submission .*, a run folder"),
        (lambda p: p / "runs" / "demo", {}, "runs/demo does not exist: expected a submission"),
        (
            lambda p: p / "slices.csv.zip",
            {},
            "slices.csv.zip is not something to score: expected a s",
        ),
        (lambda p: Path("/dev/null"), {}, "/dev/null is not something to score"),
        (lambda p: p, {"truth": None, "slices": None}, "is not a run folder"),
        (lambda p: p, {}, "--truth, --slices, --folds are for a csv"),
        (lambda p: p / "truth.csv", {"by": "class,class"}, "--by class,class: class is listed tw"),
        (lambda p: p / "truth.csv", {"slices": "/dev/null"}, "/dev/null is a device or a pipe"),
        (lambda p: p / "truth.csv", {"truth": "nowhere.csv"}, "nowhere.csv does not exist"),
        (_empty_folder, {"truth": None, "slices": None}, "empty is not a run folder"),
    ],
)
def test_what_cannot_be_scored_is_told_apart(tmp_path, truth, source, options, message):
    (tmp_path / "slices.csv.zip").touch()
    given = truth | {
        key: Path(value) if value and key != "by" else value for key, value in options.items()
    }
    with pytest.raises((ValueError, OSError), match=message):
        score(source(tmp_path), **given)


def test_a_truth_and_slices_without_a_scan_in_common(tmp_path, truth):
    truth["truth"].write_text(TRUTH.replace("case1_", "case2_"))
    with pytest.raises(ValueError, match=r"truth.csv and .*slices.csv have no scan in common"):
        score(tmp_path / "truth.csv", **truth)


def test_a_fold_file_without_the_scored_cases(tmp_path, truth):
    (tmp_path / "folds.csv").write_text("case,fold\n7,0\n")
    with pytest.raises(ValueError, match=r"folds.csv assigns no fold to case1; give the file"):
        score(tmp_path / "truth.csv", by="fold", folds=tmp_path / "folds.csv", **truth)


def test_of_many_faulty_rows_five_are_named(tmp_path, truth):
    """All rows of hundreds of scans are extra, and none of the truth's has a text that reads."""
    extra = "".join(f"case{n}_day0_slice_0001,stomach,\n" for n in range(100, 500))
    (tmp_path / "s.csv").write_text(TRUTH.replace("3 4", "3 x") + extra)
    with pytest.raises(ValueError, match="406 issues") as error:
        score(tmp_path / "s.csv", **truth)
    lines = str(error.value).splitlines()
    assert len(lines) == 1 + 6 + 6
    assert "395 more rows of case105_day0, case106_day0," in lines[6] and "and 390 more" in lines[6]
    assert "1 more rows do not read as run-length text" in lines[-1]
