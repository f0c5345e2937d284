"""Losses beside the same losses of other libraries: forward and backward, time and memory.

python -m benchmarks.losses [--quick] [--out FILE]
"""

import importlib.util
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.measure import in_turn, machine, main, peak_megabytes, table
from gutseg.losses import Criterion

SHAPE = (8, 3, 256, 256)
Loss = Callable[[Tensor, Tensor], Tensor]


def _smp() -> dict[str, Loss]:
    from segmentation_models_pytorch import losses

    return {
        "bce": losses.SoftBCEWithLogitsLoss(),
        "ce": losses.SoftCrossEntropyLoss(smooth_factor=0.0),
        "dice": losses.DiceLoss("multilabel"),
        "dice, softmax": losses.DiceLoss("multiclass"),
        "jaccard": losses.JaccardLoss("multilabel"),
        "tversky": losses.TverskyLoss("multilabel", alpha=0.3, beta=0.7),
        "focal": losses.FocalLoss("multilabel", alpha=0.25),
        "lovasz, one-sided": losses.LovaszLoss("multilabel"),
    }


def _monai() -> dict[str, Loss]:
    from monai import losses

    sigmoid = {"sigmoid": True, "batch": True}
    softmax = {"softmax": True, "to_onehot_y": True, "batch": True}

    def numbers(loss: Loss) -> Loss:
        return lambda logits, target: loss(logits, target[:, None])

    return {
        "dice": losses.DiceLoss(**sigmoid),
        "dice, softmax": numbers(losses.DiceLoss(**softmax)),
        "jaccard": losses.DiceLoss(jaccard=True, **sigmoid),
        "tversky": losses.TverskyLoss(alpha=0.3, beta=0.7, **sigmoid),
        "generalised_dice": numbers(losses.GeneralizedDiceLoss(**softmax)),
        "focal": losses.FocalLoss(alpha=0.25),
        "focal_softmax": numbers(losses.FocalLoss(use_softmax=True, to_onehot_y=True)),
        "dice_focal": losses.DiceFocalLoss(**sigmoid),
        "ssim": _monai_ssim(losses.SSIMLoss(2, data_range=1.0)),
        "hausdorff_dt": losses.HausdorffDTLoss(sigmoid=True, include_background=True),
    }


def _monai_ssim(loss: Callable) -> Loss:
    return lambda logits, target: loss(logits.sigmoid(), target)


def _kornia() -> dict[str, Loss]:
    from kornia import losses

    return {
        "focal": partial(
            losses.binary_focal_loss_with_logits, alpha=0.25, gamma=2.0, reduction="mean"
        ),
        "focal_softmax": partial(losses.focal_loss, alpha=0.5, gamma=2.0, reduction="mean"),
        "dice, softmax": partial(losses.dice_loss, average="macro"),
        "tversky, softmax": partial(losses.tversky_loss, alpha=0.3, beta=0.7),
        "ssim": lambda x, y: losses.ssim_loss(x.sigmoid(), y, 11),
        "lovasz, one-sided": lambda x, y: sum(
            losses.lovasz_hinge_loss(x[:, c : c + 1], y[:, c]) for c in range(x.shape[1])
        ),
    }


def _torch() -> dict[str, Loss]:
    from torchvision.ops import sigmoid_focal_loss

    return {
        "bce": torch.nn.BCEWithLogitsLoss(),
        "ce": torch.nn.CrossEntropyLoss(),
        "focal": partial(sigmoid_focal_loss, reduction="mean"),
    }


LIBRARIES = {
    "torch": ("torchvision", _torch),
    "smp": ("segmentation_models_pytorch", _smp),
    "MONAI": ("monai", _monai),
    "kornia": ("kornia", _kornia),
}
# name of a case: our loss, its parameters, and whether the target is class numbers
OURS = {
    "bce": ("bce", {}, False),
    "ce": ("ce", {}, True),
    "dice": ("dice", {}, False),
    "dice, softmax": ("dice", {"mode": "multiclass"}, True),
    "jaccard": ("jaccard", {}, False),
    "tversky": ("tversky", {}, False),
    "tversky, softmax": ("tversky", {"mode": "multiclass"}, True),
    "generalised_dice": ("generalised_dice", {"mode": "multiclass"}, True),
    "focal": ("focal", {}, False),
    "focal_softmax": ("focal_softmax", {}, True),
    "dice_focal": ("dice_focal", {}, False),
    "ssim": ("ssim", {}, False),
    "lovasz, one-sided": ("lovasz", {"symmetric": False}, False),
    "hausdorff_dt": ("hausdorff_dt", {}, False),
}


def _call(loss: Loss, logits: Tensor, target: Tensor) -> Callable[[], float]:
    def call() -> float:
        logits.grad = None
        value = loss(logits, target)
        value.backward()
        return float(value)

    return call


def _cases() -> dict[str, dict[str, Callable[[], float]]]:
    """Every case's candidates: ours and those of the libraries that are installed."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(SHAPE, generator=generator).requires_grad_()
    coarse = torch.randn(SHAPE[0], SHAPE[1], 16, 16, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, SHAPE[2:], mode="bilinear")
    masks, numbers = (smooth > 0.8).float(), smooth.argmax(1)
    peers = {
        name: make()
        for name, (module, make) in LIBRARIES.items()
        if importlib.util.find_spec(module)
    }
    found = {}
    for case, (loss, params, is_numbers) in OURS.items():
        target = numbers if is_numbers else masks
        criterion = Criterion(loss, **params)
        calls = {"gutseg": _call(lambda x, y, c=criterion: c(x, y)[0], logits, target)}
        for library, losses in peers.items():
            if case in losses:
                calls[library] = _call(losses[case], logits, target)
        found[case] = calls
    return found


def run(quick: bool) -> str:
    """Measure everything and return the report in Markdown."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    cases = _cases()
    columns = ["gutseg", *LIBRARIES]
    times = {
        case: in_turn(calls, rounds=3 if quick else 9, budget=20) for case, calls in cases.items()
    }
    rows = []
    for case, timings in times.items():
        others = [timing.seconds for name, timing in timings.items() if name != "gutseg"]
        cells = [1e3 * timings[name].seconds if name in timings else "-" for name in columns]
        rows.append([case, *cells, timings["gutseg"].seconds / min(others)])
    memory = [
        [case, *(peak_megabytes(calls[name]) if name in calls else "-" for name in columns)]
        for case, calls in cases.items()
    ]
    size = "x".join(map(str, SHAPE))
    return "\n".join(
        [
            "# Losses\n",
            f"{machine()}. Forward and backward at {size}, float32; ms, medians in turn.\n",
            table(["loss", *columns, "ours / fastest"], rows),
            "Peak extra memory of one call, MB.\n",
            table(["loss", *columns], memory),
        ]
    )


if __name__ == "__main__":
    main(run)
