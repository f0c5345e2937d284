"""Masks as closed outlines along the edges of pixels, and back, without loss.

A pixel covers half a pixel around its centre, so outlines run at half coordinates and no centre
lies on one: whoever fills them, by parity or by winding, gets the same mask. A hole is joined to
its outline by a channel of no width (a keyhole), because many programs fill contours one by one
and would fill a hole that is a contour of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

# of pixels, (row, column); the upper left one of pixel (0, 0) is (0, 0)
Corner = tuple[int, int]
# from corner to neighbouring corner, and from the last to the first
Path = list[Corner]
# right, down, left, up
MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return the outlines of a mask (H, W) bool, each (N, 2) float: (row, column) of its corners.

    There is one for each region of pixels that share edges. Centres of pixels are whole numbers,
    corners halves. The last corner leads back to the first.
    """
    loops = _loops(mask)
    holes = [number for number, loop in enumerate(loops) if _area(loop) < 0]
    owner = {corner: number for number, loop in enumerate(loops) for corner in loop}
    # loop -> one of its corners -> the holes that are reached from there
    joined: dict[int, dict[Corner, Path]] = defaultdict(dict)
    # The channel of a hole leads up, to a loop that begins further up: the lowest come first.
    for number in sorted(holes, key=lambda one: min(loops[one]), reverse=True):
        channel = _channel(min(loops[number]), owner)
        around = _with_holes(_rotated(loops[number], channel[0]), joined[number])
        end = channel[-1]
        joined[owner[end]][end] = [*channel[-2::-1], *around[1:], *channel]
    whole = set(range(len(loops))) - set(holes)
    return [_thinned(_with_holes(loops[number], joined[number])) for number in sorted(whole)]


def fill(contours: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Return the pixels (H, W) bool whose centres lie inside an odd number of times.

    contours: polygons (N, 2) of any direction, (row, column) in pixels.
    """
    height, width = size
    crossings = np.zeros((height, width + 1), np.int64)
    for polygon in contours:
        row, column = polygon.T
        next_row, next_column = np.roll(polygon, -1, axis=0).T
        # an edge crosses the rows from its upper end, which counts, to its lower one
        first = np.ceil(np.minimum(row, next_row)).clip(0, height).astype(int)
        last = np.ceil(np.maximum(row, next_row)).clip(0, height).astype(int)
        edge = np.repeat(np.arange(len(row)), last - first)
        crossed = np.concatenate([np.arange(0), *map(np.arange, first, last)])
        share = (crossed - row[edge]) / (next_row - row)[edge]
        at = np.ceil(column[edge] + share * (next_column - column)[edge])
        np.add.at(crossings, (crossed, at.clip(0, width).astype(int)), 1)
    return crossings.cumsum(axis=1)[:, :width] % 2 == 1


def _loops(mask: np.ndarray) -> list[Path]:
    """Follow the edges between mask and background, the mask on the right-hand side."""
    padded = np.pad(mask, 1)
    up, down = padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    # the move along each side of a pixel, and the corner where it begins
    sides = ((up, (0, 0)), (right, (0, 1)), (down, (1, 1)), (left, (1, 0)))
    leaving: dict[Corner, list[int]] = defaultdict(list)
    for move, (neighbour, corner) in enumerate(sides):
        for row, column in (np.argwhere(mask & ~neighbour) + corner).tolist():
            leaving[row, column].append(move)
    loops = []
    for start, moves in leaving.items():
        while moves:
            loops.append(_follow(start, leaving))
    return loops


def _follow(start: Corner, leaving: Mapping[Corner, list[int]]) -> Path:
    """Walk one loop, taking its moves out of `leaving`.

    Where two pixels touch at a corner alone, turning right stays with the pixel: such pixels are
    two regions, and what they enclose is no hole.
    """
    path, corner, move = [], start, leaving[start][0]
    while True:
        leaving[corner].remove(move)
        path.append(corner)
        corner = corner[0] + MOVES[move][0], corner[1] + MOVES[move][1]
        to_right = (move + 1) % 4
        if to_right in leaving[corner]:
            move = to_right
        elif corner == start:
            return path
        else:
            (move,) = leaving[corner]


def _area(loop: Path) -> int:
    """Twice the area of a loop: positive around mask, negative around a hole."""
    row, column = np.array(loop).T
    return int(np.sum(column * np.roll(row, -1) - row * np.roll(column, -1)))


def _channel(start: Corner, owner: Mapping[Corner, int]) -> Path:
    """Go up from a hole's highest corner to the first corner of another loop."""
    path = [start]
    while len(path) == 1 or path[-1] not in owner:
        path.append((path[-1][0] - 1, start[1]))
    return path


def _rotated(loop: Path, start: Corner) -> Path:
    at = loop.index(start)
    return [*loop[at:], *loop[:at]]


def _with_holes(loop: Path, joined: Mapping[Corner, Path]) -> Path:
    path = []
    for corner in loop:
        path += [corner, *joined.get(corner, ())]
    return path


def _thinned(path: Path) -> np.ndarray:
    """Leave out corners between two moves of one direction; (N, 2) with pixel centres at 0."""
    corners = np.array(path)
    moves = np.roll(corners, -1, axis=0) - corners
    return corners[(moves != np.roll(moves, 1, axis=0)).any(axis=1)] - 0.5
