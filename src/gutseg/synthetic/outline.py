"""The outline of the body: how far skin, muscle and inner wall lie from its axis.

Seen from the axis every layer is a radius for every angle and height, so that a whole layer
costs one table look-up per voxel, and a point is inside when its own radius is smaller.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

NUM_ANGLES = 720
ANGLES = (np.arange(NUM_ANGLES) + 0.5) / NUM_ANGLES * 2 * np.pi - np.pi
# How much an angle looks to the front, the back and the sides (0 to 1).
FRONT, BACK = np.clip(-np.sin(ANGLES), 0, 1), np.clip(np.sin(ANGLES), 0, 1)
SIDE = np.abs(np.cos(ANGLES))
# Angle away from straight back, 0 to pi.
FROM_BACK = np.abs((ANGLES - np.pi / 2 + np.pi) % (2 * np.pi) - np.pi)

# Half width and depths (front, back) of the standard patient's body in mm by height.
HEIGHTS = np.array([-40, 0, 60, 110, 170, 240, 300, 340, 390, 440, 480])
HALF_WIDTH = np.array([150, 158, 168, 172, 172, 170, 168, 172, 182, 188, 190])
FRONT_DEPTH = np.array([82, 92, 105, 116, 125, 129, 127, 122, 114, 107, 102])
BACK_DEPTH = np.array([104, 106, 110, 112, 112, 112, 112, 112, 114, 118, 120])
# Fat under the skin in mm by height: in front, at the sides, at the back next to the spine.
FAT_FRONT = np.array([9, 10, 10, 10, 11, 14, 17, 18, 18, 16, 15])
FAT_SIDE = np.array([16, 14, 11, 9, 10, 12, 15, 19, 22, 21, 20])
FAT_BACK = np.array([9, 9, 9, 10, 14, 20, 24, 26, 26, 24, 24])

# Patients are scaled about this height, the middle of the bowels.
MIDDLE_Z = 250.0


@dataclass(frozen=True)
class Outline:
    """The body of a patient on a day."""

    # (z, y, x), from a standard patient to this one
    scale: np.ndarray
    # likewise, mm
    shift: np.ndarray
    # relative thickness of the fat under the skin
    fat: float
    # relative depth of the belly
    heft: float
    # (5, 2): how far the outline differs from a smooth oval, by harmonics of the angle
    waves: np.ndarray = field(repr=False)

    def place(self, points: ArrayLike) -> np.ndarray:
        """Move points (..., 3) of the standard patient to this one."""
        middle = np.array([MIDDLE_Z, 0.0, 0.0])
        return (np.asarray(points, float) - middle) * self.scale + middle + self.shift

    def level(self, z_mm: Any) -> Any:
        """Return heights in the standard patient of heights in this one: one or an array, mm."""
        return (z_mm - self.shift[0] - MIDDLE_Z) / self.scale[0] + MIDDLE_Z

    def skin(self, level: float) -> np.ndarray:
        """Radius of the skin at a height of the standard patient, mm by angle."""
        _, scale_y, scale_x = self.scale
        width = np.interp(level, HEIGHTS, HALF_WIDTH) * scale_x
        front = np.interp(level, HEIGHTS, FRONT_DEPTH) * scale_y * self.heft
        back = np.interp(level, HEIGHTS, BACK_DEPTH) * scale_y
        depth = np.where(ANGLES < 0, front, back)
        power = np.where(ANGLES < 0, 2.2, 2.6)
        away = (SIDE / width) ** power + (np.abs(np.sin(ANGLES)) / depth) ** power
        radius = away ** (-1 / power)
        for wave, (a, b) in enumerate(self.waves):
            phase = (wave + 2) * ANGLES + 0.004 * (wave - 2) * level
            radius = radius * (1 + a * np.cos(phase) + b * np.sin(phase))
        groove = np.exp(-((FROM_BACK / 0.10) ** 2))
        return radius - 7 * groove * np.interp(level, [150, 250, 330], [0, 1, 1])

    def wall(self, level: float) -> np.ndarray:
        """Outer radius of the muscle wall, mm by angle: the skin less the fat under it."""
        front, side, back = (
            np.interp(level, HEIGHTS, table) for table in (FAT_FRONT, FAT_SIDE, FAT_BACK)
        )
        # Over the spine itself there is little; to both sides of it the loins are padded.
        loins = BACK * np.clip(0.3 + SIDE, 0, 1)
        skin = self.skin(level)
        fat = self.fat * (front * FRONT**2 + side * SIDE**2 + back * loins)
        return np.maximum(skin - fat, 0.6 * skin)

    def cavity(self, level: float) -> np.ndarray:
        """Inner radius of the muscle wall, mm by angle."""
        thorax = np.interp(level, [170, 215], [1, 0])
        return self.wall(level) - (6 + 3 * SIDE + 5 * thorax)

    def confine(self, path: np.ndarray, *, gap_mm: float = 2.0) -> np.ndarray:
        """Push a tube inside the cavity and off the spine. path: (N, 4), with radius."""
        path = path.copy()
        bore = path[:, 3] + gap_mm
        # The spine and the great vessels bulge into the cavity; it deepens in the pelvis.
        away = (path[:, 2] - self.shift[2] - 10) / self.scale[2]
        depth = np.interp(self.level(path[:, 0]), [200, 340, 400], [24, 30, 62])
        floor = depth - 42 * np.exp(-((away / 48) ** 2))
        path[:, 1] = np.minimum(path[:, 1], floor * self.scale[1] + self.shift[1] - 0.8 * bore)
        y, x = path[:, 1] - self.shift[1], path[:, 2] - self.shift[2]
        angle = np.arctan2(y, x)
        room = np.empty(len(path))
        levels = np.round(self.level(path[:, 0]) / 3) * 3
        for level in np.unique(levels):
            here = levels == level
            room[here] = np.interp(angle[here], ANGLES, self.cavity(level))
        shrink = np.minimum(1, (room - bore) / np.maximum(np.hypot(y, x), 1))
        path[:, 1] = self.shift[1] + shrink * y
        path[:, 2] = self.shift[2] + shrink * x
        return path
