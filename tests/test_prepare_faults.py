"""What `prepare` does about input that is damaged, changes, or is no file at all."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from folders import png_path

from gutseg.data import cache as cache_file
from gutseg.data.cache import Cache
from gutseg.prepare import prepare


@pytest.fixture
def slice_3(raw):
    return png_path(raw, "train", "case2_day1", 3, 40, 48)


def _prepare(raw, tmp_path, **settings):
    prepare(raw, tmp_path / "cache", workers=1, **settings)
    return Cache(tmp_path / "cache")


def _skipped(tmp_path):
    table = pd.read_csv(tmp_path / "cache" / "skipped.csv")
    return [f"{where}: {problem}" for where, problem in table.itertuples(index=False)]


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_damaged_png_replaced_by_a_good_one_of_its_size_is_read(raw, tmp_path, slice_3, skip_bad):
    good = slice_3.read_bytes()
    times = (slice_3.stat().st_atime_ns, slice_3.stat().st_mtime_ns)
    slice_3.write_bytes(good[:200] + bytes(reversed(good[200:-12])) + good[-12:])
    os.utime(slice_3, ns=times)
    assert not _prepare(raw, tmp_path, skip_bad=True).scan("case2_day1").image[2].any()
    slice_3.write_bytes(good)
    os.utime(slice_3, ns=times)
    cache = _prepare(raw, tmp_path, skip_bad=skip_bad)
    np.testing.assert_array_equal(
        cache.scan("case2_day1").image[2], cv2.imdecode(np.frombuffer(good, np.uint8), -1)
    )
    assert _skipped(tmp_path) == [] and "case2_day1_slice_0003" in set(cache.index["id"])


def test_another_folder_of_the_same_names_and_sizes_is_read(raw, tmp_path):
    """The decoder stops at the end of the PNG, so zeros behind it make files equally long."""
    other = tmp_path / "other"
    shutil.copytree(raw, other)
    for path in other.rglob("*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path), -1)[::-1])
        twin = raw / path.relative_to(other)
        length = max(path.stat().st_size, twin.stat().st_size)
        for file in (path, twin):
            file.write_bytes(file.read_bytes().ljust(length, b"\0"))
    first = _prepare(raw, tmp_path)
    before = np.array(first.scan("case2_day1").image)
    second = _prepare(other, tmp_path)
    np.testing.assert_array_equal(second.scan("case2_day1").image, before[:, ::-1])


def test_the_fingerprint_follows_pixels_and_labels(raw, tmp_path, slice_3):
    first = _prepare(raw, tmp_path)
    before = {scan: first.fingerprint(scan) for scan in first.index["scan"].unique()}
    image = cv2.imread(str(slice_3), -1)
    image[5, 7] += 1
    cv2.imwrite(str(slice_3), image)
    text = (raw / "train.csv").read_text()
    row = next(line for line in text.splitlines() if line.startswith("case10_day0_slice_0004,st"))
    (raw / "train.csv").write_text(text.replace(row, "case10_day0_slice_0004,stomach,1 2"))
    second = _prepare(raw, tmp_path)
    changed = [scan for scan in before if second.fingerprint(scan) != before[scan]]
    assert changed == ["case2_day1", "case10_day0"]


def _cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [_cut, _flip, Path.unlink, lambda path: path.write_text("{}")])
@pytest.mark.parametrize(
    "name", ["image.npy", "mask.npy", "histogram.npy", "index.parquet", "scan.json"]
)
def test_a_cache_file_that_is_damaged_is_made_again(raw, tmp_path, name, spoil):
    first = _prepare(raw, tmp_path)
    files = {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*.*")}
    other = tmp_path / "cache" / "case10_day0" / "image.npy"
    before = other.stat().st_mtime_ns
    spoil(tmp_path / "cache" / "case2_day1" / name)
    again = _prepare(raw, tmp_path)
    assert again.index.equals(first.index) and other.stat().st_mtime_ns == before
    assert {path: path.read_bytes() for path in files} == files


NO_FILES = {
    "a pipe": (os.mkfifo, "is a pipe or a device, not a file"),
    "a folder": (Path.mkdir, "cannot be read: Is a directory"),
    "a broken link": (lambda p: p.symlink_to("nowhere"), "is a link to a file that does not"),
    "a device": (lambda p: p.symlink_to("/dev/null"), "is a pipe or a device"),
    "a link to itself": (lambda p: p.symlink_to(p.name), "cannot be read: Too many levels"),
    "no header": (
        lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82"),
        "the PNG has no IHDR chunk",
    ),
    "empty": (Path.touch, "not a PNG: the file is empty"),
}


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_png_is_named_or_skipped(raw, tmp_path, slice_3, what):
    make, message = NO_FILES[what]
    slice_3.unlink()
    make(slice_3)
    with pytest.raises(ValueError, match=f"slice_0003_48_40_1.50_1.50.png: .*{message}"):
        _prepare(raw, tmp_path)
    cache = _prepare(raw, tmp_path, skip_bad=True)
    assert len(_skipped(tmp_path)) == 1 and message in _skipped(tmp_path)[0]
    assert "case2_day1_slice_0003" not in set(cache.index["id"])


def test_a_png_that_cannot_be_opened_is_named(raw, tmp_path, slice_3, monkeypatch):
    """File modes do not hold for root, so the refusal is made."""
    opening = os.open

    def refuse(path, *flags, **settings):
        if Path(path) == slice_3:
            raise PermissionError(13, "Permission denied")
        return opening(path, *flags, **settings)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ValueError, match="slice_0003.*png: cannot be read: Permission denied"):
        _prepare(raw, tmp_path)


def test_a_png_that_vanishes_is_named(raw, tmp_path, slice_3, monkeypatch):
    reading = cache_file.read_file

    def vanish(path):
        slice_3.unlink(missing_ok=True)
        return reading(path)

    monkeypatch.setattr(cache_file, "read_file", vanish)
    with pytest.raises(ValueError, match=r"slice_0003_48_40_1.50_1.50.png: is gone"):
        _prepare(raw, tmp_path)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("case2", "case2"),
        ("case2/case2_day1", "case2/case2_day1/scans"),
        ("case2/case2_day1/scans", "case2/case2_day1/scans"),
    ],
)
def test_a_folder_that_cannot_be_listed_is_named(raw, tmp_path, part, named):
    """It was said that its scan has rows but no PNGs, with status 0."""
    folder = raw / "train" / part
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)
    message = f"train/{named}: this folder cannot be listed: Too many levels of symbolic links"
    with pytest.raises(ValueError, match=message):
        _prepare(raw, tmp_path)
    cache = _prepare(raw, tmp_path, skip_bad=True)
    assert "case2_day1" not in set(cache.index["scan"]) and _skipped(tmp_path) == [message]


def _csv(raw, change):
    path = raw / "train.csv"
    lines = path.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("case2_day1_slice_0003,small"))
    change(lines, at)
    path.write_bytes(os.fsencode("\n".join(lines) + "\n"))


def _put(line):
    return lambda lines, at: lines.__setitem__(at, line)


BAD_ROWS = {
    "too few fields": (
        _put("case2_day1_slice_0003,small_bowel"),
        "train.csv row 9: has 2 fields; expected id,class,segmentation",
    ),
    "an open quote": (
        _put('"case2_day1_slice_0003,small_bowel,1 5'),
        "train.csv row 9: has 4 fields; expected id,class,segmentation",
    ),
    "half a character": (
        _put("case2_day1_slice_0003,small_bowel\udce4,1 5"),
        "train.csv row 9: is not UTF-8 text: invalid continuation byte",
    ),
    "no row for a class": (
        lambda lines, at: lines.pop(at),
        "case2_day1_slice_0003: train.csv has no row for small_bowel",
    ),
    "too many fields": (
        _put("case2_day1_slice_0003,small_bowel,1 5,7 9"),
        "train.csv row 9: has 4 fields; expected id,class,segmentation",
    ),
    "a class in the place of another": (
        _put("case2_day1_slice_0003,liver,1 5"),
        "train.csv row 9: class 'liver' is not one of",
    ),
    "cut in the middle of a row": (
        lambda lines, at: lines.__setitem__(slice(at, None), ["case2_day1_slice_0003,small"]),
        "train.csv row 9: has 2 fields; expected id,class,segmentation",
    ),
    "after an empty line": (
        lambda lines, at: lines.__setitem__(slice(at, at + 1), ["", "case2_day1_slice_3,stomach,"]),
        "train.csv row 10: id 'case2_day1_slice_3' is not of the form",
    ),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_a_slice_whose_labels_are_in_doubt_is_not_trained_on(raw, tmp_path, what):
    """A row that is missing or cannot be read is not an organ that is missing."""
    change, message = BAD_ROWS[what]
    _csv(raw, change)
    with pytest.raises(ValueError, match="skip-bad"):
        _prepare(raw, tmp_path)
    cache = _prepare(raw, tmp_path, skip_bad=True)
    assert any(line.startswith(message) for line in _skipped(tmp_path))
    assert "case2_day1_slice_0003" not in set(cache.index["id"])
    assert "case2_day1_slice_0002" in set(cache.index["id"])


def test_case_numbers_beyond_the_integers_are_names_that_do_not_read(raw, tmp_path):
    name = f"case{'9' * 30}"
    (raw / "train" / "case10").rename(raw / "train" / name)
    (raw / "train" / name / "case10_day0").rename(raw / "train" / name / f"{name}_day0")
    text = (raw / "train.csv").read_text()
    (raw / "train.csv").write_text(text.replace("case10", name))
    with pytest.raises(ValueError, match=f"{name}_day0/scans/slice_0001.*does not read as"):
        _prepare(raw, tmp_path)
    cache = _prepare(raw, tmp_path, skip_bad=True)
    assert cache.index["scan"].unique().tolist() == ["case2_day1", "case2_day9"]


def test_nothing_readable_is_no_cache(raw, tmp_path, caplog):
    for path in raw.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no labelled slice could be read"):
        _prepare(raw, tmp_path, skip_bad=True)
    assert "and 17 more like these" in caplog.text
    assert not (tmp_path / "cache" / "index.parquet").exists()


def test_a_scan_too_large_for_the_memory_is_left_out(raw, tmp_path):
    path = png_path(raw, "train", "case2_day1", 9, 40, 48)
    for number in range(1, 10):
        path = png_path(raw, "train", "case2_day1", number, 40, 48)
        path.rename(path.with_name(f"slice_{number * 100:04d}_2048_2048_1.50_1.50.png"))
    text = (raw / "train.csv").read_text()
    for number in range(9, 0, -1):
        text = text.replace(f"case2_day1_slice_000{number}", f"case2_day1_slice_0{number}00")
    (raw / "train.csv").write_text(text)
    cache = _prepare(raw, tmp_path, skip_bad=True)
    assert cache.index["scan"].unique().tolist() == ["case2_day9", "case10_day0"]
    message = "case2_day1: case2_day1 has 801 x 2048 x 2048 voxels by its file names"
    assert any(line.startswith(message) for line in _skipped(tmp_path))


def test_names_that_no_terminal_shows_are_written_as_escapes(raw, tmp_path):
    folder = raw / "train" / "case2" / "case2_day1" / "scans"
    for name in (b"slice_\xff\n.png", b"slice_\x1b[31m.png"):
        (Path(os.fsdecode(bytes(folder) + b"/" + name))).touch()
    _prepare(raw, tmp_path, skip_bad=True)
    names = [line.split("scans/")[1].split(":")[0] for line in _skipped(tmp_path)]
    assert sorted(names) == [r"slice_\udcff\n.png", r"slice_\x1b[31m.png"]
