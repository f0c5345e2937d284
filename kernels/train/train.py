"""Kaggle kernel: train one fold within a session; attached to its own output, it resumes.

Attach the output of the last session (kernel_sources, or "Add input") and run it again until it
says that the fold is trained. FOLD: a number, or "full" for all patients. SECONDS: of a session,
below Kaggle's nine hours, so that its output is kept.
"""

import os
import sys
import tempfile
from pathlib import Path

from gutseg.kaggle.opening import open_bundle

INPUT = Path(os.environ.get("GUTSEG_INPUT", "/kaggle/input"))
BUNDLE_SHA256 = ""
FOLD = 0
SECONDS = float(os.environ.get("GUTSEG_SECONDS", 8.5 * 3600))
CACHE = Path(tempfile.gettempdir()) / "gutseg-cache"  # the same in every session: it is compared


def train(bundle: Path) -> None:
    """Train, or go on training, into runs/NAME/fold<k>, then predict what the fold held out."""
    from gutseg import training
    from gutseg.config import load
    from gutseg.kaggle.session import limited, take_over
    from gutseg.predict import predict
    from gutseg.prepare import prepare

    with limited(SECONDS):
        prepare(INPUT, CACHE)
        config = load(bundle / "config.yaml", [f"data.folder={CACHE}", "data.folds=5", "runs=runs"])
        folder = take_over(INPUT, config, FOLD)
        training.train_fold(config, FOLD)
        if FOLD != "full":
            predict(folder.parent, fold=str(FOLD))
        print(f"{folder} is trained; kernels/cv scores its predictions, gutseg blend takes the run")


if __name__ == "__main__":
    try:
        train(open_bundle(INPUT, BUNDLE_SHA256))
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(str(error))  # the last line of Kaggle's log is a sentence
