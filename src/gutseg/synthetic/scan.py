"""A whole scan, image and labels."""

from dataclasses import dataclass

import numpy as np

from gutseg.synthetic import organs
from gutseg.synthetic.canvas import Canvas
from gutseg.synthetic.frame import paint_frame, paint_lungs
from gutseg.synthetic.labels import draw_body, masks
from gutseg.synthetic.roster import RECEIVER, Visit, random
from gutseg.synthetic.scanner import develop, draw_scanner, expose


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
    signals = organs.draw_signals(seed, scan.case)
    contents = organs.Contents(body, seed, scan.case, scan.day)
    scanner = draw_scanner(seed, scan.case, scan.day, body)
    rng = random(seed, scan.case, scan.day, RECEIVER)
    volume = np.empty(scan.voxels.shape, np.float32)
    for index in range(len(volume)):
        canvas = Canvas(body, index, signals)
        # From the skin inwards; what comes later covers what came before.
        to_wall, inner = paint_frame(canvas)
        below = paint_lungs(canvas, inner)
        organs.paint_chest(canvas)
        organs.paint_lower(canvas, inner)
        organs.paint_upper(canvas, inner, below)
        organs.paint_kidneys(canvas)
        organs.paint_back(canvas, to_wall)
        organs.paint_gut(canvas, contents)
        volume[index] = expose(canvas.image, body, scanner, index, rng)
    return Drawing(develop(volume, body, scanner), masks(body))
