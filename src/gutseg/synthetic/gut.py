"""The three organs to be found: paths of stomach, small and large bowel in one patient.

Knots are (z, y, x, radius) in mm for a patient of standard size; anatomy.py scales and moves
them. Radii and places were fitted to the table in docs/phantom.md.
"""

import numpy as np

from gutseg.synthetic.shapes import lengths

# Cecum, ascending colon, right flexure, transverse colon, left flexure, descending, sigmoid.
COLON = np.array(
    [
        (352, -54, -92, 19),
        (322, -44, -110, 21),
        (289, -36, -114, 20),
        (260, -42, -106, 18),
        (250, -76, -88, 17),
        (266, -94, -62, 16),
        (280, -100, -22, 16),
        (274, -98, 26, 15),
        (243, -88, 72, 15),
        (202, -60, 100, 14),
        (200, -34, 114, 13),
        (230, -6, 122, 12),
        (274, -8, 121, 11),
        (314, -24, 114, 11),
        (342, -46, 94, 12),
        (364, -40, 52, 13),
        (374, -8, 12, 13),
        (398, 36, 0, 15),
    ],
    float,
)
ASCENDING, TRANSVERSE, DESCENDING = slice(0, 5), slice(5, 9), slice(9, 15)

# Fundus under the left diaphragm, body, antrum, pylorus.
STOMACH = np.array(
    [
        (154, 0, 44, 15),
        (167, -12, 54, 21),
        (189, -46, 54, 23),
        (208, -76, 40, 21),
        (226, -88, 10, 17),
        (232, -78, -20, 12),
        (231, -66, -34, 8),
    ],
    float,
)

# Pylorus, round the head of the pancreas, across the aorta, up to the jejunum.
DUODENUM = np.array(
    [
        (236, -62, -40, 9),
        (238, -40, -50, 11),
        (262, -16, -52, 11),
        (282, -12, -36, 10),
        (280, -14, 8, 10),
        (258, -26, 44, 10),
    ],
    float,
)


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
