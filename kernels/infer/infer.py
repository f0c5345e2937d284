"""Kaggle kernel: the same `submit` as at home, from the attached bundle, without internet.

`gutseg kernel build` replaces the import by the text of opening.py, so that the kernel brings
along what verifies the bundle, and writes down which bundle it was built with.
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


def predict(bundle: Path) -> None:
    """Write submission.csv, on a machine that can."""
    from gutseg.kaggle.machine import check_gpu
    from gutseg.submit import submit

    check_gpu(bundle / "blend.yaml", INPUT)
    submit(bundle / "blend.yaml", images=INPUT, out=Path("submission.csv"), skip_bad=True)


if __name__ == "__main__":
    try:
        predict(open_bundle())
    except (ValueError, OSError) as error:
        sys.exit(str(error))  # the last line of Kaggle's log is a sentence
