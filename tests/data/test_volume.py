import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from folders import read_png

from gutseg.data.volume import Scan, body_box, describe


@pytest.fixture
def png(tmp_path):
    image = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48) * 30
    path = tmp_path / "slice.png"
    cv2.imwrite(str(path), image)
    return path, image


def test_all_sixteen_bits_survive(png):
    path, image = png
    assert image.max() > 50_000
    np.testing.assert_array_equal(read_png(path, 40, 48), image)


def test_truncated(png):
    path, _ = png
    whole = path.read_bytes()
    for length in (100, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f"truncated after {length} bytes"):
            read_png(path, 40, 48)


def test_damaged_inside(png):
    path, _ = png
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="does not decode"):
        read_png(path, 40, 48)


def _with_pixels(data, change):
    """The PNG with other bytes in the place of its pixels."""
    end = 8 + 25
    body = zlib.compress(change(zlib.decompress(data[data.index(b"IDAT") + 4 : -16])))
    chunk = b"IDAT" + body
    packed = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:end] + packed + data[-12:]


@pytest.mark.parametrize(
    "change",
    [lambda rows: rows + bytes(97), lambda rows: rows[: -2 * 97], lambda rows: bytes(5_000_000)],
    ids=["a row too many", "two too few", "a bomb"],
)
def test_more_or_fewer_pixels_than_the_header_claims(png, change):
    path, image = png
    data = path.read_bytes()
    assert data.count(b"IDAT") == 1
    path.write_bytes(_with_pixels(data, bytes))
    np.testing.assert_array_equal(read_png(path, 40, 48), image)
    path.write_bytes(_with_pixels(data, change))
    with pytest.raises(ValueError, match="damaged: the PNG does not decode"):
        read_png(path, 40, 48)


def test_height_and_width_swapped(png):
    with pytest.raises(ValueError, match=r"is 48x40 \(width x height\); its name says 40x48"):
        read_png(png[0], 48, 40)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((40, 48), np.uint8), "a 8-bit grey PNG; expected 16-bit grey"),
        (np.zeros((40, 48, 3), np.uint8), "a 8-bit RGB PNG"),
        (np.zeros((40, 48, 3), np.uint16), "a 16-bit RGB PNG"),
        (np.zeros((40, 48, 4), np.uint8), "a 8-bit RGBA PNG"),
    ],
)
def test_other_kinds_of_png(tmp_path, image, message):
    cv2.imwrite(str(tmp_path / "x.png"), image)
    with pytest.raises(ValueError, match=message):
        read_png(tmp_path / "x.png", 40, 48)


def test_not_a_png(tmp_path):
    (tmp_path / "x.png").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="not a PNG"):
        read_png(tmp_path / "x.png", 40, 48)


def test_percentile_is_numpys_nearest_rank_on_the_whole_volume():
    rng = np.random.default_rng(0)
    image = rng.gamma(2, 300, (5, 30, 31)).astype(np.uint16)
    scan = describe("case1_day0", image)
    for percent in (0, 1, 25, 50, 99.5, 100):
        expected = np.percentile(image, percent, method="inverted_cdf")
        assert scan.percentile(percent) == expected


def test_body_box_encloses_the_body_and_not_the_speck():
    image = np.random.default_rng(0).integers(0, 8, (10, 100, 120)).astype(np.uint16)
    image[:, 20:70, 30:100] += 150
    image[:, 5:7, 5:7] += 900
    assert body_box(image, threshold=12) == (20, 70, 30, 100)
    assert body_box(np.zeros_like(image), threshold=12) == (0, 100, 0, 120)


def test_scan_shape_is_z_h_w():
    scan = Scan("case1_day0", np.zeros((3, 4, 5), np.uint16), np.array([60]), (0, 4, 0, 5))
    assert scan.shape == (3, 4, 5)


def _mapped_bytes() -> int:
    """Memory of this process that is pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssFile")).split()[1])


def test_a_released_scan_has_its_pages_read_again(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((8, 1024, 1024), np.uint8))
    mask = np.load(tmp_path / "mask.npy", mmap_mode="r")
    scan = Scan("case1_day0", np.zeros((8, 4, 4), np.uint16), np.array([1]), (0, 4, 0, 4), mask)
    assert scan.labels.sum() == 2**23
    before = _mapped_bytes()
    scan.release()
    assert before - _mapped_bytes() > 2**22
    assert scan.labels.sum() == 2**23
