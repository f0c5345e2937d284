"""Every reading of the metric as its source words it, on coordinate lists, scan by scan.

scipy measures the distances and the edges are MONAI's; none of the fast code is shared.
"""

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import directed_hausdorff


def _coordinates(mask):
    return np.argwhere(mask).astype(float)


def _one_way(source, target):
    """scipy's directed_hausdorff; a k-d tree where the sets are too large for it."""
    if len(source) * len(target) < 4e6:
        return directed_hausdorff(source, target)[0]
    return cKDTree(target).query(source)[0].max()


def _both_ways(p, g):
    return max(_one_way(p, g), _one_way(g, p))


def _volume(p, g, scale, reach, ways, empty_both=np.nan):
    if not p.any() and not g.any():
        return empty_both
    if not p.any() or not g.any():
        return 1.0
    found = ways(_coordinates(p) * scale, _coordinates(g) * scale)
    return min(found / reach, 1.0)


def _dice(p, g):
    return 2 * (p & g).sum() / (p.sum() + g.sum())


def _dice_rows(prediction, truth):
    """Rows (slice, class) that are not empty on both sides, by slice."""
    for z in range(truth.shape[1]):
        yield [
            _dice(p, g)
            for p, g in zip(prediction[:, z], truth[:, z], strict=True)
            if p.any() or g.any()
        ]


def _edges(mask):
    """MONAI's edge: voxels that leave the mask under a 6-neighbour erosion; outside is empty."""
    padded = np.pad(mask, 1)
    inner = padded.copy()
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)
    return mask & ~inner[(slice(1, -1),) * mask.ndim]


def default(scans, ways=_both_ways, reach=3**0.5, both_empty=None):
    rows, volumes = [], []
    for prediction, truth in scans:
        for z in range(truth.shape[1]):
            for p, g in zip(prediction[:, z], truth[:, z], strict=True):
                if p.any() or g.any():
                    rows.append(_dice(p, g))
                elif both_empty is not None:
                    rows.append(both_empty)
        scale = 1 / np.array(truth.shape[1:])
        for p, g in zip(prediction, truth, strict=True):
            volumes.append(_volume(p, g, scale, reach, ways))
    return np.mean(rows), np.nanmean(volumes)


def one_sided(scans):
    return default(scans, ways=_one_way)


def no_sqrt3_clip(scans):
    return default(scans, reach=1.0)


def page_text(scans):
    return default(scans, both_empty=0.0)


def voxel_diagonal(scans):
    """abhivij: edges of the prediction to edges of the truth, in voxels over the diagonal."""
    slices, volumes = [], []
    for prediction, truth in scans:
        slices += [np.mean(organs) for organs in _dice_rows(prediction, truth) if organs]
        diagonal = np.sqrt(((np.array(truth.shape[1:]) - 1) ** 2).sum())
        found = [
            0.0
            if p.any() and (p == g).all()
            else _volume(_edges(p), _edges(g), 1, diagonal, _one_way)
            for p, g in zip(prediction, truth, strict=True)
        ]
        volumes.append(np.nanmean(found))
    return np.mean(slices), np.nanmean(volumes)


def mle_bench(scans):
    """grade.py: Dice by row, NaN skipped; distance of the union of the classes, by scan."""
    rows, volumes = [], []
    for prediction, truth in scans:
        rows += [dice for organs in _dice_rows(prediction, truth) for dice in organs]
        p, g = prediction.any(axis=0), truth.any(axis=0)
        if p.any() and g.any() and p.sum() > 10 * g.sum():
            volumes.append(1.0)
        else:
            volumes.append(_volume(p, g, 1 / np.array(g.shape), np.sqrt(3), _both_ways))
    return np.mean(rows), np.nanmean(volumes)


def carno_april(scans):
    """2I / (U + I + 1) + (U == 0), organs then slices; one-sided, not divided by √3."""
    slices, volumes = [], []
    for prediction, truth in scans:
        for z in range(truth.shape[1]):
            organs = []
            for p, g in zip(prediction[:, z], truth[:, z], strict=True):
                inter, union = (p & g).sum(), (p | g).sum()
                organs.append(2 * inter / (union + inter + 1) + (union == 0))
            slices.append(np.mean(organs))
        scale = 1 / np.array(truth.shape[1:])
        found = [
            _volume(p, g, scale, 1.0, _one_way) for p, g in zip(prediction, truth, strict=True)
        ]
        volumes.append(np.nanmean(found))
    return np.mean(slices), np.nanmean(volumes)


def slice_2d(scans):
    """yiheng: edges inside a slice over its diagonal; rows with an empty truth have no Dice."""
    rows, planes = [], []
    for prediction, truth in scans:
        height, width = truth.shape[2:]
        for p, g in zip(
            prediction.reshape(-1, height, width), truth.reshape(-1, height, width), strict=True
        ):
            if g.any():
                rows.append(_dice(p, g))
            if (p == g).all():
                planes.append(0.0)
            else:
                planes.append(_volume(_edges(p), _edges(g), 1, np.hypot(height, width), _one_way))
    return np.mean(rows), np.mean(planes)


PLAIN = {
    f.__name__: f
    for f in (
        default,
        one_sided,
        no_sqrt3_clip,
        voxel_diagonal,
        mle_bench,
        carno_april,
        slice_2d,
        page_text,
    )
}
