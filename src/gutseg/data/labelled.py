"""Images with labels, held in memory: what `gutseg bench` compares losses on."""

from dataclasses import dataclass

import numpy as np

from gutseg.losses.kernels import Mode


@dataclass(frozen=True)
class Labelled:
    """Images of any sizes with their labels.

    images: (H, W, S) float32 in [0, 1] each. labels: (H, W) uint8 each, class numbers in mode
    `multiclass`, one bit a class in mode `multilabel`. names: one an image. groups: images of
    one group never stand on both sides of a fold. background: the class number that is no
    object, None in mode `multilabel`.
    """

    images: list[np.ndarray]
    labels: list[np.ndarray]
    names: list[str]
    groups: list[str]
    classes: tuple[str, ...]
    mode: Mode
    background: int | None = 0

    @property
    def channels(self) -> int:
        """Channels of every image."""
        return self.images[0].shape[2]
