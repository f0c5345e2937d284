"""The frame of the body as it is painted: skin, fat, muscle wall, ribs, lungs, pelvis, arms."""

import numpy as np

from gutseg.synthetic.canvas import Canvas
from gutseg.synthetic.outline import FROM_BACK

# Layers of the pelvic wall and how deep each reaches in mm, the deepest first: iliac muscle,
# the ilium's inner shell, marrow, outer shell, gluteal muscle.
PELVIS = (("muscle", 56), ("bone", 45), ("marrow", 42), ("bone", 30), ("muscle", 27))


def paint_frame(canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Paint the body's layers; return the distances to the muscle wall, outer and inner side.

    Both (H, W), mm, negative inside.
    """
    outline = canvas.anatomy.outline
    wall = outline.wall(canvas.level)
    if canvas.anatomy.has_arms:
        _paint_arms(canvas)
    canvas.fill(canvas.beyond(outline.skin(canvas.level)), "skin_fat")
    to_wall = canvas.beyond(wall)
    canvas.fill(to_wall + 1.2 * canvas.lumps, "muscle")
    inner = canvas.beyond(outline.cavity(canvas.level))
    # Three flat muscles lie on each other; a film of fat shows between them.
    canvas.fill(np.abs(inner - 4.5 + canvas.lumps) - 0.4, "pancreas")
    if canvas.level < 215:
        _paint_ribs(canvas, wall)
    canvas.fill(inner, "fat")
    if canvas.level > 310:
        _paint_pelvis(canvas, to_wall)
    return to_wall, inner


def _paint_arms(canvas: Canvas) -> None:
    for side in (-1, 1):
        where = (260, 40, side * 212)
        canvas.paint_ball("skin_fat", where, (900, 44, 38), lumps_mm=0.8)
        canvas.paint_ball("muscle", where, (900, 33, 27), lumps_mm=1.2)
        canvas.paint_ball("marrow", where, (900, 9, 9))


def _paint_ribs(canvas: Canvas, wall: np.ndarray) -> None:
    """Ribs run down obliquely in the wall: bright marrow with fat between, dark gaps."""
    run = 0.5 + 0.5 * np.cos(2 * np.pi * (canvas.level / 26 + 2.2 * np.cos(FROM_BACK)))
    bright = np.clip(2.5 * run - 1.2, 0, 1) * np.interp(canvas.level, [170, 215], [1, 0])
    canvas.fill(np.abs(canvas.beyond(wall - 7)) + 1 - 3.2 * canvas.around(bright), "marrow")


def _paint_pelvis(canvas: Canvas, to_wall: np.ndarray) -> None:
    """Gluteal muscle, the wing of the ilium and the muscle lining it, layer by layer inwards."""
    grown = float(np.interp(canvas.level, [310, 350, 430], [0, 0.7, 1]))
    facing = grown * np.exp(-(((FROM_BACK - 1.1) / 0.55) ** 2))
    shown = canvas.around(facing)
    depth = 2.0 * canvas.lumps - to_wall
    for tissue, until in PELVIS:
        canvas.fill(np.maximum(depth - until * shown, to_wall), tissue)
    streak = np.abs(canvas.body.noise.at(canvas.index, 13.0, salt=6)) - 0.10
    gluteal = np.maximum(depth - 27 * shown, streak * 12 + 1.0)
    canvas.fill(np.maximum(gluteal, 6 - depth), "fat")


def paint_lungs(canvas: Canvas, inner: np.ndarray) -> np.ndarray:
    """Paint the lungs above the diaphragm; return the distance below it, mm, negative below."""
    outline = canvas.anatomy.outline
    middle, scale = outline.place([0, 0, 4]), outline.scale
    y = (canvas.y - middle[1]) / scale[1]
    x = (canvas.x - middle[2]) / scale[2]
    right = 128 + 40 * ((x + 72) / 75) ** 2
    left = 138 + 40 * ((x - 76) / 75) ** 2
    floor = np.where(x < 0, right, left) + 46 * ((y + 22) / 72) ** 2
    above = (canvas.level - floor) * 0.7 + 1.5 * canvas.lumps
    between = 24 + 12 * np.clip((150 - canvas.level) / 100, 0, 1) - np.abs(x)
    lungs = np.maximum(np.maximum(above, inner), between + 4 * canvas.lumps)
    if canvas.level < 260:
        canvas.fill(lungs, "lung")
        branch = np.abs(canvas.body.noise.at(canvas.index, 9.0, salt=8)) - 0.035
        canvas.fill(np.maximum(lungs + 6, branch * 60), "vessel")
    return -above
