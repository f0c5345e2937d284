"""Segmentation losses: logits in, float32 inside. LOSSES is the table of all of them.

Every loss is a function of logits and target (gutseg.losses.rows says what they and the shared
arguments mean) that returns a scalar, or a dict of named terms whose sum is the loss. A new one
is a formula under a decorator of gutseg.losses.rows, and a row here.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from torch import Tensor

from gutseg.losses import compound, nested, pixel, region, shape, third_party
from gutseg.losses.reductions import Mode
from gutseg.registry import Spec, check


@dataclass(frozen=True)
class LossSpec(Spec):
    """One row of LOSSES: what computes it, and its source. What it works on, it says itself."""

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Of the data: sigmoids, a softmax or either."""
        return getattr(self.build, "modes", get_args(Mode))

    @property
    def required_maps(self) -> Set[str]:
        """Rows of gutseg.data.maps.MAPS that it cannot do without."""
        return getattr(self.build, "required_maps", frozenset())

    @property
    def within(self) -> Callable[..., dict[str, Any]] | None:
        """What changes the parameters of the losses inside; None when it is not made of others."""
        return getattr(self.build, "within", None)


LOSSES: dict[str, LossSpec] = {
    # per-pixel maps
    "bce": LossSpec(pixel.bce, "[Xu 2022], [Wang T 2022]: binary cross-entropy"),
    "ce": LossSpec(pixel.ce, "[Tongji 2022], [Chen 2023]: CE and WCE"),
    "weighted_bce_from_predictions": LossSpec(
        pixel.weighted_bce_from_predictions, "[Sudre 2017]: WCE"
    ),
    "focal": LossSpec(pixel.focal, "[Lin 2017]; [Tongji 2022] equation 2.1"),
    "focal_softmax": LossSpec(
        pixel.focal_softmax, "[Tongji 2022] equation 2.2; [Chen 2023] equation 3"
    ),
    "topk_threshold": LossSpec(pixel.topk_threshold, "[Wu 2016]; [Chen 2023]"),
    "topk_percent": LossSpec(pixel.topk_percent, "[Chen 2023]; [Isensee 2021]: 10 %"),
    "online_bootstrapping": LossSpec(pixel.online_bootstrapping, "[Tongji 2022] equations 2.3-2.4"),
    # overlap
    "dice": LossSpec(region.dice, "[Milletari 2016]; [Tongji 2022] equations 2.6-2.9"),
    "jaccard": LossSpec(region.jaccard, "[Chen 2023]"),
    "dl2": LossSpec(region.dl2, "[Sudre 2017]"),
    "tversky": LossSpec(region.tversky, "[Salehi 2017] arXiv:1706.05721"),
    "focal_tversky": LossSpec(region.focal_tversky, "[Abraham 2018] arXiv:1810.07842"),
    "focal_dice": LossSpec(region.focal_dice, "[Wang 2018]; [Chen 2023] equation 5"),
    "asymmetric": LossSpec(region.asymmetric, "[Hashemi 2018]; [Chen 2023] equation 7"),
    "generalised_dice": LossSpec(region.generalised_dice, "[Sudre 2017] arXiv:1707.03237"),
    "penalty_generalised_dice": LossSpec(
        region.penalty_generalised_dice, "[Yang 2019]; [Chen 2023] equation 8"
    ),
    "sensitivity_specificity": LossSpec(
        region.sensitivity_specificity, "[Brosch 2015]; [Sudre 2017]"
    ),
    # where a pixel lies
    "distance_ce": LossSpec(pixel.distance_ce, "[Caliva 2019]; [Chen 2023] equation 10"),
    "boundary_aware": LossSpec(pixel.boundary_aware, "[Kim 2021]; [Chen 2023] equation 11"),
    "border_weight_ce": LossSpec(pixel.border_weight_ce, "[Ronneberger 2015]; [Wang T 2022]"),
    "pixel_lesion": LossSpec(pixel.pixel_lesion, "[Zhu 2022]; [Chen 2023] equation 9"),
    "boundary_kervadec": LossSpec(pixel.boundary_kervadec, "[Kervadec 2019] arXiv:1812.07032"),
    # outlines, pieces, skeletons
    "generalised_surface": LossSpec(shape.generalised_surface, "[Celaya 2023] arXiv:2302.03868"),
    "boundary_dou": LossSpec(shape.boundary_dou, "[Sun 2023] arXiv:2308.00220"),
    "cc_dice_ce": LossSpec(shape.cc_dice_ce, "[Bouteille 2025]; regions of [Jaus 2025]"),
    "blob_dice": LossSpec(shape.blob_dice, "[Kofler 2023] arXiv:2205.08209"),
    "cl_dice": LossSpec(shape.cl_dice, "[Shit 2021] arXiv:2003.07311"),
    "skeleton_recall": LossSpec(shape.skeleton_recall, "[Kirchhoff 2024] arXiv:2404.03010"),
    # sums
    "unified_focal": LossSpec(shape.unified_focal, "[Yeung 2022] arXiv:2102.04525"),
    "bce_dice": LossSpec(compound.bce_dice, "[Xu 2022] sections V.F.4-5"),
    "d_bce": LossSpec(compound.d_bce, "[Su 2021]; [Chen 2023] equation 1"),
    "bce_iou_ssim": LossSpec(
        compound.bce_iou_ssim, "[Chen 2023] equation 2; [Qin 2019], [Huang 2020]"
    ),
    "ssim": LossSpec(compound.ssim, "[Wang 2004] equation 13"),
    "dice_focal": LossSpec(compound.dice_focal, "[Zhu 2019]; [Chen 2023]"),
    "weighted_sum": LossSpec(nested.WeightedSum, "[Tongji 2022] equation 3.6"),
    "deep_supervision": LossSpec(
        nested.DeepSupervision, "[Tongji 2022], [Huang 2020]; weights of [Isensee 2021]"
    ),
    "worst_neighbours": LossSpec(nested.WorstNeighbours, "[Valverde 2026]: SCNP"),
    # as libraries have them
    "lovasz": LossSpec(third_party.lovasz, "[Berman 2018]; symmetric: [Hesene 2022]"),
    "hausdorff_dt": LossSpec(third_party.hausdorff_dt, "[Karimi 2019]; [Cardoso 2022]"),
    # as printed, to show what the misprints do
    "soft_dice_per_pixel": LossSpec(pixel.soft_dice_per_pixel, "[Xu 2022] section V.F.3"),
    "dice_as_printed": LossSpec(region.dice_as_printed, "[Xu 2022] section V.F.2"),
    "generalised_dice_as_printed": LossSpec(
        region.generalised_dice_as_printed, "[Sudre 2017] as translated"
    ),
    "asymmetric_as_printed": LossSpec(region.asymmetric_as_printed, "[Chen 2023] equation 7"),
    "penalty_as_printed": LossSpec(region.penalty_as_printed, "[Chen 2023] equation 8"),
}


