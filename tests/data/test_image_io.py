"""Pictures that are no pictures: named in one sentence, and nothing is waited for."""

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from gutseg.data.image_io import list_pngs, read_grey, read_numbers, read_rgb


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "1.png"
    assert cv2.imwrite(str(path), np.arange(48, dtype=np.uint8).reshape(6, 8))
    return path


def _claim(width, height):
    def write(path, data):
        path.write_bytes(data[:16] + struct.pack(">II", width, height) + data[24:])

    return write


NO_PICTURES = {
    "a pipe": (lambda p, _: os.mkfifo(p), "is a pipe or a device, not a file"),
    "a folder": (lambda p, _: p.mkdir(), "cannot be read: Is a directory"),
    "a broken link": (lambda p, _: p.symlink_to("gone"), "is a link to a file that does not exist"),
    "nothing": (lambda p, _: None, "is gone"),
    "an empty file": (lambda p, _: p.touch(), "not a PNG: the file is empty"),
    "no header": (lambda p, d: p.write_bytes(d[:8] + d[33:]), "damaged: the PNG has no IHDR chunk"),
    "only an end": (lambda p, d: p.write_bytes(d[:8] + d[-12:]), "damaged: the PNG has no IHDR"),
    "a giant": (_claim(65536, 65536), "claims 65536x65536 pixels; expected at most 67108864"),
}


@pytest.mark.parametrize("read", [read_rgb, read_grey, read_numbers])
@pytest.mark.parametrize("what", NO_PICTURES)
def test_what_is_no_picture_is_named(png, read, what):
    make, message = NO_PICTURES[what]
    data = png.read_bytes()
    png.unlink()
    make(png, data)
    with pytest.raises(ValueError, match=f"{png}:? {message}"):
        read(png)


def test_a_tif_that_claims_too_much_does_not_decode(tmp_path):
    path = tmp_path / "1.tif"
    assert cv2.imwrite(str(path), np.zeros((6, 8), np.uint8))
    data = path.read_bytes()
    width = data.index(struct.pack("<HHIH", 256, 3, 1, 8))
    path.write_bytes(data[: width + 2] + struct.pack("<HII", 4, 1, 2**31 - 1) + data[width + 12 :])
    with pytest.raises(ValueError, match="1.tif does not decode as a picture"):
        read_rgb(path)


def test_a_file_beyond_every_picture_is_not_read(png):
    os.truncate(png, 2**28 + 1)  # a file with a hole takes no place on the disk
    with pytest.raises(ValueError, match="has 268435457 bytes; expected at most 268435456"):
        read_rgb(png)


def test_listing_counts_pngs_as_people_do(tmp_path):
    for name in ("10.png", "9.png", ".8.png", "7.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_pngs(tmp_path)] == ["9.png", "10.png"]
    with pytest.raises(FileNotFoundError, match="holds no"):
        list_pngs(Path(tmp_path / "nowhere"))
