"""gutseg: UW-Madison GI Tract Image Segmentation, from raw slices to a scored submission."""

import os

# albumentations asks PyPI for its newest version on import; a Kaggle notebook is offline.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"
