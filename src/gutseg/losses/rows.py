"""What turns a formula into a row of LOSSES; everything that losses share is done here, once.

Arguments that mean the same in every loss:

logits: (B, C, H, W). target: (B, C, H, W) in [0, 1] in mode `multilabel` (sigmoid, organs may
overlap); class numbers (B, H, W), or planes (B, C, H, W) that add up to 1, in mode `multiclass`
(softmax). Soft labels are welcome in both: see `region_loss` and `pixel_loss`.
ignore: (B, H, W) bool, True where a pixel counts for nothing, as the class number -100 does.
annotated: (B, C) bool, False where a class was not annotated in an image (multilabel only).
class_weights: C numbers, none below 0.
reduction: `batch` sums over the whole batch before dividing, `sample` image by image.
absent: what a class without any target pixel adds: `skip` nothing, `penalise`
Σp / (Σp + 1), so that false positives cost, `one` the constant 1 of a Dice without smoothing.
A class of which no pixel counts, ignored or not annotated, adds nothing under any of them.

A formula's keyword-only parameters are what a config may set, besides those above; their
annotations hold the bounds.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

from torch import Tensor

from gutseg.losses.inputs import checked
from gutseg.losses.reductions import (
    Absent,
    ClassWeights,
    DivideBy,
    Mode,
    Reduction,
    hardest_mean,
    over_classes,
    pixel_mean,
    region_sums,
)

Formula = Callable[..., Any]
ARGUMENTS = {"sums", "logits", "target", "mode"}  # of a formula; beyond them it names maps


def _row_maker(finish: Callable[..., Tensor]) -> Callable[[Formula], Formula]:
    """Make a decorator of `finish(formula, logits, target, ...)`, which completes formulas.

    A row takes the parameters of both: maps after the target, and a formula's `mode` and
    keyword-only parameters instead of those of the same name.
    """
    _, *shared, _own = inspect.signature(finish).parameters.values()

    @wraps(finish)
    def decorate(formula: Formula) -> Formula:
        own = inspect.signature(formula).parameters
        found = {parameter.name: parameter for parameter in shared}
        for name, parameter in own.items():
            if name == "mode" and get_args(parameter.annotation):
                default = get_args(parameter.annotation)[0]
                found[name] = found[name].replace(annotation=parameter.annotation, default=default)
            elif name not in ARGUMENTS:
                found[name] = parameter
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        # a map has no default, so it comes before the masks that may be left out
        order = sorted(
            found.values(),
            key=lambda one: (kinds.index(one.kind), one.kind is kinds[0] and one.default is None),
        )

        @wraps(formula)
        def row(**given: Any) -> Tensor:
            return finish(formula, **given)

        signature = inspect.Signature(order, return_annotation=Tensor)
        row.__signature__ = signature  # type: ignore[attr-defined]  # read by inspect
        row.__annotations__ = {one.name: one.annotation for one in order}
        return checked(row)

    return decorate


@_row_maker
def region_loss(
    formula: Formula,
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    annotated: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    class_weights: ClassWeights = None,
    absent: Absent = "skip",
    reduction: Reduction = "batch",
    **own: Any,
) -> Tensor:
    """Make a loss of formula(sums, **own) -> (R, C), one number for every row and class.

    Soft labels: the sums have the L1 form TP = Σ min(p, g) = (|p| + |g| - |p - g|) / 2, which is
    Σpg where g is 0 or 1; so FP = FN = 0, and a Dice loss 0, exactly where p = g
    [Wang Z 2023]. A formula with a setting `squared` gets Σpg, Σp² and
    Σg² where it is set, which has the same zero.
    """
    sums = region_sums(
        logits,
        target,
        mode=mode,
        ignore=ignore,
        annotated=annotated,
        reduction=reduction,
        squared=own.get("squared", False),
    )
    return over_classes(formula(sums, **own), sums, absent=absent, class_weights=class_weights)


@_row_maker
def class_set_loss(
    formula: Formula,
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    annotated: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    reduction: Reduction = "batch",
    **own: Any,
) -> Tensor:
    """Make a loss of formula(sums, mode, **own), which joins the classes in one fraction."""
    sums = region_sums(
        logits, target, mode=mode, ignore=ignore, annotated=annotated, reduction=reduction
    )
    return formula(sums, mode, **own)


@_row_maker
def pixel_loss(
    formula: Formula,
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    annotated: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    class_weights: ClassWeights = None,
    divide_by: DivideBy = "weights",
    **own: Any,
) -> Tensor:
    """Make a loss of formula(logits, target, mode, [maps,] **own) -> (B, C or 1, H, W).

    divide_by: `weights` divides by the sum of the class weights, as torch does with
    reduction="mean"; `pixels` by the number of pixels, as papers print it.
    Soft labels: the cross-entropy is -Σ g log p, and a pixel's weight Σ g w is the mean of the
    weights of its labels; so p = g remains the minimum, whatever the weights.
    """
    return pixel_mean(
        formula(logits, target, mode, **own),
        target,
        mode=mode,
        ignore=ignore,
        annotated=annotated,
        class_weights=class_weights,
        divide_by=divide_by,
    )


@_row_maker
def hard_pixel_loss(
    formula: Formula,
    logits: Tensor,
    target: Tensor,
    ignore: Tensor | None = None,
    *,
    mode: Mode = "multilabel",
    **own: Any,
) -> Tensor:
    """Make a loss of formula(logits, target, mode, **own) -> (losses, scores, count).

    It is the mean of the losses of each image's highest scores, count(scores) of them.
    """
    losses, scores, count = formula(logits, target, mode, **own)
    return hardest_mean(losses, scores, ignore, count)
