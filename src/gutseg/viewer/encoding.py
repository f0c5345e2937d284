"""Scans as text for a browser: images as pictures, masks as runs, distances as numbers.

What is written here is read by assets/volume.js.
"""

from base64 import b64encode
from typing import Any

import cv2
import numpy as np

from gutseg.constants import CLASSES
from gutseg.data.volume import Scan
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.witness import witness
from gutseg.reporting.figures import COLOURS
from gutseg.viewer.scans import Shown

# voxels around the body and the masks in the first view
MARGIN = 6
# Slices of one picture, and what its slices are padded to: JPEG works in squares of 8 pixels.
STRIP, SQUARE = 16, 8
# per cent of the voxels that are darker than the darkest and the brightest shade of the first view
DARKEST, BRIGHTEST = 1.0, 99.5
# the same for what 8 bits hold
LARGEST = 99.95


def payload(shown: Shown, *, quality: int | None = None, reduce: int = 1) -> dict[str, Any]:
    """Return a scan as JSON can hold it.

    quality: of JPEG, 1 to 100; None keeps every 8-bit grey value, as PNG. reduce: rows and columns
    of the image are averaged by so many; masks keep their size.
    """
    scan, bits = shown.scan, None
    if shown.prediction is not None:
        bits = class_bits(shown.prediction)
    unseen = [] if shown.seen is None else np.flatnonzero(~shown.seen).tolist()
    top = max(scan.percentile(LARGEST), 1.0)
    return {
        "name": shown.name,
        "shape": list(scan.shape),
        "box": box(shown),
        "spacing": list(shown.spacing),
        "classes": [
            {"label": organ.replace("_", " "), "colour": COLOURS[organ]} for organ in CLASSES
        ],
        "greys": {
            "top": top,
            "low": scan.percentile(DARKEST),
            "high": min(scan.percentile(BRIGHTEST), top),
        },
        "image": pictures(scan, top, quality, reduce),
        "truth": None if scan.mask is None else text(runs(scan.mask)),
        "prediction": None if bits is None else text(runs(bits)),
        "unseen": unseen,
        "farthest": farthest(shown),
    }


def box(shown: Shown) -> list[list[int]]:
    """Return the first and the last + 1 voxel of each axis (Z, H, W) that are worth seeing.

    The body and all masks with MARGIN around them, also beyond the image; along z all of it.
    """
    depth = shown.scan.shape[0]
    top, bottom, left, right = shown.scan.body
    masks = [] if shown.scan.mask is None else [shown.truth]
    for found in (*masks, *([shown.prediction] if shown.prediction else [])):
        inside = np.bitwise_or.reduce(found.words, axis=(0, 1))  # (H, W64)
        rows = np.flatnonzero(inside.any(axis=1))
        line = np.bitwise_or.reduce(inside, axis=0).view(np.uint8)
        columns = np.flatnonzero(np.unpackbits(line, bitorder="little"))
        if len(rows):
            top, bottom = min(top, int(rows[0])), max(bottom, int(rows[-1]) + 1)
            left, right = min(left, int(columns[0])), max(right, int(columns[-1]) + 1)
    return [
        [0, depth],
        [top - MARGIN, bottom + MARGIN],
        [left - MARGIN, right + MARGIN],
    ]


def text(data: bytes) -> str:
    """Return bytes as base64."""
    return b64encode(data).decode()


def class_bits(masks: BitRows) -> np.ndarray:
    """Return masks (C, Z, H, W) as bytes (Z, H, W) whose bit c is class c."""
    inside = masks.to_arrays().view(np.uint8)
    shifted = (mask << bit for bit, mask in enumerate(inside))
    return np.bitwise_or.reduce(list(shifted))


def runs(values: np.ndarray) -> bytes:
    """Return bytes of any shape as runs: the value, then the length, seven bits a byte.

    The lowest bits come first; all bytes of a length but its last have the highest bit set.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    lengths = np.diff(starts, append=flat.size)
    rest = lengths[:, None] >> 7 * np.arange(6)  # (N, 6)
    coded = (rest[:, :5] & 127) | (rest[:, 1:] > 0) << 7
    needed = rest[:, :5] > 0
    table = np.c_[flat[starts], coded].astype(np.uint8)
    return table[np.c_[np.ones(len(starts), bool), needed]].tobytes()


def pictures(scan: Scan, top: float, quality: int | None, reduce: int) -> dict[str, Any]:
    """Return the image as pictures of STRIP slices below each other, 255 for `top` and above."""
    depth, height, width = (scan.shape[0], *(-(-side // reduce) for side in scan.shape[1:]))
    rows, columns = (-(-side // SQUARE) * SQUARE for side in (height, width))
    kind, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if quality is not None:
        kind, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]
    strips = []
    for first in range(0, depth, STRIP):
        greys = scan.image[first : first + STRIP].astype(np.float32) * np.float32(255 / top)
        shrunk = [_shrunk(plane, reduce) for plane in np.rint(greys.clip(0, 255))]
        edges = ((0, 0), (0, rows - height), (0, columns - width))
        # the border goes on, so that no edge rings into the slice
        strip = np.pad(np.rint(np.stack(shrunk)).astype(np.uint8), edges, mode="edge")
        _, coded = cv2.imencode(kind, strip.reshape(-1, columns), options)
        strips.append(text(coded.tobytes()))
    return {
        "type": "image/png" if quality is None else "image/jpeg",
        "shape": [depth, height, width],
        "reduce": reduce,
        "rows": rows,
        "strips": strips,
    }


def _shrunk(plane: np.ndarray, reduce: int) -> np.ndarray:
    """Average squares of pixels (H, W); at the end the border is repeated."""
    if reduce == 1:
        return plane
    height, width = plane.shape
    whole = np.pad(plane, ((0, -height % reduce), (0, -width % reduce)), mode="edge")
    squares = whole.reshape(whole.shape[0] // reduce, reduce, -1, reduce)
    return squares.mean(axis=(1, 3))


def farthest(shown: Shown) -> list[dict[str, Any] | None]:
    """Return by class where the Hausdorff distance is taken, in mm; None where there is none.

    Planes without a prediction do not count.
    """
    if shown.prediction is None or shown.scan.mask is None:
        return [None] * len(CLASSES)
    truth = shown.truth.words
    if shown.seen is not None:
        truth = np.where(shown.seen[:, None, None], truth, np.uint64(0))
    found = []
    for predicted, true in zip(shown.prediction.words, truth, strict=True):
        way = witness(predicted, true, spacing=shown.spacing)
        found.append(
            way
            and {
                "mm": way.distance,
                "voxel": way.voxel,
                "nearest": way.nearest,
                "in": "prediction" if way.in_first else "truth",
            }
        )
    return found
