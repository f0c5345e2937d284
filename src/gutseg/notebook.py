"""A blend or a run as a function of one scan, for notebooks: see `gutseg.load`."""

from pathlib import Path

import numpy as np
import torch

from gutseg import experiment, runs
from gutseg.constants import CLASSES
from gutseg.data.volume import describe
from gutseg.inference.dealing import threads_of


class Segmenter:
    """Predicts the masks of a scan with the networks and rules of a blend.

    As in `submit` one core works where there is no GPU, so that the masks are equal bit for bit.
    """

    classes = CLASSES

    def __init__(self, source: Path, device: str | None = None) -> None:
        """source, device: as in `gutseg.load`."""
        try:
            self.device = torch.device(device) if device else experiment.device()
        except RuntimeError:
            problem = f"device: torch knows no {device!r}"
            raise ValueError(f"{problem}; give cpu, cuda or cuda:1, or leave it out") from None
        self.ensemble = runs.assemble(*runs.as_blend(source), self.device)

    def __call__(
        self, volume: np.ndarray, voxel_mm: tuple[float, float, float] | None = None
    ) -> np.ndarray:
        """Return masks (C, Z, H, W) bool of a volume (Z, H, W) uint16 of raw grey values.

        voxel_mm: size (z, y, x) of a voxel, which rules in ml need.
        """
        if volume.dtype != np.uint16 or volume.ndim != 3 or not volume.size:
            raise ValueError(
                f"volume: found {volume.dtype} {volume.shape}; expected the raw slices of one scan "
                "as (Z, H, W) uint16, read with cv2.imread(file, cv2.IMREAD_UNCHANGED)"
            )
        scan = describe("volume", np.ascontiguousarray(volume), voxel_mm)
        with threads_of([self.device]):
            return self.ensemble(scan, np.arange(len(volume))).to_arrays()
