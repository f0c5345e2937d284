"""What turns a formula into a row of LOSSES; everything that losses share is done here, once.

Arguments that mean the same in every loss:

logits: (B, C, H, W). target: (B, C, H, W) in [0, 1] in mode `multilabel` (sigmoid, organs may
overlap); class numbers (B, H, W), or planes (B, C, H, W) that add up to 1, in mode `multiclass`
(softmax). All may be of volumes, (B, C, Z, H, W) and so on, which then are the images.
Soft labels are welcome in both modes: see `region_loss` and `pixel_loss`.
ignore: (B, H, W) bool, True where a pixel counts for nothing, as the class number -100 does.
annotated: (B, C) bool, False where a class was not annotated in an image (multilabel only).
class_weights: C numbers, none below 0.
reduction: `batch` sums over the whole batch before dividing, `sample` image by image.
absent: what a class without any target pixel adds: `skip` nothing, `penalise`
Σp / (Σp + 1), of `squared` sums Σp² / (Σp² + 1), so that false positives cost, `one` the
constant 1 of a Dice without smoothing.
A class of which no pixel counts, ignored or not annotated, adds nothing under any of them.

A formula's other parameters are the maps it needs and, keyword-only, what a config may set, with
their bounds. A decorator takes `modes` of a formula that works in one alone, `planar` of one that
looks at neighbouring pixels and so takes volumes slice by slice, and other defaults; what it makes
has `modes` and `required_maps`.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Literal, get_args

from torch import Tensor

from gutseg.losses.inputs import checked
from gutseg.losses.reductions import (
    Absent,
    ClassWeights,
    DivideBy,
    Mode,
    Pixels,
    Reduction,
    over_classes,
    region_sums,
)

Formula = Callable[..., Any]
Mask = Tensor | None
MULTILABEL: tuple[Mode, ...] = ("multilabel",)
MULTICLASS: tuple[Mode, ...] = ("multiclass",)


def _row_maker(finish: Formula) -> Callable[..., Formula]:
    """Make a decorator of `finish(formula, pixels, ...)`, which completes formulas."""
    _, _, *shared, _own = inspect.signature(finish).parameters.values()

    @wraps(finish)
    def decorate(
        formula: Formula | None = None,
        /,
        *,
        modes: tuple[Mode, ...] = get_args(Mode),
        planar: bool = False,
        **defaults: Any,
    ) -> Formula:
        if formula is None:
            return partial(decorate, modes=modes, planar=planar, **defaults)
        _, *own = inspect.signature(formula).parameters.values()
        every = inspect.signature(Pixels).parameters.values()
        found = {one.name: one for one in (*every, *shared, *own)}
        annotation = Literal.__getitem__(modes)
        found["mode"] = found["mode"].replace(annotation=annotation, default=modes[0])
        for key, value in defaults.items():
            found[key] = found[key].replace(default=value)
        if modes == MULTICLASS:  # a softmax needs every class of an image
            found.pop("annotated", None)
        # what a call must give, maps among it, comes before what it may leave out
        order = sorted(
            found.values(),
            key=lambda one: (
                one.kind,
                one.kind == one.POSITIONAL_OR_KEYWORD and one.default is None,
            ),
        )
        signature = inspect.Signature(order, return_annotation=Tensor)
        finished = partial(finish, formula)
        row = wraps(formula)(checked(finished, signature, formula.__name__, planar=planar))
        row.__annotations__ = {one.name: one.annotation for one in order}
        maps = {one.name for one in own if one.kind is one.POSITIONAL_OR_KEYWORD} - {"annotated"}
        vars(row).update(__signature__=signature, modes=modes, required_maps=maps)
        return row

    return decorate


@_row_maker
def region_loss(
    formula: Formula,
    pixels: Pixels,
    annotated: Mask = None,
    *,
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
    **own: Any,
) -> Tensor:
    """Make a loss of formula(sums, **own) -> (R, C), one number for every row and class.

    Soft labels: the sums have the L1 form TP = Σ min(p, g) = (|p| + |g| - |p - g|) / 2, which is
    Σpg where g is 0 or 1; so FP = FN = 0, and a Dice loss 0, exactly where p = g [Wang Z 2023].
    A formula with a setting `squared` gets Σpg, Σp² and Σg² where it is set, with the same zero.
    """
    sums = region_sums(pixels, annotated, reduction, own.get("squared", False))
    return over_classes(formula(sums, **own), sums, absent=absent, class_weights=class_weights)


@_row_maker
def class_set_loss(
    formula: Formula,
    pixels: Pixels,
    annotated: Mask = None,
    *,
    reduction: Reduction = "batch",
    **own: Any,
) -> Tensor:
    """Make a loss of formula(sums, **own), which joins the classes in one fraction."""
    return formula(region_sums(pixels, annotated, reduction), **own)


@_row_maker
def pixel_loss(
    formula: Formula,
    pixels: Pixels,
    annotated: Mask = None,
    *,
    class_weights: ClassWeights = None,
    divide_by: DivideBy = "weights",
    **own: Any,
) -> Tensor:
    """Make a loss of formula(pixels, [maps,] **own) -> (B, C or 1, H, W), one number a pixel.

    divide_by: `weights` divides by the sum of the class weights, as torch does with
    reduction="mean"; `pixels` by the number of pixels, as papers print it.
    Soft labels: the cross-entropy is -Σ g log p, and a pixel's weight Σ g w is the mean of the
    weights of its labels; so p = g remains the minimum, whatever the weights.
    """
    return pixels.mean(formula(pixels, **own), annotated, class_weights, divide_by)


@_row_maker
def loss(formula: Formula, pixels: Pixels, **own: Any) -> Tensor | dict[str, Tensor]:
    """Make a loss of formula(pixels, [maps,] **own), which is all of it."""
    return formula(pixels, **own)
