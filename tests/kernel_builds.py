"""What `gutseg kernel build` writes, with any script for a kernel and no network in the bundle."""

from pathlib import Path

from gutseg.kaggle import manifest, metadata
from gutseg.kaggle.bundle import KERNELS


def write_build(place: Path, script: str = "", members: str = "[]") -> Path:
    """Write a build whose metadata are good below place; members: of its blend, as YAML."""
    folder = place / "kaggle"
    for name in ("infer", "bundle"):
        (folder / name).mkdir(parents=True)
    (folder / "infer" / "infer.py").write_text(script)
    (folder / "bundle" / "blend.yaml").write_text(f"members: {members}\n")
    metadata.write_dataset(folder / "bundle", "somebody", "gutseg")
    metadata.write_kernel(
        KERNELS / "infer" / metadata.KERNEL, folder / "infer", "somebody", "gutseg"
    )
    manifest.write(folder / "bundle", None)
    return folder
