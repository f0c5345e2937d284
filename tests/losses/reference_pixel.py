"""Per-pixel losses in float64 numpy, written from the papers' formulas; nothing here is gutseg's.

A case holds what a loss is called with; `mode` and the settings are keyword arguments, with the
papers' values as defaults. Every function returns a number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Case:
    """What a loss sees."""

    # (B, C, H, W), and coarser ones after it for deep supervision
    logits: np.ndarray
    # (B, C, H, W) of 0 and 1, one-hot where classes exclude each other
    target: np.ndarray
    # (B, H, W), False where a pixel is ignored
    kept: np.ndarray
    # (B, C), False where a class was not annotated in an image
    annotated: np.ndarray
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    coarse: tuple[np.ndarray, ...] = ()


def probabilities(logits: np.ndarray, mode: str) -> np.ndarray:
    """Sigmoid, or softmax over classes."""
    if mode == "multilabel":
        return np.exp(-np.logaddexp(0, -logits))
    return np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


def minus_log(case: Case, mode: str) -> np.ndarray:
    """-log of the probability of the truth: (B, C, H, W) of sigmoids, (B, 1, H, W) of a softmax."""
    x, y = case.logits, case.target
    if mode == "multilabel":
        return y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)
    return np.logaddexp.reduce(x, axis=1, keepdims=True) - (y * x).sum(1, keepdims=True)


def mean(values: np.ndarray, case: Case) -> float:
    """Average what is kept and annotated of (B, C or 1, H, W)."""
    kept = np.broadcast_to(case.kept[:, None], values.shape)
    if values.shape[1] == case.annotated.shape[1]:
        kept = kept & case.annotated[:, :, None, None]
    return float(values[kept].mean())


def weighted_mean(
    values: np.ndarray,
    case: Case,
    mode: str,
    class_weights: Sequence[float] | None,
    divide_by: str,
) -> float:
    """Σ w l over the sum of the weights or over the number of values.

    Weights are those of the channels, or of the true class where the map has but one.
    """
    weights = np.asarray(class_weights or [1.0] * case.target.shape[1])[None, :, None, None]
    if mode == "multiclass" and values.shape[1] == 1:
        weights = (weights * case.target).sum(1, keepdims=True)
    weights = np.broadcast_to(weights, values.shape)
    total = mean(weights * values, case)
    return total / mean(weights, case) if divide_by == "weights" else total


def bce(case, *, mode="multilabel", class_weights=None, divide_by="weights"):
    """-[y log p + (1 - y) log(1 - p)]."""
    return weighted_mean(minus_log(case, mode), case, mode, class_weights, divide_by)


def ce(case, *, mode="multiclass", class_weights=None, divide_by="weights"):
    """-Σ_c W_c g_c log p_c: by ΣW as torch, by N as printed ([Chen 2023], [Tongji 2022])."""
    return weighted_mean(minus_log(case, mode), case, mode, class_weights, divide_by)


def weighted_bce_from_predictions(case, *, mode="multilabel", largest=100.0):
    """-[w r log p + (1 - r) log(1 - p)], w = (N - Σp) / Σp of a class ([Sudre 2017])."""
    p, loss = probabilities(case.logits, mode), minus_log(case, mode)
    weighted = loss.copy()
    for c in range(p.shape[1]):
        values = p[:, c][case.kept]
        w = (values.size - values.sum()) / values.sum()
        w = min(max(w, 1 / largest), largest)
        weighted[:, c] = np.where(case.target[:, c] == 1, w * loss[:, c], loss[:, c])
    return mean(weighted, case)


def focal(
    case, *, mode="multilabel", alpha=0.25, gamma=2.0, class_weights=None, divide_by="weights"
):
    """-[α y (1 - p)^γ log p + (1 - α)(1 - y) p^γ log(1 - p)] ([Lin 2017])."""
    positive, negative = (1, 1) if alpha is None else (alpha, 1 - alpha)
    p, q = probabilities(case.logits, mode), probabilities(-case.logits, mode)
    loss = -positive * case.target * q**gamma * np.log(p)
    loss -= negative * (1 - case.target) * p**gamma * np.log(q)
    return weighted_mean(loss, case, mode, class_weights, divide_by)


def true_probability(case: Case, mode: str) -> np.ndarray:
    """The probability given to what is true."""
    return np.exp(-minus_log(case, mode))


def focal_softmax(case, *, mode="multiclass", gamma=2.0, class_weights=None, divide_by="pixels"):
    """-(1/N) Σ α_y (1 - p_y)^γ log p_y ([Tongji 2022] equation 2.2)."""
    return weighted_mean(plain_focal(case, mode, gamma), case, mode, class_weights, divide_by)


def plain_focal(case: Case, mode: str, gamma: float) -> np.ndarray:
    """-(1 - p_true)^γ log p_true, pixel by pixel."""
    return (1 - true_probability(case, mode)) ** gamma * minus_log(case, mode)


def hardest(
    loss: np.ndarray, score: np.ndarray, case: Case, count: Callable[[np.ndarray], int]
) -> float:
    """Mean of the losses with the highest scores of every image."""
    chosen = []
    for image in range(len(loss)):
        kept = np.broadcast_to(case.kept[image], loss[image].shape)
        order = np.argsort(-score[image][kept])
        chosen.extend(loss[image][kept][order[: max(count(score[image][kept]), 1)]])
    return float(np.mean(chosen))


def topk_threshold(case, *, mode="multilabel", threshold=0.7, keep=1):
    """Mean cross-entropy of {p_true < t}, of the `keep` hardest at least ([Wu 2016])."""
    doubt = 1 - true_probability(case, mode)
    return hardest(
        minus_log(case, mode), doubt, case, lambda d: max(int((1 - d < threshold).sum()), keep)
    )


def topk_percent(case, *, mode="multilabel", percent=10.0):
    """Mean of the worst K % of the cross-entropies of an image ([Chen 2023])."""
    loss = minus_log(case, mode)
    return hardest(loss, loss, case, lambda values: int(values.size * percent / 100))


def online_bootstrapping(case, *, mode="multilabel", n=512):
    """Mean cross-entropy of an image's n pixels of largest (1/C) Σ|p - y| ([Tongji 2022])."""
    distance = np.abs(probabilities(case.logits, mode) - case.target).mean(1, keepdims=True)
    return hardest(minus_log(case, mode).mean(1, keepdims=True), distance, case, lambda _: n)


