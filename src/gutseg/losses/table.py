"""LOSSES: every loss, where it comes from and what it works on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gutseg.losses import compound, nested, pixel, region, third_party
from gutseg.losses.reductions import Mode
from gutseg.registry import Spec

MULTILABEL: tuple[Mode, ...] = ("multilabel",)
MULTICLASS: tuple[Mode, ...] = ("multiclass",)
IGNORE = frozenset({"ignore"})


@dataclass(frozen=True)
class LossSpec(Spec):
    """One row of LOSSES: what computes it, its source, and what it works on."""

    # of the data: sigmoids, a softmax or either
    modes: tuple[Mode, ...] = MULTILABEL + MULTICLASS
    # rows of gutseg.data.maps.MAPS that it cannot do without
    required_maps: frozenset[str] = frozenset()
    # what the pipeline may pass besides
    takes: frozenset[str] = IGNORE | {"annotated"}

    @property
    def within(self) -> Callable[..., dict[str, Any]] | None:
        """What changes the parameters of the losses inside; None when it is not made of others."""
        return getattr(self.build, "within", None)


LOSSES: dict[str, LossSpec] = {
    # per-pixel maps
    "bce": LossSpec(pixel.bce, "[Xu 2022], [Wang T 2022]: binary cross-entropy", MULTILABEL),
    "ce": LossSpec(
        pixel.ce,
        "[Tongji 2022], [Chen 2023]: softmax cross-entropy and WCE",
        MULTICLASS,
        takes=IGNORE,
    ),
    "weighted_bce_from_predictions": LossSpec(
        pixel.weighted_bce_from_predictions, "[Sudre 2017]: WCE", MULTILABEL, takes=IGNORE
    ),
    "focal": LossSpec(pixel.focal, "[Lin 2017]; [Tongji 2022] equation 2.1", MULTILABEL),
    "focal_softmax": LossSpec(
        pixel.focal_softmax,
        "[Tongji 2022] equation 2.2, [Chen 2023] equation 3",
        MULTICLASS,
        takes=IGNORE,
    ),
    "topk_threshold": LossSpec(pixel.topk_threshold, "[Wu 2016]; [Chen 2023]", takes=IGNORE),
    "topk_percent": LossSpec(
        pixel.topk_percent, "[Chen 2023]; [Isensee 2021] takes 10 %", takes=IGNORE
    ),
    "online_bootstrapping": LossSpec(
        pixel.online_bootstrapping, "[Tongji 2022] equations 2.3-2.4", takes=IGNORE
    ),
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
        region.sensitivity_specificity, "[Brosch 2015]; [Sudre 2017]", takes=IGNORE
    ),
    # where a pixel lies
    "distance_ce": LossSpec(
        pixel.distance_ce,
        "[Caliva 2019] arXiv:1908.03679; [Chen 2023] equation 10",
        required_maps=frozenset({"distance"}),
    ),
    "boundary_aware": LossSpec(
        pixel.boundary_aware,
        "[Kim 2021]; [Chen 2023] equation 11",
        required_maps=frozenset({"band"}),
        takes=IGNORE,
    ),
    "border_weight_ce": LossSpec(
        pixel.border_weight_ce,
        "[Ronneberger 2015] equation 2; [Wang T 2022]",
        required_maps=frozenset({"border"}),
    ),
    "pixel_lesion": LossSpec(
        pixel.pixel_lesion,
        "[Zhu 2022]; [Chen 2023] equation 9",
        required_maps=frozenset({"lesion"}),
        takes=IGNORE,
    ),
    "boundary_kervadec": LossSpec(
        pixel.boundary_kervadec,
        "[Kervadec 2019] arXiv:1812.07032",
        required_maps=frozenset({"signed"}),
    ),
    # sums
    "bce_dice": LossSpec(compound.bce_dice, "[Xu 2022] sections V.F.4-5", MULTILABEL),
    "d_bce": LossSpec(compound.d_bce, "[Su 2021]; [Chen 2023] equation 1", MULTILABEL),
    "bce_iou_ssim": LossSpec(
        compound.bce_iou_ssim,
        "[Chen 2023] equation 2; [Qin 2019], [Huang 2020]",
        MULTILABEL,
        takes=IGNORE,
    ),
    "ssim": LossSpec(compound.ssim, "[Wang 2004] equation 13", takes=IGNORE),
    "dice_focal": LossSpec(compound.dice_focal, "[Zhu 2019]; [Chen 2023]", MULTILABEL),
    "weighted_sum": LossSpec(nested.WeightedSum, "[Tongji 2022] equation 3.6"),
    "deep_supervision": LossSpec(
        nested.DeepSupervision, "[Tongji 2022], [Huang 2020]; weights of [Isensee 2021]"
    ),
    # as libraries have them
    "lovasz": LossSpec(third_party.lovasz, "[Berman 2018]; symmetric: [Hesene 2022]", takes=IGNORE),
    "hausdorff_dt": LossSpec(
        third_party.hausdorff_dt, "[Karimi 2019]; [Cardoso 2022]", MULTILABEL, takes=IGNORE
    ),
    # as printed, to show what the misprints do
    "soft_dice_per_pixel": LossSpec(pixel.soft_dice_per_pixel, "[Xu 2022] section V.F.3"),
    "dice_as_printed": LossSpec(region.dice_as_printed, "[Xu 2022] section V.F.2"),
    "generalised_dice_as_printed": LossSpec(
        region.generalised_dice_as_printed, "[Sudre 2017] as translated"
    ),
    "asymmetric_as_printed": LossSpec(region.asymmetric_as_printed, "[Chen 2023] equation 7"),
    "penalty_as_printed": LossSpec(region.penalty_as_printed, "[Chen 2023] equation 8"),
}
