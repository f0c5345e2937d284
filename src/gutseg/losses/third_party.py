"""Losses that a library computes, or the distances in them."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from gutseg.losses.reductions import Pixels
from gutseg.losses.rows import MULTILABEL, loss
from gutseg.settings import Positive


@loss
def lovasz(x: Pixels, *, symmetric: bool = True) -> Tensor:
    """Lovász hinge or softmax of segmentation-models-pytorch; ignored pixels are not sorted.

    symmetric: the mean of the loss and that of the complement (multilabel only), as the
    3rd place [Hesene 2022] used it. Soft labels are rounded: the extension is one of sets. Under
    distributed training every rank sorts the pixels of its own batch: the gradient is the mean of
    theirs. Source: [Berman 2018].
    """
    from segmentation_models_pytorch.losses import LovaszLoss

    wide = x.logits.float()  # the library mixes in float32 of its own
    kept = slice(None) if x.ignore is None else ~x.ignore.flatten()
    pixels = wide.movedim(1, 0).flatten(1)[:, kept]  # (C, pixels that count)
    if not pixels.numel():
        return 0 * wide.sum()
    if x.mode == "multiclass":
        numbers = x.g.argmax(dim=1).flatten()[kept]
        return LovaszLoss("multiclass")(pixels[None, ..., None], numbers[None, ..., None])
    truth = (x.g >= 0.5).float().movedim(1, 0).flatten(1)[:, kept]  # (C, pixels that count)
    sides = [(pixels, truth), (-pixels, 1 - truth)] if symmetric else [(pixels, truth)]
    # the library flattens the classes into one set; here every class is one of its own
    hinge = LovaszLoss("multilabel")
    of_planes = [[hinge(p[None], g[None]) for p, g in zip(*side, strict=True)] for side in sides]
    return sum(sum(losses) / len(losses) for losses in of_planes) / len(sides)


@loss(modes=MULTILABEL, planar=True)
def hausdorff_dt(x: Pixels, *, alpha: Positive = 2.0, log: bool = False) -> Tensor:
    """Mean of (p - g)² (d_p^α + d_g^α), d the distance to the edge of prediction or target.

    alpha: power of the distances, in pixels. log: log(1 + the mean), MONAI's LogHausdorffDTLoss.
    A plane without an edge has distance 0; ignored
    pixels lie on neither side of one. Distance transforms of the prediction are taken in the
    loss, so it costs far more than the others and is meant for fine-tuning.
    Source: [Karimi 2019], as MONAI's HausdorffDTLoss has it.
    """
    of_p, of_g = (_edge_distance(inside > 0.5, x.kept) ** alpha for inside in (x.p, x.g))
    found = x.mean((x.p - x.g) ** 2 * (of_p + of_g).to(x.p))
    return found.log1p() if log else found


def _edge_distance(inside: Tensor, kept: Tensor) -> Tensor:
    """Distance of each pixel to the nearest kept one of the other side; (B, C, H, W) bool in."""
    planes = inside.detach().flatten(0, 1).cpu().numpy()
    counted = kept.bool().flatten(0, 1).cpu().numpy()
    found = np.zeros(planes.shape)
    for distance, mask, known in zip(found, planes, counted, strict=True):
        if (mask & known).any() and (~mask & known).any():
            to_mask = ndimage.distance_transform_edt(~(mask & known))
            to_rest = ndimage.distance_transform_edt(mask | ~known)
            distance[:] = np.where(mask, to_rest, to_mask)
    return torch.from_numpy(found).reshape(inside.shape)
