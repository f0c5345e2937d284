"""The three organs to be found: paths of stomach, small and large bowel in one patient.

Knots are (K, 4), written as rows of z, y, x and radius in mm for a patient of standard size;
anatomy.py scales and moves them. They were fitted to the table in docs/phantom.md.
"""

import numpy as np

from gutseg.synthetic.shapes import lengths

# Cecum, ascending colon, right flexure, transverse colon, left flexure, descending, sigmoid.
COLON = np.array(
    [
        [352, 322, 289, 260, 250, 266, 280, 274, 243, 202, 200, 230, 274, 314, 342, 364, 374, 398],
        [-54, -44, -36, -42, -76, -94, -100, -98, -88, -60, -34, -6, -8, -24, -46, -40, -8, 36],
        [-92, -110, -114, -106, -88, -62, -22, 26, 72, 100, 114, 122, 121, 114, 94, 52, 12, 0],
        [19, 21, 20, 18, 17, 16, 16, 15, 15, 14, 13, 12, 11, 11, 12, 13, 13, 15],
    ],
    float,
).T
ASCENDING, TRANSVERSE, DESCENDING = slice(0, 5), slice(5, 9), slice(9, 15)

# Fundus under the left diaphragm, body, antrum, pylorus.
STOMACH = np.array(
    [
        [154, 167, 189, 208, 226, 232, 231],
        [0, -12, -46, -76, -88, -78, -66],
        [44, 54, 54, 40, 10, -20, -34],
        [15, 21, 23, 21, 17, 12, 8],
    ],
    float,
).T

# Pylorus, round the head of the pancreas, across the aorta, up to the jejunum.
DUODENUM = np.array(
    [
        [236, 238, 262, 282, 280, 258],
        [-62, -40, -16, -12, -14, -26],
        [-40, -50, -52, -36, 8, 44],
        [9, 11, 11, 10, 10, 10],
    ],
    float,
).T


def colon_knots(case: np.random.Generator, day: np.random.Generator) -> np.ndarray:
    """Return the large bowel of a patient (case) on a day (day): (K, 4)."""
    knots = COLON.copy()
    calibre = np.exp(0.19 * case.standard_normal() + 0.07 * day.standard_normal())
    for part in (ASCENDING, TRANSVERSE, DESCENDING):
        stretch = np.exp(0.15 * case.standard_normal() + 0.10 * day.standard_normal())
        knots[part, 3] *= stretch
    knots[:, 3] *= min(1.02 * calibre, 1.4)
    # The transverse colon hangs down by a hand's breadth in some, and the flexures move freely.
    sag = 16 * case.standard_normal() + 7 * day.standard_normal()
    knots[TRANSVERSE, 0] += np.clip(sag, -20, 60)
    knots[4:6, 0] += 13 * case.standard_normal() + 6 * day.standard_normal()
    left = 30 * case.standard_normal() + 9 * day.standard_normal()
    knots[8:11, 0] += np.maximum(left, -45) * np.array([0.5, 1, 1])
    knots[:2, 0] += 14 * case.standard_normal()
    knots[:, :3] += 7 * case.standard_normal((len(knots), 3))
    knots[:, :3] += 3.5 * day.standard_normal((len(knots), 3))
    return knots


def pinch(path: np.ndarray, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Close a tube over a few centimetres here and there: bowel is often empty and flat.

    rate: closed stretches per metre. A closed stretch has radius 0 and parts the label.
    """
    along = lengths(path)
    path = path.copy()
    for _ in range(rng.poisson(rate * along[-1] / 1000)):
        middle, half = rng.uniform(0, along[-1]), rng.uniform(18, 34)
        path[np.abs(along - middle) < half, 3] = 0
    return path


def haustra(path: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a tube the pouches of the large bowel, one every 3 cm or so."""
    along = lengths(path)
    drift = np.cumsum(0.25 * rng.standard_normal(len(path)))
    phase = 2 * np.pi * along / rng.uniform(24, 36) + drift
    path = path.copy()
    path[:, 3] *= 1 + 0.13 * np.sin(phase)
    return path


def stomach_knots(case: np.random.Generator, day: np.random.Generator) -> np.ndarray:
    """Return the stomach of a patient on a day: (K, 4). Full or empty, it differs by the meal."""
    knots = STOMACH.copy()
    knots[:, 3] *= np.exp(0.08 * case.standard_normal() + 0.05 * day.standard_normal())
    knots[1:4, 3] *= np.exp(0.07 * day.standard_normal())
    # Between a steer horn (flat) and a hook (the antrum hangs down).
    hang = 13 * case.standard_normal() + 4 * day.standard_normal()
    knots[3:, 0] += np.clip(hang, -22, 30) * np.array([0.4, 1.0, 0.9, 0.7])
    knots[:, 0] += 14 * case.standard_normal() + 6 * day.standard_normal()
    knots[:, 1:3] += 9 * case.standard_normal(2) + 5 * day.standard_normal(2)
    knots[:, :3] += 5 * case.standard_normal((len(knots), 3))
    knots[:, :3] += 3 * day.standard_normal((len(knots), 3))
    return knots


def coil_knots(case: np.random.Generator, day: np.random.Generator) -> np.ndarray:
    """Return the jejunum and ileum: a long tube coiled up inside the colon's frame, (K, 4)."""
    top = 216 + 25 * case.standard_normal()
    centre = np.array([(top + 405) / 2, -58, 36]) + np.array([0, 5, 12]) * case.standard_normal(3)
    half = np.array([(405 - top) / 2, 62, 102]) * np.exp(0.08 * case.standard_normal(3))
    length = 28 * np.exp(0.18 * case.standard_normal())
    points = [centre + half * np.array([-0.8, -0.1, 0.35])]
    while len(points) < length:
        # Of several next places the one that keeps clear of the coil so far.
        away = case.standard_normal((10, 3)) * np.array([0.9, 0.9, 1.2])
        step = away / np.linalg.norm(away, axis=1, keepdims=True) * case.uniform(32, 58, (10, 1))
        offset = (points[-1] + step - centre) / half
        outside = np.maximum(1, np.linalg.norm(offset, axis=1, keepdims=True))
        options = centre + half * offset / outside
        gaps = np.linalg.norm(options[:, None] - np.array(points)[None], axis=2).min(1)
        points.append(options[gaps.argmax()])
    knots = np.array(points) + 8 * day.standard_normal((len(points), 3))
    radius = 12.8 * np.exp(0.14 * case.standard_normal() + 0.06 * day.standard_normal())
    radii = radius * np.exp(0.20 * day.standard_normal(len(knots)))
    return np.concatenate([knots, radii[:, None]], axis=1)


def duodenum_knots(pylorus: np.ndarray, day: np.random.Generator) -> np.ndarray:
    """Return the duodenum, hung on the end of the stomach: (K, 4)."""
    knots = DUODENUM.copy()
    fade = np.linspace(1, 0, len(knots))[:, None]
    knots[:, :3] += fade * (pylorus[:3] - STOMACH[-1, :3])
    knots[1:, :3] += 4 * day.standard_normal((len(knots) - 1, 3))
    return knots
