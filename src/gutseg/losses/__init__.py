"""Segmentation losses: logits in, float32 inside. LOSSES is the table of all of them.

A row's function takes logits, target, and by name what the pipeline may supply: `ignore`,
`annotated` and the maps of gutseg.data.maps. What a config may set is keyword-only. It returns
a scalar, or a dict of named terms whose sum is the loss.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, get_args, get_type_hints

from torch import Tensor

from gutseg.losses import (
    boundary,
    compound,
    distribution,
    generalised,
    nested,
    printed,
    region,
    third_party,
)
from gutseg.losses.reductions import Mode
from gutseg.registry import Spec, check

LOSSES = {
    # per-pixel maps
    "bce": Spec(distribution.bce, "binary cross-entropy; papers 001 and 002"),
    "ce": Spec(distribution.ce, "softmax cross-entropy and WCE; thesis 000, survey 004"),
    "wce_003": Spec(distribution.wce_003, "Sudre et al. 2017; paper 003"),
    "focal": Spec(distribution.focal, "Lin et al. 2017; thesis 000 equation 2.1"),
    "focal_softmax": Spec(distribution.focal_softmax, "thesis 000 equation 2.2, survey 004 eq. 3"),
    "topk_threshold": Spec(distribution.topk_threshold, "Wu et al. 2016; survey 004"),
    "topk_percent": Spec(distribution.topk_percent, "survey 004; nnU-Net takes 10 %"),
    "online_bootstrapping": Spec(distribution.online_bootstrapping, "thesis 000 eq. 2.3-2.4"),
    # overlap
    "dice": Spec(region.dice, "Milletari et al. 2016; thesis 000 equations 2.6-2.9"),
    "jaccard": Spec(region.jaccard, "survey 004"),
    "dl2": Spec(region.dl2, "Sudre et al. 2017; paper 003"),
    "tversky": Spec(region.tversky, "Salehi et al. 2017, arXiv:1706.05721"),
    "focal_tversky": Spec(region.focal_tversky, "Abraham and Khan 2018, arXiv:1810.07842"),
    "focal_dice": Spec(region.focal_dice, "Wang and Chung 2018; survey 004 equation 5"),
    "asymmetric": Spec(region.asymmetric, "Hashemi et al. 2018; survey 004 equation 7"),
    "generalised_dice": Spec(generalised.generalised_dice, "Sudre et al. 2017; paper 003"),
    "penalty_generalised_dice": Spec(
        generalised.penalty_generalised_dice, "Yang et al. 2019; survey 004 equation 8"
    ),
    "sensitivity_specificity": Spec(
        generalised.sensitivity_specificity, "Brosch et al. 2015; paper 003"
    ),
    # where a pixel lies
    "distance_ce": Spec(boundary.distance_ce, "Caliva et al. 2019; survey 004 equation 10"),
    "boundary_aware": Spec(boundary.boundary_aware, "Kim et al. 2021; survey 004 equation 11"),
    "border_weight_ce": Spec(boundary.border_weight_ce, "Ronneberger et al. 2015; report 002"),
    "pixel_lesion": Spec(boundary.pixel_lesion, "Zhu et al. 2022; survey 004 equation 9"),
    "boundary_kervadec": Spec(boundary.boundary_kervadec, "Kervadec et al. 2019"),
    # sums
    "bce_dice": Spec(compound.bce_dice, "course paper 001 sections V.F.4 and V.F.5"),
    "d_bce": Spec(compound.d_bce, "survey 004 equation 1"),
    "bce_iou_ssim": Spec(compound.bce_iou_ssim, "survey 004 equation 2; BASNet, UNet3+"),
    "ssim": Spec(compound.ssim_loss, "Wang et al. 2004"),
    "dice_focal": Spec(compound.dice_focal, "Zhu et al. 2019 (AnatomyNet); survey 004"),
    "weighted_sum": Spec(nested.WeightedSum, "thesis 000 equation 3.6"),
    "deep_supervision": Spec(nested.DeepSupervision, "thesis 000 (U-Net3+); nnU-Net's weights"),
    # as libraries have them
    "lovasz": Spec(third_party.lovasz, "Berman et al. 2018; symmetric: 3rd place"),
    "hausdorff_dt": Spec(third_party.hausdorff_dt, "Karimi and Salcudean 2019; MONAI"),
    # as printed, to show what the misprints do
    "soft_dice_001": Spec(printed.soft_dice_001, "course paper 001 section V.F.3"),
    "dice_as_printed_001": Spec(printed.dice_as_printed_001, "course paper 001 section V.F.2"),
    "generalised_dice_as_printed_003": Spec(
        printed.generalised_dice_as_printed_003, "paper 003 as translated"
    ),
    "asymmetric_as_printed_004": Spec(printed.asymmetric_as_printed_004, "survey 004 equation 7"),
    "penalty_as_printed_004": Spec(printed.penalty_as_printed_004, "survey 004 equation 8"),
}

# What the pipeline supplies beside logits and target, by name.
OPTIONAL = {"ignore", "annotated"}


def modes(name: str) -> tuple[str, ...]:
    """Return the modes a loss can work in: multilabel, multiclass or both."""
    annotation = get_type_hints(_signature_of(LOSSES[name].build)).get("mode")
    choices = [choice for choice in get_args(annotation) if choice is not type(None)]
    return tuple(get_args(choices[0]) if get_args(choices[0]) else choices)


def _signature_of(build: Callable) -> Callable:
    return build.__init__ if inspect.isclass(build) else build


def check_params(name: str, params: Mapping[str, Any], *, where: str = "loss") -> dict[str, Any]:
    """Check a loss and what stands inside it, at any depth; where: the config key, for errors.

    Returns the parameters coerced, defaults included; those inside a sum stay as few as they
    were. Raises ValueError naming the key and the choices.
    """
    found = check(LOSSES, name, params, where=where)
    build = LOSSES[name].build

    def inside(name: str, params: dict, where: str) -> dict:
        if "mode" in params:
            raise ValueError(f"{where}.params.mode: the data decide it; leave it out")
        full = check_params(name, params, where=where)
        return {key: full[key] for key in params}

    return build.within(found, f"{where}.params", inside) if inspect.isclass(build) else found


def rows_inside(
    name: str, params: Mapping[str, Any], *, where: str = "loss"
) -> Iterator[tuple[str, dict, str]]:
    """Give every loss that is not made of others: its name, parameters and config key."""
    build = LOSSES[name].build
    if not inspect.isclass(build):
        yield name, dict(params), where
        return
    found: list[tuple[str, dict, str]] = []

    def collect(name: str, params: dict, where: str) -> dict:
        found.extend(rows_inside(name, params, where=where))
        return params

    build.within(dict(params), f"{where}.params", collect)
    yield from found


def weighs_classes(name: str) -> bool:
    """Say whether a loss that is not made of others takes class weights."""
    return "class_weights" in inspect.signature(LOSSES[name].build).parameters


def with_class_weights(
    name: str, params: Mapping[str, Any], class_weights: Sequence[float]
) -> dict[str, Any]:
    """Return a loss's parameters with class weights wherever a loss inside takes them."""
    build = LOSSES[name].build
    if inspect.isclass(build):
        return build.within(
            dict(params),
            name,
            lambda inner, given, _: with_class_weights(inner, given, class_weights),
        )
    return dict(params) | ({"class_weights": class_weights} if weighs_classes(name) else {})


