"""Segmentation losses: logits in, float32 inside. LOSSES is the table of all of them.

Every loss is a function of logits and target (gutseg.losses.rows says what they and the shared
arguments mean) that returns a scalar, or a dict of named terms whose sum is the loss. A new one
is a formula under a decorator of gutseg.losses.rows and a row of gutseg.losses.table.
"""

from gutseg.losses.compound import bce_dice, bce_iou_ssim, d_bce, dice_focal, ssim
from gutseg.losses.criterion import (
    Criterion,
    check_params,
    rows_inside,
    takes_class_weights,
    with_class_weights,
)
from gutseg.losses.nested import DeepSupervision, WeightedSum
from gutseg.losses.pixel import (
    bce,
    border_weight_ce,
    boundary_aware,
    boundary_kervadec,
    ce,
    distance_ce,
    focal,
    focal_softmax,
    online_bootstrapping,
    pixel_lesion,
    soft_dice_per_pixel,
    topk_percent,
    topk_threshold,
    weighted_bce_from_predictions,
)
from gutseg.losses.region import (
    asymmetric,
    asymmetric_as_printed,
    dice,
    dice_as_printed,
    dl2,
    focal_dice,
    focal_tversky,
    generalised_dice,
    generalised_dice_as_printed,
    jaccard,
    penalty_as_printed,
    penalty_generalised_dice,
    sensitivity_specificity,
    tversky,
)
from gutseg.losses.table import LOSSES
from gutseg.losses.third_party import hausdorff_dt, lovasz

__all__ = [
    "LOSSES",
    "Criterion",
    "DeepSupervision",
    "WeightedSum",
    "asymmetric",
    "asymmetric_as_printed",
    "bce",
    "bce_dice",
    "bce_iou_ssim",
    "border_weight_ce",
    "boundary_aware",
    "boundary_kervadec",
    "ce",
    "check_params",
    "d_bce",
    "dice",
    "dice_as_printed",
    "dice_focal",
    "distance_ce",
    "dl2",
    "focal",
    "focal_dice",
    "focal_softmax",
    "focal_tversky",
    "generalised_dice",
    "generalised_dice_as_printed",
    "hausdorff_dt",
    "jaccard",
    "lovasz",
    "online_bootstrapping",
    "penalty_as_printed",
    "penalty_generalised_dice",
    "pixel_lesion",
    "rows_inside",
    "sensitivity_specificity",
    "soft_dice_per_pixel",
    "ssim",
    "takes_class_weights",
    "topk_percent",
    "topk_threshold",
    "tversky",
    "weighted_bce_from_predictions",
    "with_class_weights",
]
