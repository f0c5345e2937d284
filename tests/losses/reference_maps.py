"""The maps that losses weigh with, by scipy; nothing here is gutseg's."""

import numpy as np
from scipy import ndimage


def maps_of(target: np.ndarray, width: int) -> dict[str, np.ndarray]:
    """The maps of gutseg.data.maps by scipy: (B, C, H, W) target -> planes; width: of the band."""
    drawn = {"distance": _nearness, "signed": _signed, "lesion": _share}
    maps = {
        key: np.array([[draw(mask == 1) for mask in image] for image in target])
        for key, draw in drawn.items()
    }
    return maps | {
        "band": np.array([[_band(mask == 1, width) for mask in image] for image in target]),
        "border": np.array([[_border(image[-1] == 1)] for image in target]),
        "pieces": np.array([[_nearest_piece(mask == 1) for mask in image] for image in target]),
        "skeleton": np.array([[_tube(mask == 1) for mask in image] for image in target]),
    }


def _nearness(mask: np.ndarray) -> np.ndarray:
    outline = _to_the_outline(mask)
    plane = np.zeros(mask.shape)
    for side in (mask, ~mask):
        if not side.all() and side.any():
            plane[side] = 1 - outline[side] / outline[side].max()
    return plane


def _signed(mask: np.ndarray) -> np.ndarray:
    outline = _to_the_outline(mask)
    return np.where(mask & (outline > 0), 1 - outline, outline)


def _share(mask: np.ndarray) -> np.ndarray:
    if mask.all():
        return np.zeros(mask.shape)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
    return np.concatenate([[0.0], 1 / np.asarray(sizes)])[labels]


def _band(mask: np.ndarray, width: int) -> np.ndarray:
    ball = np.hypot(*np.mgrid[-width : width + 1, -width : width + 1]) <= width
    grown = ndimage.binary_dilation(mask, ball)
    return grown & ~ndimage.binary_erosion(mask, ball, border_value=1)


def _border(cells: np.ndarray, w0: float = 10, sigma: float = 5) -> np.ndarray:
    weight = np.ones(cells.shape)
    if cells.any() and not cells.all():
        weight = np.where(cells, 0.5 / cells.mean(), 0.5 / (~cells).mean())
    labels, count = ndimage.label(cells)
    if count > 1:
        each = [ndimage.distance_transform_edt(labels != n) for n in range(1, count + 1)]
        nearest, second = np.sort(each, axis=0)[:2]
        weight[~cells] += w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))[~cells]
    return weight


def _to_the_outline(mask: np.ndarray) -> np.ndarray:
    """Distance to the nearest pixel on the other side; 0 where there is none."""
    if mask.all() or not mask.any():
        return np.zeros(mask.shape)
    return ndimage.distance_transform_edt(mask) + ndimage.distance_transform_edt(~mask)


def _nearest_piece(mask: np.ndarray) -> np.ndarray:
    """Which component a pixel is nearest to, the first of several at one distance."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return np.zeros(mask.shape, int)
    away = [ndimage.distance_transform_edt(labels != n) for n in range(1, count + 1)]
    return 1 + np.argmin(away, axis=0)


def _tube(mask: np.ndarray) -> np.ndarray:
    if mask.all() or not mask.any():
        return np.zeros(mask.shape, bool)
    return mask & ndimage.binary_dilation(thin(mask), iterations=2)


def thin(mask: np.ndarray) -> np.ndarray:
    """Zhang and Suen's thinning, pixel by pixel; a component that vanishes stays whole."""
    alive = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    ring = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
    changed = True
    while changed:
        changed = False
        for corners in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            gone = set()
            for y, x in alive:
                around = [(y + dy, x + dx) in alive for dy, dx in ring]
                rises = sum(not around[n] and around[(n + 1) % 8] for n in range(8))
                opened = not any(all(around[n] for n in corner) for corner in corners)
                if 2 <= sum(around) <= 6 and rises == 1 and opened:
                    gone.add((y, x))
            alive -= gone
            changed |= bool(gone)
    left = np.zeros(mask.shape, bool)
    for place in alive:
        left[place] = True
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    for number in range(1, count + 1):
        if not left[labels == number].any():
            left |= labels == number
    return left
