"""What lies in the belly besides the three organs to be found, and those three themselves."""

import numpy as np

from gutseg.synthetic.canvas import TISSUES, Canvas
from gutseg.synthetic.labels import Body
from gutseg.synthetic.roster import CONTENTS, SIGNALS, random


def draw_signals(seed: int, case: int) -> dict[str, float]:
    """Draw the signal of every tissue in one patient; fat in the belly varies the most."""
    rng = random(seed, case, 0, SIGNALS)
    signals = {
        name: s * float(np.exp(0.10 * rng.standard_normal())) for name, (s, _) in TISSUES.items()
    }
    signals["fat"] *= float(rng.uniform(0.8, 1.1))
    return signals


def paint_chest(canvas: Canvas) -> None:
    """Paint the heart, the blood in its chambers, and the gullet."""
    canvas.paint_ball("heart", (108, -38, 22), (44, 46, 56), turn=0.5, lumps_mm=4)
    canvas.paint_ball("vessel", (100, -30, 4), (30, 24, 22), lumps_mm=3)
    canvas.paint_ball("muscle", (104, -44, 36), (30, 13, 9), turn=0.7, lumps_mm=2)
    if canvas.level < 160:
        canvas.paint_ball(
            "vessel", (60, -6, 8 + 0.12 * (canvas.level - 60)), (140, 7, 9), lumps_mm=1
        )


def paint_upper(canvas: Canvas, inner: np.ndarray, below: np.ndarray) -> None:
    """Paint liver, spleen, gall bladder and pancreas.

    inner: distance to the inner wall, negative inside. below: distance to the diaphragm,
    negative below it. Both (H, W), mm; liver and spleen fit into the dome.
    """
    limits = np.maximum(inner + 2 + canvas.lumps, below + 0.5)
    parts = (
        ("liver", (204, -2, -78), (88, 84, 68), 3.0),
        ("liver", (182, -56, -8), (52, 40, 74), 4.0),
        ("spleen", (176, 34, 104), (44, 50, 34), 3.0),
    )
    for tissue, centre, radii, lumps_mm in parts:
        shape = canvas.ball(centre, radii, lumps_mm=lumps_mm)
        if shape is None:
            continue
        distance, box = shape
        distance = np.maximum(distance, limits[box])
        canvas.fill(distance, tissue, box)
        branch = np.abs(canvas.body.noise.at(canvas.index, 24.0, salt=9, box=box)) - 0.07
        canvas.fill(np.maximum(distance + 10, branch * 40), "strand", box)
    canvas.paint_ball("bile", (248, -40, -84), (26, 20, 12), turn=-0.5, lumps_mm=1.5)
    canvas.paint_ball("pancreas", (222, -30, 24), (16, 11, 52), turn=-0.25, lumps_mm=5)
    canvas.paint_ball("pancreas", (240, -34, -22), (24, 15, 16), lumps_mm=4)


def paint_kidneys(canvas: Canvas) -> None:
    """Paint the kidneys in their fat: a grey cortex round bright fat that opens to the spine."""
    for side, z in ((-1, 244), (1, 234)):
        turn = side * 0.5
        where = (z, 34, 10 + side * 66)
        canvas.paint_ball("fat", where, (52, 35, 28), turn=turn, lumps_mm=4)
        canvas.paint_ball("kidney", where, (46, 31, 24), turn=turn, lumps_mm=1.5)
        canvas.paint_ball("fat", (z, 28, 10 + side * 58), (26, 12, 10), turn=turn, lumps_mm=6)


