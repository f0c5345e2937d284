"""Kaggle kernel: score what is attached, submissions of labelled scans and out-of-fold runs.

It compares submissions and folders with fold<k>/oof/*.npz, such as the output of kernels/train,
with the labels of train.csv, prints a table of each and writes score.json.
"""

import os
import sys
from pathlib import Path

from gutseg.kaggle.opening import open_bundle

INPUT = Path(os.environ.get("GUTSEG_INPUT", "/kaggle/input"))
BUNDLE_SHA256 = ""


def score() -> None:
    """Print the scores of all that is attached."""
    from gutseg.kaggle.attached import score_attached

    score_attached(INPUT, Path("score.json"))


if __name__ == "__main__":
    try:
        open_bundle(INPUT, BUNDLE_SHA256)
        score()
    except (ValueError, OSError) as error:
        sys.exit(str(error))  # the last line of Kaggle's log is a sentence
