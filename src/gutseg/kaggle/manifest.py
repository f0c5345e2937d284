"""What a build consists of, and the note that says so; a bundle is verified by `opening`."""

from pathlib import Path

import gutseg
from gutseg.files import write_json
from gutseg.kaggle.opening import MANIFEST, UNLISTED, sha256

# All that `build` writes: what a folder may hold to be replaced.
WRITTEN = (
    *("bundle/runs/*", "bundle/wheels/*", "bundle/blend.yaml"),
    *("bundle/bundle.json", "bundle/dataset-metadata.json"),
    *("infer/*.py", "infer/kernel-metadata.json", "checks.json"),
    *("push.json", "output/*"),  # of a push
    *("bundle/config.yaml", "train/*", "cv/*"),
    "bundle/code/*",  # of earlier versions
)
MARKER = f"bundle/{MANIFEST}"


def write(bundle: Path, score: float | None) -> str:
    """Write bundle.json, which lists every file; return its sha256. score: the blend's."""
    names = sorted(
        path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()
    )
    listed = {
        name: {"bytes": (bundle / name).stat().st_size, "sha256": sha256(bundle / name)}
        for name in names
        if name not in UNLISTED
    }
    content = {"gutseg": gutseg.__version__, "score": score, "files": listed}
    write_json(bundle / MANIFEST, content)
    return sha256(bundle / MANIFEST)
