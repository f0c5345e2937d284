"""Losses of outlines, pieces and skeletons in float64 numpy; nothing here is gutseg's.

Every function loops over images and classes, or over pixels, and counts the kept ones.
"""

import numpy as np
import reference_region as region
from reference_pixel import Case, mean, minus_log, probabilities


def generalised_surface(case, *, mode="multilabel"):
    """1 - Σ w Σ (D (1 - g - p))² / Σ w Σ D², w one over the pixels of the class (Celaya 2023)."""
    p, g, kept = probabilities(case.logits, mode), case.target, case.kept
    above = below = 0.0
    for c in range(p.shape[1]):
        d2 = case.maps["signed"][:, c].astype(float)[kept] ** 2
        size = g[:, c][kept].sum()
        if size:
            above += (d2 * (1 - g[:, c][kept] - p[:, c][kept]) ** 2).sum() / size
            below += d2.sum() / size
    return 1 - above / below if below else 0.0


def boundary_dou(case, *, mode="multilabel", largest=0.8):
    """(z + y - 2 I) / (z + y - (1 + α) I), α = 1 - 2 C / S in [0, .8] (Sun 2023)."""
    p, kept = probabilities(case.logits, mode), case.kept
    values = []
    for c in range(p.shape[1]):
        pc, g = p[:, c][kept], case.target[:, c][kept]
        if not g.any():
            continue
        alpha = 1 - 2 * _outline(case.target[:, c] * kept) / g.sum()
        common, both = (pc * g).sum(), (pc**2).sum() + (g**2).sum()
        alpha = min(max(alpha, 0), largest)
        values.append((both - 2 * common) / (both - (1 + alpha) * common))
    return np.mean(values) if values else 0.0


def _outline(planes: np.ndarray) -> int:
    """Pixels with one of four neighbours outside."""
    grown = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
    steps = [(0, 1), (2, 1), (1, 0), (1, 2)]
    height, width = planes.shape[1:]
    sides = [grown[:, y : y + height, x : x + width] for y, x in steps]
    return int(((planes == 1) & (np.min(sides, axis=0) == 0)).sum())


def unified_focal(case, *, mode="multilabel", weight=0.5, delta=0.6, gamma=0.5):
    """λ modified focal + (1 - λ) modified focal Tversky, both asymmetric (Yeung 2022)."""
    p, g = probabilities(case.logits, mode), case.target
    entropy = minus_log(case, mode)
    focal = np.where(g == 1, delta * entropy, (1 - delta) * p**gamma * entropy)
    values = []
    for tp, fp, fn, tn, _ in region.counts(case, mode)[0]:
        rare, rest = 0.0, 0.0
        if tp + fn > 0:
            rare = (1 - tp / (tp + delta * fn + (1 - delta) * fp)) ** (1 - gamma)
        if tn + fp + fn > 0:
            rest = 1 - tn / (tn + delta * fp + (1 - delta) * fn)
        values.append((rare + rest) / 2)
    return {"focal": weight * mean(focal, case), "tversky": (1 - weight) * np.mean(values)}


def cc_dice_ce(case, *, mode="multilabel", dice_weight=1.0, ce_weight=1.0):
    """Dice and cross-entropy inside the region of every piece (Bouteille 2025)."""
    p, entropy = probabilities(case.logits, mode), minus_log(case, mode)
    overlaps, entropies = [], []
    for seen, b, c in _parts(case):
        pc, g = p[b, c][seen], case.target[b, c][seen]
        entropies.append(entropy[b, c][seen].mean())
        if g.any():
            overlaps.append(1 - 2 * (pc * g).sum() / (pc.sum() + g.sum()))
    return {
        "dice": dice_weight * (np.mean(overlaps) if overlaps else 0.0),
        "ce": ce_weight * (np.mean(entropies) if entropies else 0.0),
    }


