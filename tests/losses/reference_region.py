"""Region losses in float64 numpy, written from the papers' formulas; nothing here is gutseg's.

Every function loops over the images (or the batch) and classes and counts the kept pixels.
"""

import numpy as np
from reference_pixel import Case, probabilities

# TP, FP, FN, TN and the squared size Σp² + Σg² of one class in one image or in the batch
Counts = tuple[float, float, float, float, float]


def counts(case: Case, mode: str, reduction: str = "batch") -> list[list[Counts | None]]:
    """Row by row, class by class; None where no pixel of the class was annotated and kept."""
    p, g = probabilities(case.logits, mode), case.target
    images = range(len(p))
    groups = [list(images)] if reduction == "batch" else [[image] for image in images]
    return [[_count(p, g, case, group, c) for c in range(p.shape[1])] for group in groups]


def _count(p: np.ndarray, g: np.ndarray, case: Case, group: list[int], c: int) -> Counts | None:
    seen = case.kept[group] & case.annotated[group, c][:, None, None]
    p, g = p[group, c][seen], g[group, c][seen]
    if p.size == 0:
        return None
    tp, fp, fn, tn = (
        (p * g).sum(),
        (p * (1 - g)).sum(),
        ((1 - p) * g).sum(),
        ((1 - p) * (1 - g)).sum(),
    )
    return tp, fp, fn, tn, (p**2).sum() + (g**2).sum()


def class_mean(case, loss, mode, reduction, absent, class_weights, prediction=lambda n: n[1]):
    """Average loss(TP, FP, FN, TN, squared size) over rows and classes under the absent policy.

    prediction: the size of the prediction of an absent class, of which `penalise` is made.
    """
    weights = class_weights or [1.0] * case.target.shape[1]
    values, divisors = [], []
    for row in counts(case, mode, reduction):
        for weight, numbers in zip(weights, row, strict=True):
            if numbers is None:
                continue
            tp, _, fn, _, _ = numbers
            if tp + fn > 0:
                value = loss(*numbers)
            elif absent == "skip":
                continue
            else:
                size = prediction(numbers)
                value = 1.0 if absent == "one" else size / (size + 1)
            values.append(weight * value)
            divisors.append(weight)
    return sum(values) / sum(divisors)


def dice(
    case,
    *,
    mode="multilabel",
    squared=False,
    class_weights=None,
    absent="skip",
    reduction="batch",
):
    """1 - 2 Σpg / (Σp + Σg), or with squares below ([Milletari 2016])."""
    if squared:
        return class_mean(
            case,
            lambda tp, fp, fn, tn, squares: 1 - 2 * tp / squares,
            *(mode, reduction, absent, class_weights),
            prediction=lambda numbers: numbers[4],
        )
    return class_mean(
        case,
        lambda tp, fp, fn, tn, squares: 1 - 2 * tp / (2 * tp + fp + fn),
        *(mode, reduction, absent, class_weights),
    )


def jaccard(case, *, mode="multilabel", class_weights=None, absent="skip", reduction="batch"):
    """1 - TP / (TP + FP + FN)."""
    return class_mean(
        case,
        lambda tp, fp, fn, tn, squares: 1 - tp / (tp + fp + fn),
        *(mode, reduction, absent, class_weights),
    )


def dl2(case, *, mode="multilabel", class_weights=None, absent="skip", reduction="batch"):
    """1 - Σpr / Σ(p + r) - Σ(1-p)(1-r) / Σ(2 - p - r) ([Sudre 2017]); an empty half counts 1/2."""

    def half(common: float, wrong: float) -> float:
        return common / (2 * common + wrong) if common + wrong > 0 else 0.5

    return class_mean(
        case,
        lambda tp, fp, fn, tn, squares: 1 - half(tp, fp + fn) - half(tn, fp + fn),
        *(mode, reduction, absent, class_weights),
    )


def tversky(
    case,
    *,
    mode="multilabel",
    alpha=0.3,
    beta=0.7,
    class_weights=None,
    absent="skip",
    reduction="batch",
):
    """1 - TP / (TP + α FP + β FN) ([Salehi 2017])."""
    return class_mean(
        case,
        lambda tp, fp, fn, tn, squares: 1 - tp / (tp + alpha * fp + beta * fn),
        *(mode, reduction, absent, class_weights),
    )


def focal_tversky(
    case,
    *,
    mode="multilabel",
    alpha=0.3,
    beta=0.7,
    gamma=4 / 3,
    class_weights=None,
    absent="skip",
    reduction="batch",
):
    """(1 - TI)^(1/γ) of every class ([Abraham 2018])."""
    return class_mean(
        case,
        lambda tp, fp, fn, tn, squares: (1 - tp / (tp + alpha * fp + beta * fn)) ** (1 / gamma),
        *(mode, reduction, absent, class_weights),
    )


