"""gutseg list KIND: the losses, networks, ... that a config can name, and where they are from."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated

import typer

from gutseg.data.augment import AUGMENTATIONS
from gutseg.data.sources import SOURCES, mode_of
from gutseg.losses import LOSSES
from gutseg.metrics.competition import METRICS
from gutseg.models import MODELS, build
from gutseg.models.blueprint import blueprint, giga_macs
from gutseg.progress import progress
from gutseg.registry import shown, suggest

Rows = Iterable[tuple[str, ...]]
# What the networks are given whose parameters and multiplications are counted.
SLICES, CLASSES, SIDE = 5, 3, 128


def list(
    kind: Annotated[
        str,
        typer.Argument(help="losses, networks, augmentations, metrics, datasets or encoders"),
    ],
) -> None:
    """Print a table of names that a config can give, with their sources (docs/references.md)."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind {shown(kind)}; {suggest(kind, [*KINDS])}")
    head, rows = KINDS[kind]
    table = [head, *rows()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _losses() -> Rows:
    return ((name, ", ".join(row.modes), row.source) for name, row in LOSSES.items())


def _networks() -> Rows:
    for name, row in progress([*MODELS.items()], desc="networks", delay=2, leave=False):
        size = _size(name) if row.installed else ("-", "-")
        dims = "/".join(map(str, row.dims))
        yield name, *size, dims, str(row.stride), row.licence, row.handled, row.source


def _size(name: str) -> tuple[str, str]:
    """Return a network's parameters and GMAC, found without building it."""
    network = blueprint(partial(build, name, SLICES, CLASSES))
    assert network is not None
    count = sum(parameter.numel() for parameter in network.parameters())
    return f"{count / 1e6:.2f} M", f"{giga_macs(network, (1, SLICES, SIDE, SIDE)):.2f}"


def _encoders() -> Rows:
    from segmentation_models_pytorch.encoders import encoders

    for name, row in encoders.items():
        yield name, ", ".join(row["pretrained_settings"]), "[Iakubovskii 2019]"
    yield "tu-NAME", "as the NAME's tag says", "[Wightman 2019]: any NAME of timm"


def _datasets() -> Rows:
    return ((name, mode_of(name), row.source) for name, row in SOURCES.items())


def _augmentations() -> Rows:
    return ((name, row.source) for name, row in AUGMENTATIONS.items())


def _metrics() -> Rows:
    return ((name, row.source) for name, row in METRICS.items())


# The columns of every kind and what fills them.
KINDS: dict[str, tuple[tuple[str, ...], Callable[[], Rows]]] = {
    "losses": (("loss", "modes", "source"), _losses),
    "networks": (
        (
            "network",
            f"parameters ({SLICES} slices, {CLASSES} classes)",
            f"GMAC ({SIDE}x{SIDE}x{SLICES})",
            "dims",
            "stride",
            "licence",
            "sizes it takes; how others are handled",
            "source",
        ),
        _networks,
    ),
    "augmentations": (("augmentation", "source"), _augmentations),
    "metrics": (("metric", "source"), _metrics),
    "datasets": (("dataset", "mode", "source"), _datasets),
    "encoders": (("encoder", "encoder_weights", "source"), _encoders),
}