def of_the_truth(planes: np.ndarray, case: Case) -> np.ndarray:
    """The plane of every pixel's class."""
    return (planes * case.target).sum(1, keepdims=True)


def distance_ce(case, *, mode="multilabel", class_weights=None, divide_by="weights"):
    """(1/N) Σ_n Σ_c (1 + D_n^c) g log p, with the product inside the sum ([Caliva 2019])."""
    weight = 1 + case.maps["distance"]
    weight = weight if mode == "multilabel" else of_the_truth(weight, case)
    loss = weight * minus_log(case, mode)
    return weighted_mean(loss, case, mode, class_weights, divide_by)


def boundary_aware(case, *, mode="multilabel", boundary=0.7, interior=0.3):
    """p1 · mean loss of the band + p2 · mean loss of the rest ([Kim 2021])."""
    loss, band = minus_log(case, mode), case.maps["band"].astype(bool)
    if mode == "multiclass":  # near the outline of any class
        band = band.max(1, keepdims=True)
    kept = np.broadcast_to(case.kept[:, None], loss.shape)
    return boundary * loss[kept & band].mean() + interior * loss[kept & ~band].mean()


def border_weight_ce(case, *, mode="multilabel", class_weights=None, divide_by="weights"):
    """-Σ ω(x) log p (Ronneberger et al. 2015 equation 2, with its minus sign)."""
    loss = case.maps["border"] * minus_log(case, mode)
    return weighted_mean(loss, case, mode, class_weights, divide_by)


def pixel_lesion(case, *, mode="multilabel", alpha=0.5, gamma=2.0):
    """α · mean over lesions of their mean focal loss + (1 - α) · mean over pixels ([Zhu 2022])."""
    loss = plain_focal(case, mode, gamma)
    share = case.maps["lesion"] if mode == "multilabel" else of_the_truth(case.maps["lesion"], case)
    lesions = mean(share * loss, case) / mean(share, case)
    return alpha * lesions + (1 - alpha) * mean(loss, case)


def boundary_kervadec(case, *, mode="multilabel", class_weights=None, divide_by="weights"):
    """Mean of p times the signed distance ([Kervadec 2019])."""
    values = probabilities(case.logits, mode) * case.maps["signed"]
    return weighted_mean(values, case, mode, class_weights, divide_by)


def soft_dice_per_pixel(case, *, mode="multilabel", class_weights=None, divide_by="weights"):
    """-(1/N) Σ 2 y p / (y² + p²), which is 0 where y = 0 ([Xu 2022])."""
    y, p = case.target, probabilities(case.logits, mode)
    return weighted_mean(-2 * y * p / (y**2 + p**2), case, mode, class_weights, divide_by)


def ssim(case, *, mode="multilabel"):
    """1 - mean SSIM: Gaussian window of 11, σ = 1.5, range 1 ([Wang 2004] equation 13)."""
    p, y = probabilities(case.logits, mode), case.target
    p = np.where(case.kept[:, None], p, y)
    size = min(11, *p.shape[2:])
    bell = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / np.outer(bell, bell).sum()

    def local(values: np.ndarray) -> np.ndarray:
        views = np.lib.stride_tricks.sliding_window_view(values, (size, size), axis=(2, 3))
        return (views * window).sum((-2, -1))

    mu_p, mu_y = local(p), local(y)
    var_p, var_y = local(p * p) - mu_p**2, local(y * y) - mu_y**2
    covariance = local(p * y) - mu_p * mu_y
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mu_p * mu_y + c1) * (2 * covariance + c2)
    value /= (mu_p**2 + mu_y**2 + c1) * (var_p + var_y + c2)
    return 1 - float(value.mean())
