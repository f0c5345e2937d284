"""One patient on one day: where everything lies, in mm."""

from dataclasses import dataclass, field

import numpy as np

from gutseg.synthetic import gut
from gutseg.synthetic.outline import Outline
from gutseg.synthetic.roster import DAY, PATIENT, random
from gutseg.synthetic.shapes import push_off, smooth_path


@dataclass(frozen=True)
class Anatomy:
    """A patient on a day. Paths are (N, 4): points (z, y, x) and radius in mm, see shapes.py."""

    outline: Outline
    # below this z nothing is annotated although the bowel continues; real labels end the same
    # way, on one slice
    label_end_mm: float
    # whether the arms lie in the field of view
    has_arms: bool
    # how far labels (large and small bowel, small bowel and stomach, large bowel and stomach)
    # reach into each other; negative is a gap
    overlap_mm: list[float]
    large_bowel: np.ndarray = field(repr=False)
    small_bowel: np.ndarray = field(repr=False)
    stomach: np.ndarray = field(repr=False)


def draw_anatomy(seed: int, case_number: int, day_number: int, is_large: bool) -> Anatomy:
    """Draw a patient (the same on every day) and what differs on the day."""
    case = random(seed, case_number, 0, PATIENT)
    day = random(seed, case_number, day_number, DAY)
    size = 1.17 if is_large else 1.0
    outline = _draw_outline(case, day, size)
    # Near the wings of the pelvis: a network must be able to tell where the labels end.
    end_level = 336 + 6 * case.standard_normal() + 6 * day.standard_normal()
    label_end = outline.place([end_level, 0, 0])[0]
    has_arms = bool(case.random() < 0.6) and is_large

    stomach = gut.stomach_knots(case, day)
    colon = gut.colon_knots(case, day)
    coil = gut.coil_knots(case, day)
    duodenum = gut.duodenum_knots(stomach[-1], day)

    def tube(knots: np.ndarray, step_mm: float) -> np.ndarray:
        path = np.concatenate([outline.place(knots[:, :3]), knots[:, 3:] * size**0.5], axis=1)
        return outline.confine(smooth_path(path, step_mm))

    # Who gives way to whom: the small bowel to the large, and both to the stomach.
    stomach = tube(stomach, 4.0)
    colon = outline.confine(push_off(tube(colon, 4.0), stomach, 0.9))
    colon = gut.haustra(gut.pinch(colon, day, rate=0.8), day)
    duodenum = push_off(tube(duodenum, 3.0), colon, 0.9)
    coil = push_off(tube(coil, 3.0), stomach, 0.8)
    coil = outline.confine(push_off(coil, colon, 0.75))
    coil = gut.pinch(coil, day, rate=0.5)
    # Some of the small bowel is always annotated: at least 8 cm of its height.
    label_end = max(label_end, coil[:, 0].min() + 80)
    touch = day.random(3) < np.array([0.92, 0.70, 0.18])
    deep = np.array([0.1, 0.3, 0.1]) + day.exponential([0.08, 0.8, 0.05])
    deep = np.minimum(deep, np.array([0.35, 2.5, 0.25]))
    return Anatomy(
        outline=outline,
        label_end_mm=float(np.clip(label_end, 270, 405)),
        has_arms=has_arms,
        overlap_mm=np.where(touch, deep, -1.2).tolist(),
        large_bowel=colon,
        small_bowel=np.concatenate([duodenum, coil]),
        stomach=stomach,
    )


def _draw_outline(case: np.random.Generator, day: np.random.Generator, size: float) -> Outline:
    """Draw the body: its size and place, how fat it is, and its outline."""
    spread = np.exp(0.05 * case.standard_normal(3))
    shift = np.array([25, 7, 9]) * case.standard_normal(3)
    shift += np.array([8, 3, 4]) * day.standard_normal(3) + np.array([0, -2, 0])
    # Strength of the harmonics 2 to 6: 1.6 % of the radius and less.
    waves = case.standard_normal((5, 2)) * np.array([[16], [12], [10], [6], [5]]) / 1000
    return Outline(
        scale=spread * np.array([1.0, size, size]),
        shift=shift,
        fat=float(np.exp(0.30 * case.standard_normal())),
        heft=float(np.exp(0.04 * case.standard_normal())),
        waves=waves,
    )