def paint_back(canvas: Canvas, to_wall: np.ndarray) -> None:
    """Paint spine, muscles of the back, psoas and the great vessels.

    to_wall: distance to the outer side of the muscle wall, mm, negative inside, (H, W).
    """
    level = canvas.level
    bow = 6 * np.cos((level - 250) / 60) + 20 * np.clip((level - 330) / 90, 0, 1.2)
    pelvis = float(np.interp(level, [318, 350], [0, 1]))
    for side in (-1, 1):
        muscle = (level, 65 + bow, 10 + side * 32), (np.inf, 29 - 9 * pelvis, 34)
        _paint_strands(canvas, muscle, side, to_wall)
        growth = float(np.interp(level, [215, 270, 350, 432], [0, 15, 23, 20]))
        if growth > 3:
            spread = float(np.interp(level, [215, 300, 432], [30, 42, 66]))
            forward = float(np.interp(level, [215, 300, 432], [22, 16, -8]))
            where = (level, forward, 10 + side * spread)
            canvas.paint_ball("muscle", where, (np.inf, growth, growth * 0.85), lumps_mm=1.5)
    _paint_vertebra(canvas, bow, pelvis)
    split = float(np.clip((level - 300) / 100, 0, 1))
    for side, (y, x) in ((-1, (-14, -6)), (1, (-14, 26))):
        where = (level, y + 18 * split, x + side * 38 * split)
        radii = (np.inf, 10 - 3 * split, 11 - 3 * split)
        canvas.paint_ball("vessel", where, radii, lumps_mm=0.8)


def _paint_strands(canvas: Canvas, muscle: tuple, side: int, to_wall: np.ndarray) -> None:
    """Paint a muscle of the back with strands of fat between its bundles."""
    shape = canvas.ball(*muscle, turn=side * 0.3, lumps_mm=3)
    if shape is None:
        return
    distance, box = shape
    distance = np.maximum(distance, to_wall[box] + 1)
    canvas.fill(distance, "muscle", box)
    for cell, width in ((9.0, 0.16), (4.5, 0.10)):
        bundle = np.abs(canvas.body.noise.at(canvas.index, cell, salt=10 + side, box=box))
        canvas.fill(np.maximum(distance + 2, (bundle - width) * cell), "strand", box)


def _paint_vertebra(canvas: Canvas, bow: float, pelvis: float) -> None:
    """Paint a vertebral body (a disc between two of them) or the sacrum, and the canal."""
    level = canvas.level

    def column(tissue: str, y: float, radius_y: float, radius_x: float, lumps_mm: float) -> None:
        radii = (np.inf, radius_y, radius_x)
        canvas.paint_ball(tissue, (level, y + bow, 10), radii, lumps_mm=lumps_mm)

    is_disc = np.cos(2 * np.pi * level / 33) > 0.62 and pelvis < 0.5
    wide = 22 + 30 * pelvis
    column("bone", 26, 17, wide, 1)
    column("disc" if is_disc else "marrow", 26, 15, wide - 2, 1)
    # The arch reaches sideways at mid-vertebra only; the spinous process points straight back.
    arch = 0.5 - 0.5 * np.cos(2 * np.pi * level / 33)
    column("bone", 50, 9, 13 + 16 * arch, 1)
    column("bone", 62, 16, 4, 1.5)
    column("marrow", 63, 13, 2, 1.0)
    column("spinal_fluid", 49, 7.5, 9, 0)
    if level < 250:
        column("cord", 49, 4.5, 5, 0)


def paint_lower(canvas: Canvas, inner: np.ndarray) -> None:
    """Paint the vessels in the fat of the bowels' root, and the bladder."""
    if canvas.level > 190:
        patch = canvas.body.noise.at(canvas.index, 40.0, salt=13) + 0.4
        y = canvas.y - canvas.anatomy.outline.place([0, -20, 0])[1]
        root = np.maximum(np.maximum(inner + 12, y), -patch * 20)
        for cell, width in ((14.0, 0.07), (6.0, 0.06)):
            strings = np.abs(canvas.body.noise.at(canvas.index, cell, salt=12)) - width
            canvas.fill(np.maximum(root, strings * 2.2 * cell), "vessel")
        smudges = (1.5 - canvas.body.noise.at(canvas.index, 12.0, salt=14)) * 8
        canvas.fill(np.maximum(root, smudges), "strand")
    canvas.paint_ball("bladder", (436, -34, 6), (44, 30, 42), lumps_mm=3)