def __getattr__(name: str) -> Callable[..., Any]:
    """Return a loss by its name, so that `from gutseg.losses import dice` works."""
    if name not in LOSSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return LOSSES[name].build


def check_params(name: str, params: Mapping[str, Any], *, where: str = "loss") -> dict[str, Any]:
    """Check a loss and the losses inside it, at any depth; where: the config key, for errors.

    Returns the parameters coerced, defaults included; those inside a sum stay as few as they
    were. Raises ValueError naming the key and the choices.
    """
    found = check(LOSSES, name, params, where=where)

    def inside(name: str, params: dict, where: str) -> dict:
        if "mode" in params:
            raise ValueError(f"{where}.params.mode: the data decide it; leave it out")
        full = check_params(name, params, where=where)
        return {key: full[key] for key in params}

    within = LOSSES[name].within
    return within(found, f"{where}.params", inside) if within else found


def rows_inside(
    name: str, params: Mapping[str, Any], *, where: str = "loss"
) -> list[tuple[str, dict, str]]:
    """Return every loss that is not made of others: its name, parameters and config key."""
    if (within := LOSSES[name].within) is None:
        return [(name, dict(params), where)]
    found = []

    def collect(name: str, params: dict, where: str) -> dict:
        found.extend(rows_inside(name, params, where=where))
        return params

    within(dict(params), f"{where}.params", collect)
    return found


def takes_class_weights(name: str) -> bool:
    """Say whether a loss that is not made of others takes class weights."""
    return "class_weights" in inspect.signature(LOSSES[name].build).parameters


def with_class_weights(
    name: str, params: Mapping[str, Any], class_weights: Sequence[float]
) -> dict[str, Any]:
    """Return a loss's parameters with class weights wherever a loss inside takes them."""

    def weighted(name: str, params: dict, _: str) -> dict:
        return with_class_weights(name, params, class_weights)

    if (within := LOSSES[name].within) is not None:
        return within(dict(params), name, weighted)
    return dict(params) | ({"class_weights": class_weights} if takes_class_weights(name) else {})


class Criterion:
    """A loss with its parameters set; returns the total and its terms."""

    def __init__(self, name: str, *, mode: Mode | None = None, **params: Any) -> None:
        """name, params: a row of LOSSES and its keyword arguments.

        mode: of the data; None takes the row's default. Raises ValueError when the loss cannot
        work in it, and for parameters that configs are refused.
        """
        params = check_params(name, params)
        row = LOSSES[name]
        if mode is not None:
            if mode not in row.modes:
                raise ValueError(f"loss {name!r} works in {' and '.join(row.modes)}, not {mode}")
            params["mode"] = mode
        self.name = name
        self.function = row.build(**params) if row.within else partial(row.build, **params)
        # a loss made of others knows the maps of its parts, and gives every part what it takes
        self.required_maps = getattr(self.function, "required_maps", row.required_maps)
        self.takes = None if row.within else inspect.signature(row.build).parameters

    def __call__(
        self, logits: Tensor, target: Tensor, **extras: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its terms; extras that the loss has no use for are left out."""
        if self.takes is not None:
            extras = {key: value for key, value in extras.items() if key in self.takes}
        value = self.function(logits, target, **extras)
        terms = value if isinstance(value, dict) else {self.name: value}
        return sum(terms.values()), terms
