"""Label pictures show colours and hold class numbers."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from gutseg.reporting.label_maps import FIRST, palette, write_label_map


def test_a_reader_of_pictures_sees_the_palette(tmp_path):
    numbers = np.array([[0, 1, 2], [2, 1, 0]])
    write_label_map(tmp_path / "a.png", numbers, 3)
    shown = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]  # (H, W, 3), red first
    colours = np.frombuffer(palette(3), np.uint8).reshape(3, 3)
    assert np.array_equal(shown, colours[numbers])
    assert colours.tolist() == [[0, 0, 0], [230, 159, 0], [86, 180, 233]]


def test_the_file_holds_the_numbers(tmp_path):
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_label_map(tmp_path / "a.png", numbers, 12)
    content = (tmp_path / "a.png").read_bytes()
    assert content[24:26] == bytes([8, 3])  # bits, and a palette
    start = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    rows = np.frombuffer(zlib.decompress(content[start + 4 : start + 4 + length]), np.uint8)
    assert np.array_equal(rows.reshape(3, 5)[:, 1:], numbers)


@pytest.mark.parametrize("classes", [2, 8, 9, 256])
def test_every_class_has_a_colour_of_its_own(classes):
    made = palette(classes)
    colours = [made[first : first + 3] for first in range(0, len(made), 3)]
    assert len(colours) == classes and len({*colours[:33]}) == min(classes, 33)
    assert made.startswith(FIRST[: 3 * min(classes, 8)])