class Contents:
    """What fills an organ along its path: signal, how coarse it is, and how far gas stands."""

    def __init__(self, body: Body, seed: int, case: int, day: int):
        rng = random(seed, case, day, CONTENTS)
        sizes = [len(tube.path) for tube in body.organs]
        # large bowel, small bowel, stomach
        self.signal = [
            0.25 + 0.05 * _along(rng, sizes[0], 25) + 0.25 * (_along(rng, sizes[0], 20) > 1.7),
            0.36 + 0.08 * _along(rng, sizes[1], 30) + 0.30 * (_along(rng, sizes[1], 15) > 1.6),
            0.27 + 0.04 * rng.standard_normal() + 0.02 * _along(rng, sizes[2], 12),
        ]
        # Height of the fluid under the gas, mm: level, as the patient lies on the back.
        large, small, stomach = (tube.path for tube in body.organs)
        full = np.quantile(stomach[:, 1], rng.uniform(0.0, 0.35))
        self.gas_mm = [
            _level(large, rng.uniform(-0.4, 0.7)) + _pocket(rng, sizes[0], 0.7),
            _level(small, rng.uniform(-0.5, 0.2)) + _pocket(rng, sizes[1], 1.6),
            np.full(sizes[2], rng.choice([NO_GAS_MM, full], p=[0.35, 0.65])),
        ]
        self.wall = [float(v) for v in 0.31 + 0.03 * rng.standard_normal(3)]


# (strength, cell in mm) of the texture: faeces are mottled, folds of the small bowel feathery.
GRAIN = ((0.085, 4.5), (0.075, 2.6), (0.035, 7.0))
GAS = 0.07
NO_GAS_MM = -1000.0


def _along(rng: np.random.Generator, count: int, points: float) -> np.ndarray:
    """Return smooth noise along a path, unit variance; points: how many go together."""
    knots = rng.standard_normal(int(count / points) + 3)
    return 1.2 * np.interp(np.arange(count) / points, np.arange(len(knots)), knots)


def _level(path: np.ndarray, share: float) -> np.ndarray:
    """Return a height that hardly changes along a path, mm, share of a radius off the middle."""
    blunt = np.pad(path[:, 1], 12, mode="edge")
    return np.convolve(blunt, np.full(25, 1 / 25), "valid") + share * np.median(path[:, 3])


def _pocket(rng: np.random.Generator, count: int, above: float) -> np.ndarray:
    """Return how far gas is pressed out of the way along a path, mm: 0 where there is a pocket."""
    return np.clip((_along(rng, count, 14) - above) * 40, NO_GAS_MM, 0)


def paint_gut(canvas: Canvas, contents: Contents) -> None:
    """Paint the three organs, wall and content, from the distances that make the labels."""
    for order in (1, 0, 2):
        tube = canvas.body.organs[order]
        layer, box = canvas.index - tube.box[0].start, tube.box[1:]
        if not 0 <= layer < len(tube.distance):
            continue
        distance, owner = tube.distance[layer], tube.owner[layer]
        if not (distance < canvas.edge_mm).any():
            continue
        part = canvas.image[box]
        strength, cell = GRAIN[order]
        grain = canvas.body.noise.at(canvas.index, cell, salt=20 + order, box=box)
        inside = contents.signal[order][owner] + strength * grain
        # Patients lie on their backs: gas collects in front.
        gas = canvas.cover(canvas.y[box[0]] - contents.gas_mm[order][owner])
        inside += gas * (GAS - inside)
        lumen = canvas.cover(distance + 2.2)
        signal = contents.wall[order] + lumen * (inside - contents.wall[order])
        part += canvas.cover(distance) * (np.maximum(signal, 0.02) - part)
