"""A whole scan, image and labels."""

from dataclasses import dataclass

import numpy as np

from gutseg.synthetic.canvas import Canvas
from gutseg.synthetic.frame import Frame, paint_frame, paint_lungs
from gutseg.synthetic.labels import draw_body, masks
from gutseg.synthetic.organs import (
    Contents,
    draw_signals,
    paint_back,
    paint_chest,
    paint_gut,
    paint_kidneys,
    paint_lower,
    paint_upper,
)
from gutseg.synthetic.roster import Visit
from gutseg.synthetic.scanner import develop, draw_scanner, expose
from gutseg.synthetic.streams import RECEIVER, random


@dataclass(frozen=True)
class Drawing:
    """A drawn scan."""

    # (Z, H, W) uint16
    image: np.ndarray
    # (Z, H, W) uint8, bit c = class c of CLASSES
    mask: np.ndarray


def draw_scan(seed: int, scan: Visit) -> Drawing:
    """Draw image and labels of a scan; they depend on nothing but the arguments."""
    body = draw_body(seed, scan)
    frame = Frame(body.grid, body.anatomy.outline)
    signals = draw_signals(seed, scan.case)
    contents = Contents(body, seed, scan.case, scan.day)
    scanner = draw_scanner(seed, scan.case, scan.day, body)
    rng = random(seed, scan.case, scan.day, RECEIVER)
    volume = np.empty(scan.voxels.shape, np.float32)
    for index in range(len(volume)):
        canvas = Canvas(body, index, signals)
        paint(canvas, frame, contents)
        volume[index] = expose(canvas.image, body, scanner, index, rng)
    return Drawing(develop(volume, body, scanner), masks(body))


def paint(canvas: Canvas, frame: Frame, contents: Contents) -> None:
    """Paint one slice, from the skin inwards; what comes later covers what came before."""
    to_wall, inner = paint_frame(canvas, frame)
    below = paint_lungs(canvas, inner)
    paint_chest(canvas)
    paint_lower(canvas, inner)
    paint_upper(canvas, inner, below)
    paint_kidneys(canvas)
    paint_back(canvas, to_wall)
    paint_gut(canvas, contents)
