"""Every row of LOSSES on the cases that break losses: empty masks, gradients, half precision."""

import pytest
import torch
from loss_cases import case, criterion, loss_of, native

from gutseg.losses import LOSSES

ALL = sorted(LOSSES)
MAPS = ("band", "border", "distance", "lesion", "signed")
# Terms that are constants for the gradient, on purpose: weights from predictions, distances.
CONSTANT_PARTS = {"wce_003", "generalised_dice_as_printed_003", "hausdorff_dt"}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("where", ["all empty", "class absent", "perfect"])
@pytest.mark.parametrize("level", [-30.0, -6.0, 0.0, 6.0])
def test_value_and_gradient_stay_finite(name, where, level):
    logits, target = case()
    logits = torch.full_like(logits, level)
    if where == "all empty":
        target = torch.zeros_like(target)
    elif where == "class absent":
        target[:, 1] = 0
    else:
        logits = 2 * level * (2 * target - 1)
    logits.requires_grad_()
    loss = loss_of(name, logits, native(name, target))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", sorted(set(ALL) - CONSTANT_PARTS))
def test_gradient_is_the_derivative(name):
    logits, target = case((2, 2, 3, 3))
    logits = logits.double().requires_grad_()
    # smp's Lovász sums in float32
    tolerance = {"eps": 1e-2, "atol": 1e-3} if name == "lovasz" else {}
    target = native(name, target)
    assert torch.autograd.gradcheck(
        lambda x: loss_of(name, x, target).double(), logits, **tolerance
    )


def test_weights_from_predictions_are_constants_for_the_gradient():
    logits, target = case((2, 2, 3, 3))
    logits.requires_grad_()
    loss_of("wce_003", logits, target).backward()
    p = logits.detach().sigmoid()
    weight = ((1 - p).sum((0, 2, 3)) / p.sum((0, 2, 3)))[:, None, None]
    by_hand = torch.where(target > 0, weight * (p - 1), p) / p.numel()
    assert torch.allclose(logits.grad, by_hand, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_at_full_size(name, dtype):
    """Sums over 16 x 320 x 384 pixels overflow float16 (65,504) unless they are widened."""
    logits, target = case((16, 3, 320, 384))
    maps = {key: torch.rand(16, 3, 320, 384) for key in MAPS} | {
        "border": torch.rand(16, 1, 320, 384)
    }
    maps["band"] = maps["band"] < 0.1
    target = native(name, target)
    logits = logits.to(dtype)
    made = criterion(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(logits, target, **maps)[0]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(made(logits.float(), target, **maps)[0].item(), abs=1e-3)
