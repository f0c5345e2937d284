"""From paths to masks: the distance fields of the three organs and where they meet."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gutseg.constants import CLASSES
from gutseg.masks.components import drop_small
from gutseg.synthetic.anatomy import Anatomy, draw_anatomy
from gutseg.synthetic.outline import NUM_ANGLES
from gutseg.synthetic.roster import NOISE, Visit, Voxels, random
from gutseg.synthetic.shapes import REACH_MM, Noise, Tube, draw_tube, within

# How far outlines are bent, in mm, by (cells of 26 mm, cells of 9 mm).
LUMPS_MM = {"large_bowel": (2.2, 1.3), "small_bowel": (1.8, 1.2), "stomach": (4.5, 1.0)}

# Parts of an organ smaller than this are crumbs.
CRUMB_MM3 = 400.0


@dataclass(frozen=True)
class Body:
    """A patient ready to be cut into slices."""

    grid: Voxels
    anatomy: Anatomy
    noise: Noise
    # one per class, in CLASSES' order
    organs: tuple[Tube, ...]

    @cached_property
    def polar(self) -> tuple[np.ndarray, np.ndarray]:
        """Angle (index into ANGLES) and radius (mm) about the body's axis, (H, W) each."""
        _, y_mm, x_mm = self.anatomy.outline.shift
        y, x = self.grid.y[:, None] - np.float32(y_mm), self.grid.x[None, :] - np.float32(x_mm)
        turn = (np.arctan2(y, x) + np.pi) * (NUM_ANGLES / (2 * np.pi))
        return np.minimum(turn.astype(np.int32), NUM_ANGLES - 1), np.hypot(y, x)


def draw_body(seed: int, scan: Visit) -> Body:
    """Draw the anatomy of a scan and the distance fields of its three organs."""
    grid = scan.voxels
    anatomy = draw_anatomy(seed, scan.case, scan.day, scan.is_large)
    noise = Noise(random(seed, scan.case, scan.day, NOISE), grid)
    organs = {name: draw_tube(grid, getattr(anatomy, name)) for name in CLASSES}
    for salt, (name, tube) in enumerate(organs.items(), 1):
        _bend(tube, noise, LUMPS_MM[name], salt)
    # The large bowel yields to the stomach, the small bowel to both.
    large_small, small_stomach, large_stomach = anatomy.overlap_mm
    _yield_to(organs["large_bowel"], organs["stomach"], large_stomach)
    _yield_to(organs["small_bowel"], organs["stomach"], small_stomach)
    _yield_to(organs["small_bowel"], organs["large_bowel"], large_small)
    for tube in organs.values():
        _dust(tube, grid)
    return Body(grid, anatomy, noise, tuple(organs.values()))


def _bend(tube: Tube, noise: Noise, lumps_mm: tuple[float, float], salt: int) -> None:
    """Move the surface in and out by smooth noise, in place."""
    depth, rows, columns = tube.box
    for index, plane in zip(range(depth.start, depth.stop), tube.distance, strict=True):
        coarse, fine = (
            noise.at(index, cell, salt=salt, box=(rows, columns)) for cell in (26.0, 9.0)
        )
        bend = lumps_mm[0] * coarse + lumps_mm[1] * fine
        # Far outside the noise must fade, or it would leave crumbs there.
        plane += bend * np.clip(1 - plane / REACH_MM, 0, 1)


def _yield_to(tube: Tube, other: Tube, overlap_mm: float) -> None:
    """Cut the other organ out of this one but for a rim of overlap_mm, in place."""
    z, y, x = (
        slice(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(tube.box, other.box, strict=True)
    )
    if any(part.stop <= part.start for part in (z, y, x)):
        return
    mine = tube.distance[within((z, y, x), tube.box)]
    theirs = other.distance[within((z, y, x), other.box)]
    np.maximum(mine, -theirs - overlap_mm, out=mine)


def _dust(tube: Tube, grid: Voxels) -> None:
    """Move crumbs that the cutting left behind outside the organ, in place."""
    voxel_mm3 = grid.thickness_mm * grid.spacing_mm**2
    inside = tube.distance < 0
    kept = drop_small(inside, max(2, CRUMB_MM3 / voxel_mm3))
    tube.distance[inside & ~kept] = REACH_MM


def masks(body: Body) -> np.ndarray:
    """Return the labels: (Z, H, W) uint8, bit c = class c of CLASSES."""
    mask = np.zeros(body.grid.shape, np.uint8)
    for bit, tube in enumerate(body.organs):
        mask[tube.box] |= (tube.distance < 0).astype(np.uint8) << bit
    # Real labels never reach the last slices (138 to 144).
    mask[body.grid.z > min(body.anatomy.label_end_mm, body.grid.z[-1] - 18)] = 0
    return mask


def draw_labels(seed: int, scan: Visit) -> np.ndarray:
    """Return only the labels of a scan, quickly: (Z, H, W) uint8, bit c = class c of CLASSES."""
    return masks(draw_body(seed, scan))
