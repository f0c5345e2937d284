"""Loading the weights of a published encoder into a network of any number of channels."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from gutseg.models.inflate import thickened
from gutseg.registry import shown

# Wrappers that training frameworks leave in front of an encoder's own keys.
WRAPPERS = ("module.", "_orig_mod.", "state_dict.", "net.", "model.", "backbone.", "encoder.")

# Features at strides 1, 2, 4, 8, 16 and 32. With fewer, the stages that a published encoder has
# beyond encoder_depth are expected to be left over.
FULL_DEPTH = 6


def load_encoder(model: Any, state: Mapping[str, Tensor]) -> None:
    """Copy the weights of a three-channel encoder into the encoder of a network.

    model: of the `smp` or `segnet` row, with any number of input channels, or `smp_unet` of
    volumes, for which weights of images are inflated. state: an encoder's or a classifier's state
    dict, the library's own, timm's (for `tu-` encoders) or torchvision's (for `segnet`); prefixes
    such as `encoder.` and classifier heads are left out, and so are stages below encoder_depth.
    A convolution that reads the image becomes the mean of its three channels times 3 / channels,
    repeated: where all channels of the image are equal, it answers as the published one does
    on that image as grey RGB. A weight-standardising one (nfnet) undoes that factor, so its gain
    carries it, up to its epsilon; without a gain (BiT) the answer differs in scale.
    Raises ValueError naming what is missing, left over, of another shape or kind, or not finite;
    nothing is copied then.
    """
    _check_state(state)
    encoder = getattr(model, "encoder", None)
    if encoder is None or not hasattr(encoder, "out_channels"):
        raise ValueError(
            f"{type(model).__name__} has no encoder to load; choices: the rows of smp, `segnet`, "
            "`segmenter` and `transunet`"
        )
    own = _unwrap(encoder.state_dict(), all)
    bare = _unwrap(state, any)
    places = {_canonical(key): value for key, value in own.items()}
    # of a network of volumes one plane of each kernel: the shape that the weights of images have
    target = {key: value[:, :, 0] if value.ndim == 5 else value for key, value in places.items()}
    source = {_canonical(key): value for key, value in bare.items()}
    # Older checkpoints predate the counter, which inference does not read.
    missing = {
        key
        for key in own
        if _canonical(key) not in source and not key.endswith("num_batches_tracked")
    }
    left_over = _left_over(bare, own) if len(encoder.out_channels) == FULL_DEPTH else set()
    source = {key: value for key, value in source.items() if key in target}
    if odd := {key for key, value in source.items() if not _same_kind(value, target[key])}:
        raise ValueError(f"the weights are of another kind than the encoder's: {_list(odd)}")
    source = _widen(source, target)
    misshapen = {
        f"{key} {tuple(value.shape)} for {tuple(target[key].shape)}"
        for key, value in source.items()
        if value.shape != target[key].shape
    }
    if missing or left_over or misshapen:
        raise ValueError(
            f"the weights do not fit this encoder: {_list(missing)} missing, "
            f"{_list(left_over)} left over, {_list(misshapen)} of another shape"
        )
    if odd := {key for key, value in source.items() if not torch.isfinite(value.float()).all()}:
        raise ValueError(f"the weights hold NaN or infinity: {_list(odd)}; download them again")
    with torch.no_grad():
        for key, value in source.items():
            place = places[key]
            if place.ndim == 5:
                value = thickened(value, place.shape[2], model.inflation)
            place.copy_(value)


def _check_state(state: Mapping[str, Tensor]) -> None:
    if not isinstance(state, Mapping):
        raise ValueError(f"a {type(state).__name__} was found; expected tensors by name")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{shown(key)} is a {type(value).__name__}; expected tensors by name: save the "
                "state dict of the encoder or classifier alone"
            )


def _same_kind(value: Tensor, place: Tensor) -> bool:
    """Say whether a tensor's numbers can be copied: dense, and floats for floats."""
    plain = value.layout == torch.strided and not value.is_quantized and not value.is_complex()
    return plain and not value.is_meta and value.is_floating_point() == place.is_floating_point()


def _unwrap(
    state: Mapping[str, Tensor], share: Callable[[Iterable[bool]], bool]
) -> dict[str, Tensor]:
    """Strip wrapper prefixes as long as any (or all) of the keys share one; the others drop out."""
    state = dict(state)
    while prefix := next((p for p in WRAPPERS if share(key.startswith(p) for key in state)), None):
        state = {
            key.removeprefix(prefix): value
            for key, value in state.items()
            if key.startswith(prefix)
        }
    return state


def _canonical(key: str) -> str:
    """One spelling for timm's whole models (`stages.0.x`) and its encoders (`stages_0.x`)."""
    return key.replace(".", "_")


def _left_over(bare: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> set[str]:
    """Keys of the state that belong to the encoder's own modules but have no place there.

    A module that the encoder lacks altogether is a classifier's head.
    """
    places = {_canonical(key) for key in own}
    modules = {_first_module(key) for key in own}
    return {key for key in bare if _canonical(key) not in places and _first_module(key) in modules}


def _first_module(key: str) -> str:
    return re.sub(r"_\d+$", "", key.split(".")[0])


def _widen(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Spread the convolutions that read the image over the target's channels."""
    widened = dict(source)
    for key, weight in source.items():
        shape = target[key].shape
        fits = weight.ndim == 4 and weight[:, :1].shape == (shape[0], 1, *shape[2:])
        if not fits or weight.shape[1] != 3 or shape == weight.shape:
            continue
        widened[key] = (weight.sum(dim=1, keepdim=True) / shape[1]).expand(shape)
        gain = key.removesuffix("weight") + "gain"
        if gain in source and source[gain].shape == target[gain].shape:
            ratio = _spread(widened[key]) / _spread(weight)
            widened[gain] = source[gain] * ratio.reshape(source[gain].shape)
    return widened


def _spread(weight: Tensor) -> Tensor:
    """Root of the summed squares about the mean, per output channel."""
    flat = weight.flatten(1)
    return (flat - flat.mean(dim=1, keepdim=True)).norm(dim=1)


def _list(keys: set[str]) -> str:
    shown = ", ".join(sorted(keys)[:3])
    return f"{len(keys)} ({shown}{', ...' if len(keys) > 3 else ''})" if keys else "0"
