"""Synthetic masks for the benches: organs, their predictions, and the hostile pairs."""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import ndimage

# the competition's slice shapes (H, W): 266x266 and 310x360 in 144 slices are 94 % of its scans
SLICES = {
    "234x234": (234, 234),
    "266x266": (266, 266),
    "276x276": (276, 276),
    "310x360": (310, 360),
}
SHAPES = {"S80": (80, 266, 266), "M144": (144, 266, 266), "L144": (144, 310, 360)}
SHARES = {"stomach": 0.005, "bowel": 0.02, "huge": 0.05}
HOSTILE_SHAPE = SHAPES["M144"]

Pair = tuple[np.ndarray, np.ndarray]


def _smooth(shape: tuple[int, int, int], cell: int, rng: np.random.Generator) -> np.ndarray:
    """(Z, H, W) float32 noise of unit size that varies over about `cell` voxels."""
    coarse = rng.standard_normal([size // cell + 3 for size in shape]).astype(np.float32)
    grid = np.meshgrid(
        *[np.arange(size, dtype=np.float32) / cell for size in shape], indexing="ij", sparse=True
    )
    return ndimage.map_coordinates(coarse, np.broadcast_arrays(*grid), order=1)


@cache
def organ(shape: tuple[int, int, int], share: float, seed: int = 0) -> np.ndarray:
    """(Z, H, W) bool: a chain of noisy ellipsoids that fills `share` of the volume."""
    rng = np.random.default_rng([seed, *shape, round(share * 1000)])
    axes = [(np.arange(size, dtype=np.float32) + 0.5) / size for size in shape]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    field = np.full(shape, -np.inf, np.float32)
    centre = rng.uniform(0.4, 0.6, 3)
    for _ in range(5):
        radius = rng.uniform(0.6, 1.4, 3) * share ** (1 / 3) / 2
        parts = [((a - c) / r) ** 2 for a, c, r in zip((z, y, x), centre, radius, strict=True)]
        np.maximum(field, -np.sqrt(sum(parts)), out=field)
        centre = np.clip(centre + rng.uniform(-1, 1, 3) * radius * 1.2, 0.2, 0.8)
    field += 0.15 * _smooth(shape, 9, rng)
    return field > np.quantile(field[::2, ::2, ::2], 1 - share)


@cache
def prediction(shape: tuple[int, int, int], share: float, seed: int = 0) -> np.ndarray:
    """(Z, H, W) bool: the organ, smoothly warped by a few voxels, and four far specks."""
    rng = np.random.default_rng([seed, 1])
    truth = organ(shape, share, seed)
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    warped = [
        np.clip(axis + amount * _smooth(shape, 24, rng), 0, size - 1).astype(np.intp)
        for axis, amount, size in zip(grid, (1.0, 2.5, 2.5), shape, strict=True)
    ]
    mask = truth[tuple(warped)]
    for _ in range(4):
        z, y, x = (int(rng.integers(size - 3)) for size in shape)
        mask[z : z + 2, y : y + 3, x : x + 3] = True
    return mask


def organ_pair(shape: str, size: str) -> Pair:
    """A truth and a prediction of one of the nine pair types, (Z, H, W) bool each."""
    return organ(SHAPES[shape], SHARES[size]), prediction(SHAPES[shape], SHARES[size])


def _ball(radius: float, centre: tuple[float, float, float]) -> np.ndarray:
    axes = (np.arange(size) - c for size, c in zip(HOSTILE_SHAPE, centre, strict=True))
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return z * z + y * y + x * x <= radius * radius


def _empty() -> np.ndarray:
    return np.zeros(HOSTILE_SHAPE, bool)


def _full() -> np.ndarray:
    return np.ones(HOSTILE_SHAPE, bool)


def _organ() -> np.ndarray:
    return organ(HOSTILE_SHAPE, SHARES["bowel"]).copy()


def _deformed() -> np.ndarray:
    return prediction(HOSTILE_SHAPE, SHARES["bowel"], seed=0).copy()


def _corner(mask: np.ndarray, *, last: bool = True) -> np.ndarray:
    mask[(-1, -1, -1) if last else (0, 0, 0)] = True
    return mask


def _salt(share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(HOSTILE_SHAPE, dtype=np.float32) < share


def _without_one_voxel() -> np.ndarray:
    mask = _organ()
    inner = np.argwhere(ndimage.binary_erosion(mask))
    mask[tuple(inner[len(inner) // 2])] = False
    return mask


def _hollow_box() -> np.ndarray:
    mask = _full()
    mask[1:-1, 1:-1, 1:-1] = False
    return mask


def _block() -> np.ndarray:
    mask = _empty()
    z, y, x = (size // 2 - 30 for size in HOSTILE_SHAPE)
    mask[z : z + 60, y : y + 60, x : x + 60] = True
    return mask


_MIDDLE = (72, 133, 133)

HOSTILE: dict[str, Callable[[], Pair]] = {
    "empty / empty": lambda: (_empty(), _empty()),
    "empty / organ": lambda: (_empty(), _organ()),
    "identical organs": lambda: (_organ(), _organ()),
    "single voxels, opposite corners": lambda: (
        _corner(_empty(), last=False),
        _corner(_empty()),
    ),
    "organ / deformed": lambda: (_organ(), _deformed()),
    "organ / deformed + corner voxel": lambda: (_organ(), _corner(_deformed())),
    "organ / corner voxel": lambda: (_organ(), _corner(_empty())),
    "one inner voxel missing": lambda: (_organ(), _without_one_voxel()),
    "balls r=40, opposite corners": lambda: (_ball(40, (40, 40, 40)), _ball(40, (103, 225, 225))),
    "5 % organ / 1 % salt": lambda: (organ(HOSTILE_SHAPE, 0.05), _salt(0.01, 1)),
    "organ / organ + 0.02 % salt": lambda: (_organ(), _organ() | _salt(0.0002, 2)),
    "1 % salt / 1 % salt": lambda: (_salt(0.01, 3), _salt(0.01, 4)),
    "full / corner voxel": lambda: (_full(), _corner(_empty())),
    "hollow box / centre block 60³": lambda: (_hollow_box(), _block()),
    "ball r=60 / with a hole r=8": lambda: (
        _ball(60, _MIDDLE),
        _ball(60, _MIDDLE) & ~_ball(8, _MIDDLE),
    ),
    "shell r=60 / shell r=62": lambda: (
        _ball(60, _MIDDLE) & ~_ball(59, _MIDDLE),
        _ball(62, _MIDDLE) & ~_ball(61, _MIDDLE),
    ),
}
