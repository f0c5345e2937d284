"""Kaggle kernel: the same `submit` as at home, from the attached bundle, without internet.

`gutseg kernel build` replaces the import by the text of opening.py, so that the kernel brings
along what verifies the bundle, and writes down which bundle it was built with.
"""

import os
import sys
from pathlib import Path

from gutseg.kaggle.opening import open_bundle

INPUT = Path(os.environ.get("GUTSEG_INPUT", "/kaggle/input"))
BUNDLE_SHA256 = ""


def predict(bundle: Path) -> None:
    """Write submission.csv, on a machine that can."""
    from gutseg.kaggle.machine import check_gpu
    from gutseg.submit import submit

    check_gpu(bundle / "blend.yaml", INPUT)
    submit(bundle / "blend.yaml", images=INPUT, out=Path("submission.csv"), skip_bad=True)


if __name__ == "__main__":
    try:
        predict(open_bundle(INPUT, BUNDLE_SHA256))
    except (ValueError, OSError) as error:
        sys.exit(str(error))  # the last line of Kaggle's log is a sentence
