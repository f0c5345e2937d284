"""What every row of LOSSES is called with: checked and cleaned here, in one place for all."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from gutseg.losses.reductions import Pixels
from gutseg.registry import suggest

VOID = -100  # the class number that torch's cross-entropy leaves out


def checked(
    function: Callable, signature: inspect.Signature, name: str, *, planar: bool = False
) -> Callable:
    """Return a function of that signature which cleans what it is given and passes it on.

    function: of Pixels and what else the signature has; volumes are laid out as images for it, as
    `_as_images` says. planar: it sees one slice at a time. Class numbers of -100 are ignored
    pixels. Logits of ignored pixels, and of classes that were not annotated in an image, become 0:
    whatever they hold, NaN included, has no gradient. All runs outside autocast, on logits in
    float32 (float64 stays).
    Raises ValueError for shapes that do not fit, an empty batch, class numbers beyond the
    classes, class weights of another length or below 0, and unknown words (absent, reduction...).
    """
    parameters = signature.parameters.items()
    words = {
        key: get_args(one.annotation)
        for key, one in parameters
        if get_origin(one.annotation) is Literal
    }
    tensors = [key for key, one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]

    def call_checked(*args: Any, **params: Any) -> Tensor | dict[str, Tensor]:
        call = signature.bind(*args, **params)
        call.apply_defaults()
        given = call.arguments
        for key, choices in words.items():
            if given[key] not in choices:
                hint = suggest(str(given[key]), list(choices))
                raise ValueError(f"{name}: unknown {key} {given[key]!r}; {hint}")
        check_shapes({key: given[key] for key in tensors}, given["mode"])
        if given["logits"].dim() == 5:
            given |= {key: _as_images(given[key], key, planar) for key in tensors}
        given |= _cleaned(given)
        logits = given.pop("logits")
        with torch.autocast(logits.device.type, enabled=False):
            wide = logits if logits.dtype == torch.float64 else logits.float()
            pixels = Pixels(wide, given.pop("target"), given.pop("ignore"), mode=given.pop("mode"))
            return function(pixels, **given)

    return call_checked


def _as_images(value: Tensor | None, key: str, planar: bool) -> Tensor | None:
    """Lay a tensor of volumes out as images: every slice below the one before, (..., Z * H, W).

    A sum over the pixels of an image is then one over a volume. planar: every slice is an image of
    its own, (B * Z, ...), for what looks at neighbouring pixels.
    """
    if value is None or key == "annotated":
        return value
    if not planar:
        return value.flatten(-3, -2)
    return value.movedim(-3, 1).flatten(0, 1)


def _cleaned(given: dict[str, Any]) -> dict[str, Any]:
    """Return the shared arguments of a call as the losses count on them."""
    logits, target, ignore = given["logits"], given["target"], given["ignore"]
    annotated, class_weights = given.get("annotated"), given.get("class_weights")
    if given["mode"] == "multiclass":
        if annotated is not None:
            raise ValueError(
                "annotated: a softmax needs every class of an image; ignore its pixels instead"
            )
        target, ignore = _classes(target, ignore, logits.shape[1])
    found = {"target": target, "ignore": None if ignore is None else ignore.bool()}
    void = None if ignore is None else found["ignore"][:, None]
    if annotated is not None:
        found["annotated"] = annotated.bool()
        unknown = ~found["annotated"][:, :, None, None]
        void = unknown if void is None else void | unknown
    if void is not None:  # 0 · NaN is NaN, forward and backward: a weight of 0 would not do
        found["logits"] = logits.masked_fill(void, 0)
    if class_weights is not None:
        found["class_weights"] = checked_weights(class_weights, logits.shape[1])
    return found


def check_shapes(tensors: dict[str, Any], mode: str) -> None:
    """Raise ValueError unless target, ignored pixels and maps fit the logits; None is absent.

    tensors: the arguments by name, `logits` among them; those that are not known are maps.
    """
    logits = tensors["logits"]
    if not isinstance(logits, Tensor) or logits.dim() not in (4, 5):
        raise ValueError(f"logits: expected a tensor (B, C, [Z,] H, W), found {_shape(logits)}")
    if 0 in logits.shape:
        raise ValueError(f"logits: {_shape(logits)} holds no pixels; a loss needs at least one")
    batch, classes, *size = logits.shape
    planes, numbers = (batch, classes, *size), (batch, *size)
    fitting: dict[str, list[tuple[int, ...]]] = {
        "logits": [planes],
        "target": [planes, numbers] if mode == "multiclass" else [planes],
        "ignore": [numbers],
        "annotated": [(batch, classes)],
    }
    for key, value in tensors.items():
        shapes = fitting.get(key, [planes, (batch, 1, *size)])  # of a map
        if value is not None and _shape(value) not in map(str, shapes):
            raise ValueError(
                f"{key}: {_shape(value)} does not fit logits {_shape(logits)} in mode {mode}; "
                f"expected {' or '.join(map(str, dict.fromkeys(shapes)))}"
            )


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _classes(target: Tensor, ignore: Tensor | None, classes: int) -> tuple[Tensor, Tensor | None]:
    """Return class numbers within 0 to C - 1 and the pixels to ignore; planes stay planes."""
    if target.dim() == 4:
        return target, ignore
    numbers = target.long()
    low, high = torch.stack(numbers.aminmax()).tolist()  # one wait for a GPU instead of two
    if low >= 0 and high < classes:
        return numbers, ignore
    void = numbers == VOID
    ignore = void if ignore is None else ignore.bool() | void
    outside = (numbers < 0) | (numbers >= classes)
    if (outside & ~ignore).any():
        wrong = numbers[outside & ~ignore][0].item()
        raise ValueError(
            f"target: class number {wrong}, but there are {classes} classes; expected 0 to "
            f"{classes - 1}, or {VOID} for a pixel to ignore"
        )
    return numbers.masked_fill(outside, 0), ignore


def need_weight(**weights: float) -> None:
    """Raise ValueError when all parts of a loss have weight 0: no prediction would be better."""
    if not any(weights.values()):
        raise ValueError(f"{', '.join(weights)}: all are 0; give at least one a weight")


def checked_weights(weights: Sequence[float], classes: int) -> list[float]:
    """Return class weights as numbers; raises ValueError when they cannot weight the classes."""
    found = [float(weight) for weight in weights]
    if len(found) != classes:
        raise ValueError(f"class_weights: {len(found)} weights for {classes} classes")
    if not all(0 <= weight < math.inf for weight in found) or not any(found):
        raise ValueError(f"class_weights: {found}; expected numbers from 0, at least one above 0")
    return found
