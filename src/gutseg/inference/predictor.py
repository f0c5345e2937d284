"""A trained network over a whole scan, at native size."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from gutseg.config import Predict
from gutseg.data.inputs import Inputs
from gutseg.data.volume import Scan
from gutseg.inference.tta import probabilities


class Predictor:
    """Predicts organ probabilities of a scan, quantised to uint8 (255 = 1).

    A byte is what the out-of-fold files hold and what thresholds are chosen on, so the kernel
    sees the same numbers: a few MB a scan instead of 61 in float16.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        settings: Predict | None = None,
        *,
        device: torch.device,
        dtype: torch.dtype | None = None,
        name: str = "the network",
    ) -> None:
        """dtype: autocast type of the forward pass, None for float32.

        name: what errors call the network, its run and fold where it has them.
        """
        self.name = name
        self.model = model.to(device).eval()
        self.inputs = inputs.for_any_size()
        self.device = device
        self.dtype = dtype
        self.settings = settings or Predict()

    def network(self, images: Tensor) -> Tensor:
        """Return the logits of a batch under the precision of the device."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            return self.model(images)

    def batches(self, scan: Scan, z: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield (planes, stacks on the device) batch by batch."""
        size = self._fitting(scan)
        for first in range(0, len(z), size):
            planes = z[first : first + size]
            images = torch.from_numpy(self.inputs.images(scan, planes))
            yield planes, images.to(self.device)

    def _fitting(self, scan: Scan) -> int:
        """How many planes take the memory of a usual batch, where the input has grown for them."""
        usual, grown = self.inputs.geometry.size, self.inputs.window(scan).size
        return max(self.settings.batch_size * math.prod(usual) // math.prod(grown), 1)

    @torch.inference_mode()
    def __call__(self, scan: Scan, z: np.ndarray | None = None) -> np.ndarray:
        """Return (C, len(z), H, W) uint8 probabilities of the planes z, by default all."""
        z = np.arange(len(scan.image)) if z is None else z
        parts = [
            self.to_native(scan, probabilities(self.network, images, self.settings.tta))
            for _, images in self.batches(scan, z)
        ]
        return np.concatenate(parts, axis=1)

    def to_native(self, scan: Scan, found: Tensor) -> np.ndarray:
        """Bring probabilities (B, C, h, w) back to the slice: (C, B, H, W) uint8.

        Raises ValueError where they are not finite: a byte would hide it as an empty mask.
        """
        if not torch.isfinite(found).all():
            raise ValueError(
                f"{self.name} predicts probabilities of {scan.name} that are not finite; "
                "its weights are of no use: train it again with a lower optim.lr or train.amp=false"
            )
        batch, classes = found.shape[:2]
        planes = found.transpose(0, 1).reshape(batch * classes, *found.shape[2:])
        native = self.inputs.window(scan).inverse(planes.cpu().numpy())
        native = native.reshape(classes, batch, *scan.shape[1:])
        return np.rint(native * 255).astype(np.uint8)
