"""A network of coronal or sagittal planes over a scan: what it says, slice by slice."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gutseg.config import Predict
from gutseg.data.inputs import Inputs
from gutseg.data.view import View, turn_back, turned
from gutseg.data.volume import Scan
from gutseg.inference.parts import Batch, Part
from gutseg.inference.predictor import Answer, Predictor, to_bytes


class ViewPredictor(Predictor):
    """Predicts slices with a network of another view's planes.

    A slice crosses all planes of the view: however few are wanted, a whole scan is predicted.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        settings: Predict | None = None,
        *,
        view: View,
        **others: Any,
    ) -> None:
        """view: whose planes the network takes. others: as Predictor has them."""
        super().__init__(model, inputs, settings, **others)
        self.view = view

    def stacks(self, parts: Sequence[Part]) -> Iterator[tuple[Batch, Tensor]]:
        """Yield the parts one by one, with nothing: the planes of a whole scan take 0.3 GB."""
        for part in parts:
            yield [part], torch.empty(0)

    @torch.inference_mode()
    def predict(self, batch: Batch, images: Tensor) -> np.ndarray:
        """Return (C, N, H, W) uint8 probabilities of the slices of a part; images: none."""
        part = batch[0]
        return to_bytes(self._slices(part.scan, part.z, lambda _, __, x: self._within_memory(x)))

    def parts(
        self, scan: Scan, z: np.ndarray, answer: Answer
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the slices z at once; answer sees the scan turned, batch by batch of its planes."""

        def as_they_are(seen: Scan, planes: np.ndarray, images: Tensor) -> Tensor:
            return answer(seen, planes, self.first(images))

        yield z, self._slices(scan, z, as_they_are)

    def _slices(self, scan: Scan, z: np.ndarray, answer: Answer) -> np.ndarray:
        """Return what is said of the slices z (C, len(z), H, W) by planes that cross them."""
        seen = turned(self.located(scan), self.view)
        planes = [Part(seen, np.arange(len(seen.image)))]
        found = [
            self.native(seen, answer(seen, batch[0].z, images.to(self.device)))[:, :, z]
            for batch, images in super().stacks(planes)
        ]  # (C, B, len(z), columns) each
        return turn_back(np.concatenate(found, axis=1), self.view)
