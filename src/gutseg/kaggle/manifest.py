"""What a build consists of, and the note that says that it is complete."""

from pathlib import Path

import gutseg
from gutseg.files import write_json

# All that `build` writes: what a folder may hold to be replaced.
WRITTEN = (
    *("bundle/code/*", "bundle/runs/*", "bundle/wheels/*", "bundle/blend.yaml"),
    *("bundle/bundle.json", "bundle/dataset-metadata.json"),
    *("infer/infer.py", "infer/kernel-metadata.json"),
)
MARKER = "bundle/bundle.json"


def write(bundle: Path, score: float | None) -> None:
    """Write bundle.json; score: the blend's, out of fold."""
    write_json(bundle / "bundle.json", {"gutseg": gutseg.__version__, "score": score})
