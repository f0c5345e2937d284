"""What `gutseg kernel build` writes, with any script for a kernel and no network in the bundle."""

from pathlib import Path

from gutseg.kaggle import manifest, metadata
from gutseg.kaggle.bundle import KERNELS


def write_build(
    place: Path, script: str = "", members: str = "[]", kind: metadata.Kind = "infer"
) -> Path:
    """Write a build whose metadata are good below place; members: of its blend, as YAML."""
    folder = place / "kaggle"
    for name in (kind, "bundle"):
        (folder / name).mkdir(parents=True)
    (folder / kind / f"{kind}.py").write_text(script)
    (folder / "bundle" / "blend.yaml").write_text(f"members: {members}\n")
    name = "gutseg" if kind == "infer" else f"gutseg {kind}"
    metadata.write_dataset(folder / "bundle", "somebody", name)
    metadata.write_kernel(KERNELS / kind / metadata.KERNEL, folder / kind, "somebody", "gutseg")
    manifest.write(folder / "bundle", None)
    return folder
