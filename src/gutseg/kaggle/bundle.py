"""What `gutseg kernel build` writes: the bundle (a dataset) and the kernel that reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gutseg
from gutseg import files
from gutseg.config import Blend, dump, load, load_blend
from gutseg.data.folds import fold_name
from gutseg.kaggle import manifest, metadata, opening, packages

KERNELS = Path(gutseg.__file__).parents[2] / "kernels"
# What `build` completes in a kernel's script.
IMPORT = "from gutseg.kaggle.opening import open_bundle\n"
UNSET = 'BUNDLE_SHA256 = ""\n'


def build_bundle(
    blend: Path, folder: Path, user: str, wheels: bool = True, name: str = "gutseg"
) -> None:
    """Write folder/bundle (code, weights, blend, wheels) and folder/infer (the kernel).

    wheels: also the wheels that Kaggle's image lacks and the networks need. name: begins the
    titles on Kaggle.
    """
    from gutseg.runs import ensemble  # torch takes seconds to import, push and check need none

    metadata.check_user(user)
    solved = load_blend(blend)
    runs = [blend.parent / member.run for member in solved.used]
    written, marker = manifest.WRITTEN, manifest.MARKER
    files.check_output_folder(folder, written, marker=marker, inputs=[blend, *runs])
    # opens all networks as the kernel will: what is wrong is better known here
    opened = ensemble(blend)
    with files.replacing_folder(folder, written, marker=marker) as build:
        bundle = build / "bundle"
        pack_runs(solved, blend.parent, bundle)
        packages.write_own(bundle / "wheels")
        if wheels:
            members = [*opened.predictors, *opened.background, *opened.gate]
            networks = [network for member in members for network in member.networks]
            parts = [part for network in networks for part in network.modules()]
            for distribution in packages.needed(parts):
                packages.write_installed(bundle / "wheels", distribution)
        metadata.write_dataset(bundle, user, name)
        digest = manifest.write(bundle, solved.score)
        write_kernel("infer", build / "infer", user, name, digest)


def pack_runs(solved: Blend, home: Path, bundle: Path) -> None:
    """Copy configs and weights of all folds that predict, and the blend with their new places.

    Which cases a fold held out is written beside its weights, for the kernel to score them.

    home: what the runs of the blend are relative to.
    """
    from gutseg import held_out
    from gutseg.engine import checkpoint
    from gutseg.experiment import DETECTOR

    packed = []
    for number, member in enumerate(solved.used):
        run = Path("runs") / f"{number}-{metadata.slug((home / member.run).resolve().name)}"
        packed.append(member.model_copy(update={"run": run}))
        for fold in member.folds:
            source, target = (at / fold_name(fold) for at in (home / member.run, bundle / run))
            found = load(source / "config.yaml").geometry.kind == "found"
            for place in ("", DETECTOR) if found else ("",):
                checkpoint.copy_network(source / place, target / place)
            held_out.write_note(target, held_out.held_out(source))
    places: dict[str, Any] = {"members": packed[: len(solved.members)]}
    others = [key for key in ("background", "gate_by") if getattr(solved, key)]
    places |= dict(zip(others, packed[len(solved.members) :], strict=True))
    dump(solved.model_copy(update=places), bundle / "blend.yaml")


def write_kernel(
    kind: metadata.Kind, folder: Path, user: str, name: str, digest: str, attach: Sequence[str] = ()
) -> None:
    """Write kernels/KIND and its metadata into a folder; digest: the sha256 of its manifest.

    attach: see `metadata.write_kernel`.
    """
    source = KERNELS / kind
    remedy = "run `gutseg kernel build` from a clone of the repository"
    script = files.need_file(source / f"{kind}.py", remedy)
    folder.mkdir()
    metadata.write_kernel(source / metadata.KERNEL, folder, user, name, attach)
    (folder / script.name).write_text(complete(script.read_text(), digest))


def complete(script: str, digest: str) -> str:
    """Return a kernel that needs nothing but the bundle with this manifest.

    Its import of opening.py is replaced by the text of that file, the digest filled in.
    """
    text = Path(opening.__file__).read_text().rstrip()
    # the docstring as a comment, so that the script's own stays the first
    _, about, code = text.split('"""', 2)
    head = "\n".join(f"# {line}".rstrip() for line in about.splitlines())
    for old, new in ((IMPORT, f"{head}{code}\n"), (UNSET, f'BUNDLE_SHA256 = "{digest}"\n')):
        if script.count(old) != 1:
            raise ValueError(f"the kernel's script has no line {old.strip()!r} to complete")
        script = script.replace(old, new)
    return script