def blob_dice(case, *, mode="multilabel", whole=2.0, blobs=1.0):
    """Dice of everything, and of every piece with the other pieces cut out (Kofler 2023)."""
    p = probabilities(case.logits, mode)
    values = []
    for seen, b, c in _parts(case):
        g = case.target[b, c]
        if g[seen].any():
            used = case.kept[b] & ((g == 0) | seen)
            pc, gc = p[b, c][used], g[used]
            values.append(1 - 2 * (pc * gc).sum() / (pc.sum() + gc.sum()))
    together = region.dice(case, mode=mode)
    return {"dice": whole * together, "blobs": blobs * (np.mean(values) if values else 0.0)}


def _parts(case: Case):
    """The kept pixels of every part (H, W) of every plane, with its image and class."""
    numbers = case.maps["pieces"]
    for b, c in np.ndindex(numbers.shape[:2]):
        for number in np.unique(numbers[b, c]):
            seen = (numbers[b, c] == number) & case.kept[b]
            if seen.any():
                yield seen, b, c


def cl_dice(case, *, mode="multilabel", share=0.5, iterations=3):
    """(1 - α) Dice + α (1 - clDice) of soft skeletons (Shit 2021, algorithm 1)."""
    p, g, kept = probabilities(case.logits, mode), case.target, case.kept
    values = []
    for c in range(p.shape[1]):
        of_p = np.stack([_skeleton(p[b, c], kept[b], iterations) for b in range(len(p))])
        of_g = np.stack([_skeleton(g[b, c], kept[b], iterations) for b in range(len(p))])
        precision = (1 + (of_p * g[:, c])[kept].sum()) / (1 + of_p[kept].sum())
        recall = (1 + (of_g * p[:, c])[kept].sum()) / (1 + of_g[kept].sum())
        values.append(1 - 2 * precision * recall / (precision + recall))
    overlap = region.dice(case, mode=mode)
    return {"dice": (1 - share) * overlap, "cldice": share * np.mean(values)}


def _skeleton(plane: np.ndarray, kept: np.ndarray, iterations: int) -> np.ndarray:
    """Soft skeleton of one plane; what is not kept is as what lies beyond the image."""
    cross = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]
    square = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    plane = np.where(kept, plane, np.nan)

    def extreme(values, steps, best):
        wide = np.pad(values, 1, constant_values=np.nan)
        height, width = values.shape
        near = [wide[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in steps]
        found = best.reduce(near, axis=0)
        return np.where(kept, found, np.nan)

    skeleton = np.zeros(plane.shape)
    for _ in range(iterations + 1):
        eroded = extreme(plane, cross, np.fmin)
        ridge = np.maximum(plane - extreme(eroded, square, np.fmax), 0)
        skeleton = skeleton + np.maximum(ridge - skeleton * ridge, 0)
        plane = eroded
    return np.where(kept, skeleton, 0)


def skeleton_recall(case, *, mode="multilabel"):
    """1 - Σ p s / Σ s of classes with a skeleton (Kirchhoff 2024)."""
    p, values = probabilities(case.logits, mode), []
    for c in range(p.shape[1]):
        drawn = case.maps["skeleton"][:, c] & case.kept
        if drawn.any():
            values.append(1 - p[:, c][drawn].mean())
    return np.mean(values) if values else 0.0


def worst_logits(case: Case, reach: int) -> np.ndarray:
    """Every pixel's logits replaced by the worst of its neighbours with its label."""
    found = case.logits.copy()
    height, width = case.logits.shape[2:]
    for b, c, y, x in np.ndindex(case.logits.shape):
        rows = slice(max(y - reach, 0), min(y + reach + 1, height))
        columns = slice(max(x - reach, 0), min(x + reach + 1, width))
        label = case.target[b, c, y, x]
        alike = (case.target[b, c, rows, columns] == label) & case.kept[b, rows, columns]
        if alike.any() and case.kept[b, y, x]:
            near = case.logits[b, c, rows, columns][alike]
            found[b, c, y, x] = near.min() if label else near.max()
    return found
