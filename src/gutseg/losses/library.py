"""Losses that a library has as they are needed here, behind the shared arguments.

They see the batch of their own rank alone: under distributed training their gradients are
averaged over ranks, their sums are not gathered.
"""

from typing import Any, Literal

from torch import Tensor

from gutseg.losses.kernels import Mode, full_precision, one_hot


def lovasz(
    logits: Tensor, target: Tensor, *, mode: Mode = "multilabel", symmetric: bool = True
) -> Tensor:
    """Lovász hinge or softmax of segmentation-models-pytorch.

    symmetric: the mean of the loss and that of the complement (multilabel only), as the
    competition's 3rd place used it. Source: Berman et al. 2018.
    """
    from segmentation_models_pytorch.losses import LovaszLoss

    with full_precision(logits):
        wide = logits.float()  # the library mixes in float32 of its own
        if mode == "multiclass":
            numbers = target.argmax(dim=1) if target.dim() == 4 else target.long()
            return LovaszLoss("multiclass")(wide, numbers)
        forward = _by_class(LovaszLoss("multilabel"), wide, target.float())
        if not symmetric:
            return forward
        return (forward + _by_class(LovaszLoss("multilabel"), -wide, 1 - target.float())) / 2


def _by_class(loss: Any, logits: Tensor, target: Tensor) -> Tensor:
    """The library flattens the classes into one set; here every class is one of its own."""
    pairs = zip(logits.split(1, dim=1), target.split(1, dim=1), strict=True)
    return sum(loss(*pair) for pair in pairs) / logits.shape[1]


def hausdorff_dt(
    logits: Tensor,
    target: Tensor,
    *,
    mode: Literal["multilabel"] = "multilabel",
    alpha: float = 2.0,
) -> Tensor:
    """MONAI's distance-transform Hausdorff loss. Source: Karimi and Salcudean 2019.

    alpha: power of the distances. Distance transforms of the prediction are taken in the loss,
    so it costs far more than the others and belongs into fine-tuning.
    """
    from monai.losses import HausdorffDTLoss

    with full_precision(logits):
        loss = HausdorffDTLoss(alpha=alpha, sigmoid=True, include_background=True)
        return loss(logits.float(), one_hot(target, logits.shape[1]).float())