class Criterion:
    """A loss with its parameters set; returns the total and its terms."""

    def __init__(self, name: str, *, mode: Mode | None = None, **params: Any) -> None:
        """name, params: a row of LOSSES and its keyword arguments.

        mode: of the data; None takes the row's default. Raises ValueError when the loss cannot
        work in it, and for parameters that configs are refused.
        """
        params = check_params(name, params)
        if mode is not None:
            if mode not in modes(name):
                raise ValueError(f"loss {name!r} works in {' and '.join(modes(name))}, not {mode}")
            params["mode"] = mode
        self.name = name
        build = LOSSES[name].build
        if inspect.isclass(build):
            self.function = build(**params)
            self.required_maps, self.takes = self.function.required_maps, OPTIONAL
        else:
            self.function = partial(build, **params)
            extras = {
                key
                for key, parameter in inspect.signature(build).parameters.items()
                if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            } - {"logits", "target"}
            self.required_maps, self.takes = extras - OPTIONAL, extras & OPTIONAL

    def __call__(
        self, logits: Tensor, target: Tensor, **extras: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its terms; extras that the loss has no use for are left out."""
        wanted = {key: extras[key] for key in extras if key in self.required_maps | self.takes}
        value = self.function(logits, target, **wanted)
        terms = value if isinstance(value, dict) else {self.name: value}
        return sum(terms.values()), terms
