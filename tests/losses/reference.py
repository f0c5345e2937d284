"""REFERENCE: every row of LOSSES in float64 numpy; nothing here is gutseg's.

Sums of losses return their terms by name, all others a number.
"""

import dataclasses

import numpy as np
import reference_pixel as pixel
import reference_region as region
import reference_shape as shape
from reference_pixel import Case


def bce_dice(
    case,
    *,
    mode="multilabel",
    dice_weight=0.5,
    class_weights=None,
    absent="skip",
    reduction="batch",
):
    """BCE + λ (1 - Dice) ([Xu 2022])."""
    settings = {"class_weights": class_weights, "absent": absent, "reduction": reduction}
    return {
        "bce": pixel.bce(case, class_weights=class_weights),
        "dice": dice_weight * region.dice(case, mode=mode, **settings),
    }


def d_bce(case, *, mode="multilabel", gamma=1.0):
    """(1 - Dice) + γ BCE ([Chen 2023] equation 1)."""
    return {"dice": region.dice(case, mode=mode), "bce": gamma * pixel.bce(case)}


def bce_iou_ssim(case, *, mode="multilabel", weights=(1.0, 1.0, 1.0)):
    """W1 BCE + W2 (1 - IoU) + W3 (1 - SSIM) ([Chen 2023] equation 2)."""
    return {
        "bce": weights[0] * pixel.bce(case),
        "iou": weights[1] * region.jaccard(case, mode=mode),
        "ssim": weights[2] * pixel.ssim(case, mode=mode),
    }


def dice_focal(
    case,
    *,
    mode="multilabel",
    focal_weight=0.5,
    gamma=2.0,
    class_weights=None,
    absent="skip",
):
    """(1 - Dice) + λ focal over what was annotated ([Zhu 2019])."""
    loss = pixel.plain_focal(case, mode, gamma)
    weights = class_weights or [1.0] * loss.shape[1]
    summed = divisor = 0.0
    for c, weight in enumerate(weights):
        seen = case.kept & case.annotated[:, c][:, None, None]
        summed += weight * loss[:, c][seen].sum()
        divisor += weight * seen.sum()
    overlap = region.dice(case, mode=mode, class_weights=class_weights, absent=absent)
    return {"dice": overlap, "focal": focal_weight * summed / divisor}


def weighted_sum(case, *, terms, mode=None):
    """Σ w · loss ([Tongji 2022] equation 3.6); the second tversky is called tversky_2."""
    values: dict[str, float] = {}
    seen: list[str] = []
    for term in terms:
        name, settings = term["loss"], term.get("params", {}) | ({"mode": mode} if mode else {})
        seen.append(name)
        label = name if seen.count(name) == 1 else f"{name}_{seen.count(name)}"
        values[label] = term.get("weight", 1.0) * total(REFERENCE[name](case, **settings))
    return values


def deep_supervision(case, *, loss, params=None, decay=0.5, coarsest=False, mode=None):
    """Σ_s w_s · loss of scale s, w_s = decay^s, the last 0 unless `coarsest`, of sum 1."""
    scales = [case.logits, *case.coarse]
    weights = [decay**s for s in range(len(scales))]
    if len(scales) > 1 and decay != 1 and not coarsest:
        weights[-1] = 0
    settings = dict(params or {}) | ({"mode": mode} if mode else {})
    values = {}
    for scale, (weight, logits) in enumerate(zip(weights, scales, strict=True)):
        rows, columns = (
            _bilinear(small, large)
            for small, large in zip(logits.shape[2:], case.logits.shape[2:], strict=True)
        )
        full = Case(rows @ logits @ columns.T, case.target, case.kept, case.annotated, case.maps)
        values[f"scale{scale}"] = weight / sum(weights) * total(REFERENCE[loss](full, **settings))
    return values


def _bilinear(small: int, large: int) -> np.ndarray:
    """(large, small) matrix: pixels are areas, beyond the outermost centres nothing changes."""
    centres = (np.arange(large) + 0.5) * small / large - 0.5
    hats = np.abs(centres.clip(0, small - 1)[:, None] - np.arange(small))
    return (1 - hats).clip(0)


def total(value: float | dict[str, float]) -> float:
    """A loss as one number."""
    return sum(value.values()) if isinstance(value, dict) else value


def lovasz(case, *, mode="multilabel", symmetric=True):
    """The Lovász extension of the Jaccard loss, of hinges or a softmax ([Berman 2018])."""
    kept = case.kept
    if mode == "multiclass":
        p = pixel.probabilities(case.logits, mode)
        pairs = [(p[:, c][kept], case.target[:, c][kept] == 1) for c in range(p.shape[1])]
        return np.mean([_extension(np.where(y, 1 - p, p), y) for p, y in pairs if y.any()])
    values = []
    for c in range(case.logits.shape[1]):
        x, y = case.logits[:, c][kept], case.target[:, c][kept] == 1
        hinge = np.maximum(0, 1 - x * np.where(y, 1, -1))
        values.append(_extension(hinge, y))
        if symmetric:
            values[-1] = (values[-1] + _extension(hinge, ~y)) / 2
    return np.mean(values)


