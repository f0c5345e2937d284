"""One slice to paint on: soft-edged shapes, each in a signal with a texture of its own."""

import numpy as np

from gutseg.synthetic.labels import Body

# Signal of the tissues of a low-field steady-state sequence, the fat under the skin = 1, and
# the strength of their texture. Read off typical images; patients vary about it.
TISSUES = {
    "lung": (0.035, 0.012),
    "skin_fat": (1.0, 0.03),
    "fat": (0.88, 0.05),
    "vessel": (0.36, 0.02),
    "muscle": (0.19, 0.05),
    "strand": (0.55, 0.05),
    "liver": (0.36, 0.025),
    "spleen": (0.31, 0.02),
    "kidney": (0.33, 0.03),
    "pancreas": (0.46, 0.09),
    "heart": (0.34, 0.05),
    "bile": (0.85, 0.02),
    "marrow": (0.45, 0.06),
    "disc": (0.17, 0.03),
    "bone": (0.07, 0.02),
    "spinal_fluid": (0.85, 0.02),
    "cord": (0.36, 0.02),
    "bladder": (0.52, 0.02),
}


class Canvas:
    """The signal of one slice while it is painted, (H, W) float32, fat under the skin = 1."""

    def __init__(self, body: Body, index: int, signals: dict[str, float]):
        grid = body.grid
        self.body, self.index, self.anatomy = body, index, body.anatomy
        self.z, self.y, self.x = float(grid.z[index]), grid.y[:, None], grid.x[None, :]
        # Height in the standard patient, where the tables of organs are written down.
        self.level = float(body.anatomy.outline.level(self.z))
        self.signals = signals
        self.angle, self.radius = body.polar
        self.image = np.zeros((len(grid.y), len(grid.x)), np.float32)
        self.grain = body.noise.at(index, 3.2, salt=5)
        self.lumps = body.noise.at(index, 20.0, salt=4)
        # Partial volume: an edge is as wide as a voxel, half of it in plane, half through it.
        self.edge_mm = 0.5 * (grid.spacing_mm + grid.thickness_mm)

    def cover(self, distance: np.ndarray) -> np.ndarray:
        """Return how much of each voxel lies inside, [0, 1]. distance in mm, negative inside."""
        return np.clip(0.5 - distance / self.edge_mm, 0, 1)

    def around(self, layer: np.ndarray) -> np.ndarray:
        """Spread a value by angle over the slice, (H, W)."""
        return layer.astype(np.float32)[self.angle]

    def beyond(self, layer: np.ndarray) -> np.ndarray:
        """Return how far voxels lie outside a layer, mm. layer: radius in mm by angle."""
        return self.radius - self.around(layer)

    def fill(
        self, distance: np.ndarray, tissue: str, box: tuple[slice, slice] = np.s_[:, :]
    ) -> None:
        """Paint the inside of a shape. distance: mm, negative inside, over box (rows, columns)."""
        signal = self.signals[tissue] + TISSUES[tissue][1] * self.grain[box]
        part = self.image[box]
        part += self.cover(distance) * (signal - part)

    def ball(
        self, centre: tuple, radii: tuple, *, turn: float = 0.0, lumps_mm: float = 0.0
    ) -> tuple[np.ndarray, tuple[slice, slice]] | None:
        """Return distance and box of an ellipsoid of the standard patient where it is cut.

        centre, radii: (z, y, x) in mm; an infinite radius in z makes a column. turn: in the
        plane, radians. lumps_mm: how far smooth noise bends the outline. None where the slice
        misses it.
        """
        outline = self.anatomy.outline
        # Plain floats: numpy's would turn float32 pictures into float64.
        point = outline.place(centre).tolist()
        radii = (np.array(radii) * outline.scale).tolist()
        height = (self.z - point[0]) / radii[0]
        if abs(height) > 1.15:
            return None
        reach = max(radii[1:]) * 1.2 + 3 * lumps_mm + self.edge_mm
        low, high = ([p + way * reach for p in point] for way in (-1, 1))
        _, rows, columns = self.body.grid.box(low, high)
        y, x = self.y[rows] - point[1], self.x[:, columns] - point[2]
        if turn:
            y, x = np.cos(turn) * y - np.sin(turn) * x, np.sin(turn) * y + np.cos(turn) * x
        away = np.sqrt((y / radii[1]) ** 2 + (x / radii[2]) ** 2 + height**2)
        distance = (away - 1) * min(radii)
        return distance + lumps_mm * self.lumps[rows, columns], (rows, columns)

    def paint_ball(self, tissue: str, centre: tuple, radii: tuple, **bent: float) -> None:
        """Paint an ellipsoid of the standard patient in one tissue."""
        shape = self.ball(centre, radii, **bent)
        if shape is not None:
            self.fill(shape[0], tissue, shape[1])
