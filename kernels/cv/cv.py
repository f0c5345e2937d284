"""Kaggle kernel: score what is attached, submissions of labelled scans and out-of-fold runs.

It compares submissions and folders with fold<k>/oof/*.npz, such as the output of kernels/train,
with the labels of train.csv, prints a table of each and writes score.json.
"""

import os
import sys
import tempfile
from pathlib import Path

from gutseg.kaggle.opening import find_bundle, unpack, verify

INPUT = Path(os.environ.get("GUTSEG_INPUT", "/kaggle/input"))
BUNDLE_SHA256 = ""


def open_bundle() -> Path:
    """Verify the attached bundle, put its wheels on the path and return its folder."""
    bundle = find_bundle(INPUT)
    verify(bundle, BUNDLE_SHA256)
    code = tempfile.mkdtemp(prefix="gutseg-")
    unpack(bundle, Path(code))
    sys.path.insert(0, code)
    return bundle


def score() -> None:
    """Print the scores of all that is attached."""
    from gutseg.kaggle.attached import score_attached

    score_attached(INPUT, Path("score.json"))


if __name__ == "__main__":
    try:
        open_bundle()
        score()
    except (ValueError, OSError) as error:
        sys.exit(str(error))  # the last line of Kaggle's log is a sentence
