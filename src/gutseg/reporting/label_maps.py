"""Maps of class numbers as PNG files with a palette: viewers show colours, readers get numbers."""

import struct
import zlib
from colorsys import hsv_to_rgb
from pathlib import Path

import numpy as np

from gutseg.files import replacing

# Black, then Okabe-Ito: told apart with every kind of colour vision.
FIRST = bytes.fromhex("000000 e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7")
GOLDEN = 0.618  # of the circle of hues, so that neighbouring numbers differ most


def palette(classes: int) -> bytes:
    """Return red, green and blue of every class, three bytes each."""
    others = (hsv_to_rgb(number * GOLDEN % 1, 1, 0.7) for number in range(len(FIRST) // 3, classes))
    return (FIRST + bytes(round(255 * part) for one in others for part in one))[: 3 * classes]


def write_label_map(path: Path, numbers: np.ndarray, classes: int) -> None:
    """Write class numbers (H, W), 0 to classes - 1, as an 8-bit PNG with a palette."""
    height, width = numbers.shape
    # every row begins with the number of its filter, 0 for none
    rows = np.pad(numbers.astype(np.uint8), ((0, 0), (1, 0)))
    # 8 bits, colours from a palette, and no other choice of the format's
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0),
        b"PLTE": palette(classes),
        b"IDAT": zlib.compress(rows.tobytes()),
        b"IEND": b"",
    }
    with replacing(path) as temporary:
        parts = (_chunk(kind, content) for kind, content in chunks.items())
        temporary.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
