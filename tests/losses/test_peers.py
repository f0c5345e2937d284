"""Losses against the same in other libraries, where they define it alike."""

import pytest
import segmentation_models_pytorch as smp
import torch
from loss_cases import MULTILABEL, case, loss_of
from monai import losses as monai
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss


def _ssim(logits: Tensor, target: Tensor) -> Tensor:
    return monai.SSIMLoss(2, data_range=1.0)(logits.sigmoid(), target)


def _softmax_focal(logits: Tensor, target: Tensor) -> Tensor:
    # MONAI averages over the C channels of which all but one are zero
    loss = monai.FocalLoss(use_softmax=True, to_onehot_y=True)
    return loss(logits, target[:, None]) * logits.shape[1]


def _generalised(kind: str) -> monai.GeneralizedDiceLoss:
    return monai.GeneralizedDiceLoss(
        softmax=True, to_onehot_y=True, w_type=kind, smooth_nr=0, smooth_dr=1e-12, batch=True
    )


# (loss, parameters, the same in a library)
PEERS = [
    ("dice", {}, smp.losses.DiceLoss("multilabel")),
    ("dice", {}, monai.DiceLoss(sigmoid=True, batch=True, smooth_nr=0, smooth_dr=1e-12)),
    ("dice", {"reduction": "sample"}, monai.DiceLoss(sigmoid=True, smooth_nr=0, smooth_dr=1e-12)),
    (
        "dice",
        {"squared": True},
        monai.DiceLoss(sigmoid=True, batch=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-12),
    ),
    ("dice", {"mode": "multiclass"}, smp.losses.DiceLoss("multiclass")),
    ("jaccard", {}, smp.losses.JaccardLoss("multilabel")),
    ("jaccard", {"mode": "multiclass"}, smp.losses.JaccardLoss("multiclass")),
    ("tversky", {}, smp.losses.TverskyLoss("multilabel", alpha=0.3, beta=0.7)),
    ("focal", {"alpha": None}, smp.losses.FocalLoss("multilabel", alpha=None)),
    ("focal", {}, lambda x, y: sigmoid_focal_loss(x, y, reduction="mean")),
    ("focal_softmax", {}, _softmax_focal),
    ("bce", {}, torch.nn.BCEWithLogitsLoss()),
    ("ce", {}, torch.nn.CrossEntropyLoss()),
    ("ce", {"class_weights": [1.0, 2, 5]}, torch.nn.CrossEntropyLoss(torch.tensor([1.0, 2, 5]))),
    ("ssim", {}, _ssim),
    *(
        (
            "generalised_dice",
            {"mode": "multiclass", "weighting": kind},
            lambda x, y, kind=kind: _generalised(kind)(x, y[:, None]),
        )
        for kind in ("square", "simple", "uniform")
    ),
]


@pytest.mark.parametrize(("name", "params", "theirs"), PEERS)
def test_agreement_with_other_libraries(name, params, theirs):
    logits, target = case((2, 3, 24, 20))
    if params.get("mode") == "multiclass" or name not in MULTILABEL:
        target = torch.cat([torch.full_like(target[:, :1], 0.5), target[:, 1:]], 1).argmax(1)
    found = loss_of(name, logits, target, **params)
    assert found.item() == pytest.approx(theirs(logits, target).item(), abs=1e-6)