def focal_dice(
    case,
    *,
    mode="multilabel",
    beta=2.0,
    class_weights=None,
    absent="skip",
    reduction="batch",
):
    """1 - D^(1/β), D the coefficient ([Wang 2018])."""
    return class_mean(
        case,
        lambda tp, fp, fn, tn, squares: 1 - (2 * tp / (2 * tp + fp + fn)) ** (1 / beta),
        *(mode, reduction, absent, class_weights),
    )


def asymmetric(
    case,
    *,
    mode="multilabel",
    beta=1.5,
    class_weights=None,
    absent="skip",
    reduction="batch",
):
    """1 - TP / (TP + β²/(1+β²) FN + 1/(1+β²) FP) ([Hashemi 2018])."""

    def loss(tp: float, fp: float, fn: float, tn: float, squares: float) -> float:
        return 1 - tp / (tp + beta**2 / (1 + beta**2) * fn + 1 / (1 + beta**2) * fp)

    return class_mean(case, loss, mode, reduction, absent, class_weights)


def asymmetric_as_printed(
    case,
    *,
    mode="multilabel",
    beta=1.5,
    class_weights=None,
    absent="skip",
    reduction="batch",
):
    """β²/(1+β²) on FP instead ([Chen 2023] equation 7)."""

    def loss(tp: float, fp: float, fn: float, tn: float, squares: float) -> float:
        return 1 - tp / (tp + beta**2 / (1 + beta**2) * fp + 1 / (1 + beta**2) * fn)

    return class_mean(case, loss, mode, reduction, absent, class_weights)


def dice_as_printed(
    case, *, mode="multilabel", class_weights=None, absent="skip", reduction="batch"
):
    """The coefficient, without "1 -" ([Xu 2022])."""
    return class_mean(
        case,
        lambda tp, fp, fn, tn, squares: 2 * tp / (2 * tp + fp + fn),
        *(mode, reduction, absent, class_weights),
    )


def generalised_dice(case, *, mode="multilabel", weighting="square", reduction="batch"):
    """1 - 2 Σ w TP / Σ w (2TP + FP + FN), w = 1 / (Σr)², 1 / Σr or 1 ([Sudre 2017])."""
    power = {"square": 2, "simple": 1, "uniform": 0}[weighting]

    def weight(tp: float, fp: float, fn: float) -> float:
        return 1 / (tp + fn) ** power if tp + fn > 0 else 0.0

    return _generalised(case, mode, reduction, weight)


def generalised_dice_as_printed(case, *, mode="multilabel", reduction="batch"):
    """w = 1 / Σ(r + p), as [Sudre 2017] is translated."""
    return _generalised(case, mode, reduction, lambda tp, fp, fn: 1 / (2 * tp + fp + fn))


def _generalised(case, mode, reduction, weight):
    """Over the classes of a softmax at once, over each sigmoid and its complement one by one."""
    groups = []
    for row in counts(case, mode, reduction):
        seen = [numbers for numbers in row if numbers is not None]
        if not seen:  # the whole image is ignored
            continue
        classes = [(tp, fp, fn) for tp, fp, fn, _, _ in seen]
        complements = [(tn, fn, fp) for _, fp, fn, tn, _ in seen]
        pairs = zip(classes, complements, strict=True)
        groups += [classes] if mode == "multiclass" else pairs
    losses = []
    for group in groups:
        above = sum(weight(*numbers) * numbers[0] for numbers in group)
        below = sum(weight(*n) * (2 * n[0] + n[1] + n[2]) for n in group)
        losses.append(1 - 2 * above / below)
    return np.mean(losses)


def penalty_generalised_dice(
    case, *, mode="multilabel", k=2.5, weighting="square", reduction="batch"
):
    """1 - S / (1 + k (1 - S)) of the generalised Dice score S ([Yang 2019])."""
    score = 1 - generalised_dice(case, mode=mode, weighting=weighting, reduction=reduction)
    return 1 - score / (1 + k * (1 - score))


def penalty_as_printed(case, *, mode="multilabel", k=2.5, reduction="batch"):
    """1 - L / (1 + k (1 - L)) of the loss L ([Chen 2023] equation 8)."""
    loss = generalised_dice(case, mode=mode, reduction=reduction)
    return 1 - loss / (1 + k * (1 - loss))


def sensitivity_specificity(case, *, mode="multilabel", sensitivity=0.05):
    """λ Σ(r-p)² r / Σr + (1-λ) Σ(r-p)² (1-r) / Σ(1-r), class by class ([Brosch 2015])."""
    losses = []
    for c in range(case.target.shape[1]):
        error = (case.target - probabilities(case.logits, mode))[:, c][case.kept] ** 2
        truth = case.target[:, c][case.kept] == 1
        missed = error[truth].mean() if truth.any() else 0.0
        invented = error[~truth].mean() if (~truth).any() else 0.0
        losses.append(sensitivity * missed + (1 - sensitivity) * invented)
    return np.mean(losses)