def _extension(errors: np.ndarray, truth: np.ndarray) -> float:
    """Σ m_i [J(the i worst are wrong) - J(the i - 1 worst are wrong)]."""
    wrong, before, value = np.zeros(len(truth), bool), 0.0, 0.0
    for place in np.argsort(-errors):
        wrong[place] = True
        predicted = truth ^ wrong
        after = 1 - (truth & predicted).sum() / (truth | predicted).sum()
        value += errors[place] * (after - before)
        before = after
    return value


def worst_neighbours(case, *, loss, params=None, reach=1, mode=None):
    """The loss of the worst logits around every pixel among those of its label (Valverde 2026)."""
    worst = dataclasses.replace(case, logits=shape.worst_logits(case, reach))
    value = REFERENCE[loss](worst, **(dict(params or {}) | ({"mode": mode} if mode else {})))
    return value if isinstance(value, dict) else {loss: value}


def hausdorff_dt(case, *, mode="multilabel", alpha=2.0, log=False):
    """Mean of (p - g)² (d_p^α + d_g^α), d the distance to the other side (Karimi 2019; MONAI)."""
    p, g = pixel.probabilities(case.logits, mode), case.target
    values = np.empty_like(p)
    for b, c in np.ndindex(p.shape[:2]):
        sides = p[b, c] > 0.5, g[b, c] == 1
        distances = [_to_the_other_side(side, case.kept[b]) ** alpha for side in sides]
        values[b, c] = (p[b, c] - g[b, c]) ** 2 * sum(distances)
    found = pixel.mean(values, case)
    return np.log(1 + found) if log else found


def _to_the_other_side(mask: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Distance of every pixel to the nearest kept one of the other side; 0 without two sides."""
    if mask[kept].all() or not mask[kept].any():
        return np.zeros(mask.shape)
    places = np.argwhere(np.ones_like(mask))
    away = np.linalg.norm(places[:, None] - places, axis=-1)  # (pixels, pixels)
    other = (mask.ravel()[:, None] != mask.ravel()) & kept.ravel()
    return np.where(other, away, np.inf).min(1).reshape(mask.shape)


REFERENCE = {
    "bce": pixel.bce,
    "ce": pixel.ce,
    "weighted_bce_from_predictions": pixel.weighted_bce_from_predictions,
    "focal": pixel.focal,
    "focal_softmax": pixel.focal_softmax,
    "topk_threshold": pixel.topk_threshold,
    "topk_percent": pixel.topk_percent,
    "online_bootstrapping": pixel.online_bootstrapping,
    "dice": region.dice,
    "jaccard": region.jaccard,
    "dl2": region.dl2,
    "tversky": region.tversky,
    "focal_tversky": region.focal_tversky,
    "focal_dice": region.focal_dice,
    "asymmetric": region.asymmetric,
    "generalised_dice": region.generalised_dice,
    "penalty_generalised_dice": region.penalty_generalised_dice,
    "sensitivity_specificity": region.sensitivity_specificity,
    "distance_ce": pixel.distance_ce,
    "boundary_aware": pixel.boundary_aware,
    "border_weight_ce": pixel.border_weight_ce,
    "pixel_lesion": pixel.pixel_lesion,
    "boundary_kervadec": pixel.boundary_kervadec,
    "generalised_surface": shape.generalised_surface,
    "boundary_dou": shape.boundary_dou,
    "cc_dice_ce": shape.cc_dice_ce,
    "blob_dice": shape.blob_dice,
    "cl_dice": shape.cl_dice,
    "skeleton_recall": shape.skeleton_recall,
    "unified_focal": shape.unified_focal,
    "worst_neighbours": worst_neighbours,
    "bce_dice": bce_dice,
    "d_bce": d_bce,
    "bce_iou_ssim": bce_iou_ssim,
    "ssim": pixel.ssim,
    "dice_focal": dice_focal,
    "weighted_sum": weighted_sum,
    "deep_supervision": deep_supervision,
    "lovasz": lovasz,
    "hausdorff_dt": hausdorff_dt,
    "soft_dice_per_pixel": pixel.soft_dice_per_pixel,
    "dice_as_printed": region.dice_as_printed,
    "generalised_dice_as_printed": region.generalised_dice_as_printed,
    "asymmetric_as_printed": region.asymmetric_as_printed,
    "penalty_as_printed": region.penalty_as_printed,
}
