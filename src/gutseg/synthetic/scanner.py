"""The look of the pictures: coil sensitivity, blur, ghosts of breathing, Rician noise, scale."""

from dataclasses import dataclass

import cv2
import numpy as np

from gutseg.synthetic.labels import Body
from gutseg.synthetic.outline import ANGLES, NUM_ANGLES
from gutseg.synthetic.roster import SCANNER, random

# Largest grey value of a scan: the real ones lie between 200 and 15,865.
LARGEST = (200, 15_865)


@dataclass(frozen=True)
class Scanner:
    """How one scan was taken."""

    # relative to the signal of fat under the skin
    noise: float
    # of breathing, likewise
    ghost: float
    # grey value of the brightest voxel
    largest: int
    # (z, y, x) in mm, near a coil element
    hot_spot: np.ndarray
    # which of the smooth fields the sensitivity follows
    salt: int


def draw_scanner(seed: int, case: int, day: int, body: Body) -> Scanner:
    """Draw how one scan was taken."""
    rng = random(seed, case, day, SCANNER)
    largest = np.exp(rng.uniform(*np.log(LARGEST)))
    outline, depth = body.anatomy.outline, rng.uniform(0.3, 0.7)
    level = outline.level(float(body.grid.z[int(depth * len(body.grid.z))]))
    place = int(rng.integers(NUM_ANGLES))
    away = outline.skin(level)[place] - 6
    spot = outline.place([level, 0, 0]) + away * np.array(
        [0, np.sin(ANGLES[place]), np.cos(ANGLES[place])]
    )
    return Scanner(
        noise=float(0.022 * np.exp(0.3 * rng.standard_normal())),
        ghost=float(rng.uniform(0.01, 0.05)),
        largest=round(largest),
        hot_spot=spot,
        salt=int(rng.integers(30, 40)),
    )


def sensitivity(body: Body, scanner: Scanner, index: int) -> np.ndarray:
    """Return the coil's sensitivity over one slice, (H, W): low at head and foot end."""
    grid = body.grid
    z = float(grid.z[index])
    middle = 0.5 * (float(grid.z[0]) + float(grid.z[-1])) + 12
    reach = 0.40 * (float(grid.z[-1]) - float(grid.z[0]))
    along = np.exp(-(((z - middle) / reach) ** 2))
    y, x = grid.y[:, None], grid.x[None, :]
    rim = 0.85 + 0.35 * ((y / 130) ** 2 + (x / 190) ** 2).clip(0, 1.5)
    smooth = 1 + 0.13 * body.noise.at(index, 150.0, salt=scanner.salt)
    dz, dy, dx = scanner.hot_spot
    spot = np.exp(-(((y - dy) / 22) ** 2 + ((x - dx) / 22) ** 2 + ((z - dz) / 20) ** 2))
    return (along * rim * smooth * (1 + 0.8 * spot)).astype(np.float32)


def expose(
    image: np.ndarray, body: Body, scanner: Scanner, index: int, rng: np.random.Generator
) -> np.ndarray:
    """Turn the signal of a slice into what the scanner measures; both (H, W), fat = 1."""
    seen = sensitivity(body, scanner, index)
    signal = cv2.GaussianBlur(image * seen, (3, 3), 0.55)
    # Breathing repeats the moving front of the body along the phase direction, front to back.
    step = int(rng.integers(len(body.grid.y) // 14, len(body.grid.y) // 7))
    moving = cv2.GaussianBlur(signal, (1, 5), 1.2) - cv2.GaussianBlur(signal, (1, 11), 3.0)
    for shift, weight in ((step, 1.0), (-step, 1.0), (2 * step, 0.5), (-2 * step, 0.5)):
        signal = signal + scanner.ghost * weight * rng.uniform(0.3, 1) * np.roll(moving, shift, 0)
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32)
    noise *= scanner.noise * (0.1 + 0.5 * np.minimum(seen, 1.2))
    return np.hypot(signal + noise[0], noise[1])


def develop(volume: np.ndarray, body: Body, scanner: Scanner) -> np.ndarray:
    """Scale measured values to grey values, (Z, H, W) uint16; the brightest is scanner.largest."""
    y = body.grid.y[:, None] / body.grid.y[-1]
    x = body.grid.x[None, :] / body.grid.x[-1]
    # Nothing is seen beyond the bulging rim of the scanner's undistorted field.
    volume *= (np.abs(x) < 0.985 - 0.03 * y**2) & (np.abs(y) < 0.99 - 0.05 * x**2)
    volume *= np.float32(scanner.largest / volume.max())
    return np.rint(volume, out=volume).astype(np.uint16)
