"""Kaggle kernel: the same `submit` as at home, from the attached bundle, without internet."""

import os
import subprocess
import sys
from pathlib import Path

INPUT = Path(os.environ.get("GUTSEG_INPUT", "/kaggle/input"))

# Kaggle mounts a dataset at <slug> or at datasets/<owner>/<slug>.
marks = [*INPUT.glob("*/bundle.json"), *INPUT.glob("datasets/*/*/bundle.json")]
bundles = sorted(str(mark.parent) for mark in marks)
if not bundles:
    sys.exit(f"no bundle.json below {INPUT}; attach the dataset that `gutseg kernel push` made")
if len(bundles) > 1:
    sys.exit(f"{len(bundles)} bundles are attached, keep one: {', '.join(bundles)}")
bundle = Path(bundles[0])

# What Kaggle's image lacks travels as wheels; nothing is fetched.
wheels = [str(wheel) for wheel in sorted(bundle.glob("wheels/*.whl"))]
if wheels:
    offline = ["install", "--quiet", "--no-index", "--no-deps"]
    if subprocess.run([sys.executable, "-m", "pip", *offline, *wheels]).returncode:
        print("the wheels do not install; going on with what the image has", file=sys.stderr)

sys.path.insert(0, str(bundle / "code"))
from gutseg.submit import submit  # noqa: E402 (the bundle is not on the path before)

try:
    submit(bundle / "blend.yaml", images=INPUT, out=Path("submission.csv"), skip_bad=True)
except (ValueError, OSError) as error:
    sys.exit(str(error))  # the last line of Kaggle's log is a sentence
