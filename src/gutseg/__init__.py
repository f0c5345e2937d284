"""gutseg: UW-Madison GI Tract Image Segmentation, from raw slices to a scored submission."""

import os

# albumentations asks PyPI for its newest version on import; a Kaggle notebook is offline.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

# OpenMP threads that spin while they wait starve each other when another program shares the
# cores: a training step took 2.8 s instead of 0.2 s next to one busy process on two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
