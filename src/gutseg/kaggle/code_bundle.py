"""Kernels that need code but no weights: one that trains, one that scores."""

from collections.abc import Sequence
from pathlib import Path

from gutseg import files
from gutseg.config import Config, dump, load
from gutseg.constants import CLASSES
from gutseg.kaggle import manifest, metadata, packages
from gutseg.kaggle.bundle import write_kernel
from gutseg.kaggle.metadata import Kind


def build_code_bundle(
    kind: Kind,
    folder: Path,
    user: str,
    config: Path | None = None,
    wheels: bool = True,
    name: str = "gutseg",
    attach: Sequence[str] = (),
) -> None:
    """Write folder/bundle (code, and for `train` a config) and folder/KIND (the kernel).

    wheels: also the wheels that Kaggle's image lacks and the config's network needs. name: begins
    the titles on Kaggle. attach: what else the kernel reads, see `metadata.write_kernel`.
    """
    metadata.check_user(user)
    if (kind == "train") != (config is not None):
        wants = "needs --config, a YAML of configs/" if kind == "train" else "reads no --config"
        raise ValueError(f"kernel build --kind {kind} {wants}")
    written, marker = manifest.WRITTEN, manifest.MARKER
    files.check_output_folder(folder, written, marker=marker, inputs=[config] if config else [])
    settings = load(config) if config else None
    needed = _needed(settings) if settings and wheels else []
    with files.replacing_folder(folder, written, marker=marker) as build:
        bundle = build / "bundle"
        packages.write_own(bundle / "wheels")
        for distribution in needed:
            packages.write_installed(bundle / "wheels", distribution)
        if settings:  # resolved: without a name of its own it has that of its file
            dump(settings, bundle / "config.yaml")
        metadata.write_dataset(bundle, user, f"{name} {kind}")
        digest = manifest.write(bundle, None)
        write_kernel(kind, build / kind, user, name, digest, attach)


def _needed(settings: Config) -> list[str]:
    """Build the network, which also says now what would be wrong with it on Kaggle."""
    from gutseg import experiment  # torch takes seconds to import
    from gutseg.models.packaged import packaged

    network = experiment.network(settings, experiment.inputs(settings).channels, len(CLASSES))
    row = packaged(settings.model.encoder_weights)
    weights = [row.distribution] if row else []
    return [*packages.needed(list(network.modules())), *weights]
