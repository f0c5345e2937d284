"""A network of volumes over a whole scan: overlapping windows, most weight in their middle."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gutseg.config import Predict
from gutseg.data.inputs import Inputs, neighbours
from gutseg.data.patches import Patching
from gutseg.data.volume import Scan
from gutseg.inference.parts import Batch, Part
from gutseg.inference.predictor import Answer, Predictor, to_bytes

# Standard deviation of a window's weights along an axis, as a share of its length.
SIGMA = 1 / 8


class VolumePredictor(Predictor):
    """Predicts scans with a network of volumes, window by window.

    The logits of a voxel are the mean over the windows that hold it, weighted by a Gaussian around
    the middle of each: at its edge a window sees least of what is around. A scan is filled up to
    the size of a patch as in training. Source: [Isensee 2021].
    """

    unit = "windows"

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        settings: Predict | None = None,
        *,
        patching: Patching,
        **others: Any,
    ) -> None:
        """patching: the size of a window and the overlap. others: as Predictor has them."""
        super().__init__(model, inputs, settings, **others)
        self.patching = patching

    def stacks(self, parts: Sequence[Part]) -> Iterator[tuple[Batch, Tensor]]:
        """Yield every part with all slices of its scan, (Z, 1, h, w) float32."""
        for part in parts:
            scan = self.located(part.scan)
            planes = np.arange(scan.shape[0])
            yield [Part(scan, part.z)], torch.from_numpy(self.inputs.images(scan, planes))

    @torch.inference_mode()
    def predict(self, batch: Batch, images: Tensor) -> np.ndarray:
        """Return (C, N, H, W) uint8 probabilities of the planes of a part; images: its scan."""
        found = self.probabilities(images.to(self.device))  # (Z, C, h, w)
        return to_bytes(self.native(batch[0].scan, found[batch[0].z.tolist()]))

    def parts(
        self, scan: Scan, z: np.ndarray, answer: Answer
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the planes z at once, as windows reach across slices; answer sees all planes."""
        scan = self.located(scan)
        planes = np.arange(scan.shape[0])
        for _, images in self.batches(scan, planes):
            yield z, self.native(scan, answer(scan, planes, images)[z.tolist()])

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits (Z, C, h, w) float32 of all slices (Z, 1, h, w) of a scan."""
        sides = [images.shape[0], *images.shape[2:]]
        missing = [max(a - b, 0) for a, b in zip(self.patching.patch, sides, strict=True)]
        before = [number // 2 for number in missing]
        volume = self._filled(images, missing)  # (1, Z, h, w), grown
        along = [
            shares(side, length, self.patching.overlap)
            for side, length in zip(volume.shape[1:], self.patching.patch, strict=True)
        ]
        windows, size = list(product(*along)), self.settings.batch_size
        total = torch.zeros(0)
        for number in range(0, len(windows), size):
            group = windows[number : number + size]
            places = [[slice(at, at + len(share)) for at, share in window] for window in group]
            inside = torch.stack([volume[:, *place] for place in places])  # (N, 1, z, y, x)
            found = self._halved(inside, self.network).float()
            if not number:
                total = found.new_zeros(found.shape[1], *volume.shape[1:])  # (C, Z, h, w), grown
            for window, place, logits in zip(group, places, found, strict=True):
                slices, rows, columns = (share.to(logits.device) for _, share in window)
                weight = slices[:, None, None] * rows[:, None] * columns  # (z, y, x)
                total[:, *place] += weight * logits
        for axis, (first, side) in enumerate(zip(before, sides, strict=True), start=1):
            total = total.narrow(axis, first, side)
        return total.transpose(0, 1)

    def _filled(self, images: Tensor, missing: list[int]) -> Tensor:
        """Fill slices (Z, 1, h, w) up: (1, Z + missing, ...), along z as stack.edge says."""
        depth, (slices, rows, columns) = len(images), missing
        wanted = np.arange(depth + slices) - slices // 2
        planes = neighbours(wanted, depth, self.inputs.stack)[:, 0]
        volume = images[planes.tolist()]  # -1 is the last slice
        volume[np.flatnonzero(planes < 0).tolist()] = 0
        left, top = columns // 2, rows // 2
        return functional.pad(volume, (left, columns - left, top, rows - top)).transpose(0, 1)


def shares(side: int, length: int, overlap: float) -> list[tuple[int, Tensor]]:
    """Place windows along an axis: where each starts, and its share (length,) in every voxel.

    side: voxels of the axis, no fewer than length. overlap: of neighbouring windows, at least, as
    a share of the length. Shares of a voxel add up to 1.
    """
    steps = math.ceil((side - length) / max(length * (1 - overlap), 1))
    starts = np.linspace(0, side - length, steps + 1).round().astype(int).tolist()
    distance = (np.arange(length) - (length - 1) / 2) / (SIGMA * length)
    weight = np.exp(-(distance**2) / 2)
    total = np.zeros(side)
    for first in starts:
        total[first : first + length] += weight
    return [
        (first, torch.from_numpy(weight / total[first : first + length]).float())
        for first in starts
    ]
