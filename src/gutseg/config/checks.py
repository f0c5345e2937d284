"""What sections of a config must agree on."""

import math
from typing import TYPE_CHECKING

from gutseg.constants import CLASSES
from gutseg.registry import shown

if TYPE_CHECKING:
    from gutseg.config.sections import Config

# GB that the images of one batch may take
LARGEST_BATCH = 16


def check_epochs(config: "Config") -> None:
    """Raise ValueError where what is done between epochs meets a training of one epoch."""
    train = config.train
    if config.data.hard and not train.epochs and not train.steps_per_epoch:
        unit = "steps" if train.steps else "seconds"
        raise ValueError(
            f"data.hard: slices are found between epochs, and train.{unit} without more is one "
            "epoch; give train.steps_per_epoch"
        )


def check_sizes(config: "Config") -> None:
    """Raise ValueError unless sizes that change over a training end with that of predictions."""
    stages, kind = config.train.progressive, config.geometry.kind
    if not stages:
        return
    if config.volume:
        raise ValueError(
            "train.progressive: it gives sizes of images, and volume.patch that of patches of "
            "volumes; set one of them to null"
        )
    if not config.crop and kind in ("pad", "native"):
        raise ValueError(
            f"train.progressive: geometry.kind {kind} resamples nothing, so that images have one "
            "size; give resize, body or crop"
        )
    key, last = ("crop", config.crop.size) if config.crop else ("geometry", config.geometry.size)
    if tuple(stages[-1][1]) != tuple(last):
        raise ValueError(
            f"train.progressive: it ends with {list(stages[-1][1])} and {key}.size is "
            f"{list(last)}; let them be the same"
        )


def check_window(config: "Config") -> None:
    """Raise ValueError where a window is to be found in single images."""
    if config.geometry.kind == "found" and config.data.source != "competition":
        raise ValueError(
            f"geometry.kind: found looks at all slices of a scan, and {config.data.source} has "
            "single images; give resize, pad or native"
        )


def check_volume(config: "Config") -> None:
    """Raise ValueError unless a network of volumes, and no other, gets patches of volumes."""
    if config.model.dims == 2:
        if config.volume:
            raise ValueError(
                f"volume: {config.model.name!r} takes images; give model.params.dims=3 (gutseg "
                "list networks says which rows can) or leave volume out"
            )
        return
    if not config.volume:
        raise ValueError(
            "model.params.dims: 3 takes volumes; say what patches of them, for example "
            "volume={patch: [16, 96, 96]}"
        )
    for key, found, expected in (
        ("data.source", config.data.source, "competition"),
        ("data.empty_share", config.data.empty_share, 1.0),
        ("stack.slices", config.stack.slices, 1),
        ("view", config.view, "axial"),
        ("crop", config.crop and list(config.crop.size), None),
        ("mix", config.mix and config.mix.kind, None),
    ):
        if found != expected:
            raise ValueError(
                f"{key}: {shown(found)}, but a network of volumes is trained on patches of whole "
                f"scans, which volume describes; expected {shown(expected)}"
            )


def check_prior_day(config: "Config") -> None:
    """Raise ValueError for channels of an earlier day where there are no days, or no channels."""
    if config.prior_day is None:
        return
    reasons = (
        (config.data.source != "competition", f"{config.data.source} knows no days of a patient"),
        (config.model.dims != 2, "a network of volumes takes grey values alone"),
        (config.view != "axial", f"the {config.view} view shows no earlier day"),
    )
    for applies, reason in reasons:
        if applies:
            raise ValueError(f"prior_day: {reason}; leave it out")


def check_tta(config: "Config") -> None:
    """Raise ValueError for looks along a stack where there is none."""
    if config.predict.tta != "strides":
        return
    reasons = (
        (config.data.source != "competition", f"{config.data.source} has single images"),
        (config.stack.slices == 1, "an input of one slice has no steps between slices"),
    )
    for applies, reason in reasons:
        if applies:
            raise ValueError(f"predict.tta: strides, but {reason}; choose another")


def check_batches(config: "Config") -> None:
    """Raise ValueError where a batch would take more memory than any machine should give."""
    channels = config.stack.slices + (1 + len(CLASSES) if config.prior_day else 0)
    seen: tuple[int, ...] = (channels, *config.geometry.size)
    trained = (channels, *config.crop.size) if config.crop else seen
    if stages := config.train.progressive:
        trained = (channels, *max((size for _, size in stages), key=math.prod))
    if config.volume:
        seen = trained = config.volume.patch
    for key, sides in (("train", trained), ("predict", seen)):
        images = getattr(config, key).batch_size
        gigabytes = images * math.prod(sides) * 4 / 2**30  # in float32
        if gigabytes > LARGEST_BATCH:
            raise ValueError(
                f"{key}.batch_size: {images} images of {' x '.join(map(str, sides))} take "
                f"{gigabytes:,.0f} GB; at most {LARGEST_BATCH} are allowed, so take fewer or "
                "smaller ones"
            )
