"""A network with what comes before and after it, as one module that can be exported."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from gutseg.data.inputs import Window
from gutseg.inference.predictor import activation
from gutseg.losses.reductions import Mode

# cv2's resampling is a product with two matrices, up to the order of a few sums in float32.
SEPARABLE = 1e-5


# how grey values become [0, 1]
Values = Literal["range", "stack"]


class Deployed(nn.Module):
    """Grey values of slices of one size to probabilities of their pixels.

    Cutting, padding and resampling are products with matrices, so that they are cv2's.
    """

    forth_rows: Tensor
    forth_columns: Tensor
    back_rows: Tensor
    back_columns: Tensor

    def __init__(
        self,
        network: nn.Module,
        mode: Mode,
        *,
        scaling: Values | None = None,
        channels: tuple[int, ...] | None = None,
        window: Window | None = None,
    ) -> None:
        """scaling: range subtracts `low` and divides by `high` - `low`, stack divides by the
        highest value of a stack, None leaves images in [0, 1]. channels: those that the network
        sees, None for all. window: of the slices; None where they are the network's input.
        """
        super().__init__()
        self.network, self.mode, self.scaling, self.channels = network, mode, scaling, channels
        self.moves = window is not None and window.native != window.size
        if window and self.moves:
            for name, move, size in (
                ("forth", window.forward, window.native),
                ("back", window.inverse, window.size),
            ):
                rows, columns = matrices(move, size)
                self.register_buffer(f"{name}_rows", torch.from_numpy(rows))
                self.register_buffer(f"{name}_columns", torch.from_numpy(columns.T.copy()))

    def forward(
        self, slices: Tensor, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        """Return probabilities (B, C, H, W) of slices (B, S, H, W) float32; low, high: (B,)."""
        if self.scaling == "stack":
            slices = slices / slices.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1)
        elif low is not None and high is not None:
            low, high = (value.reshape(-1, 1, 1, 1) for value in (low, high))
            slices = ((slices - low) / (high - low).clamp(min=1)).clamp(0, 1)
        if self.channels is not None:
            slices = slices[:, list(self.channels)]
        if self.moves:
            slices = self.forth_rows @ slices @ self.forth_columns  # (B, S, h, w)
        found = activation(self.network(slices), self.mode)  # (B, C, h, w)
        return self.back_rows @ found @ self.back_columns if self.moves else found


def matrices(
    move: Callable[[np.ndarray], np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return R (h, H) and C (w, W) so that a move of a plane X of a size (H, W) is R X C^T.

    Raises ValueError where it is no such product.
    """
    height, width = size
    whole = move(np.ones((1, height, width), np.float32))[0]
    # where a line reaches the output at its full value: not beyond the slice
    row, column = np.unravel_index(whole.argmax(), whole.shape)
    rows, columns = np.empty((len(whole), height)), np.empty((whole.shape[1], width))
    plane = np.zeros((1, height, width), np.float32)
    for number in range(height):
        plane[0, number] = 1
        rows[:, number] = move(plane)[0, :, column]
        plane[0, number] = 0
    for number in range(width):
        plane[0, :, number] = 1
        columns[:, number] = move(plane)[0, row]
        plane[0, :, number] = 0
    probe = np.random.default_rng(0).random(size, np.float32)
    error = np.abs(rows @ probe @ columns.T - move(probe[None])[0]).max()
    if error > SEPARABLE:
        raise ValueError(f"the window of {height} x {width} slices is no product ({error:.1g})")
    return rows.astype(np.float32), columns.astype(np.float32)
