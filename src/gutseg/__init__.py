"""gutseg: UW-Madison GI Tract Image Segmentation, from raw slices to a scored submission."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gutseg.notebook import Segmenter

# albumentations asks PyPI for its newest version on import; a Kaggle notebook is offline.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

# OpenMP threads that spin while they wait starve each other when another program shares the
# cores: a training step took 2.8 s instead of 0.2 s next to one busy process on two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"


def load(source: str | Path, device: str | None = None) -> "Segmenter":
    """Open a blend for Python: `masks = gutseg.load("blends/first/blend.yaml")(volume)`.

    source: a blend.yaml, a folder that holds one, or a run folder, whose folds are then averaged
    and cut at 0.5. device: as torch calls it (cuda:1, cpu); None is the GPU where there is one.
    volume: (Z, H, W) uint16, the raw grey values of one scan's slices in order. masks:
    (C, Z, H, W) bool, of large bowel, small bowel and stomach: what `gutseg submit` writes.
    """
    from gutseg.notebook import Segmenter  # torch takes seconds to import

    return Segmenter(Path(source), device)
