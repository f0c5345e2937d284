"""Every row of LOSSES on the cases that break losses: empty masks, gradients, half precision."""

import pytest
import torch
import torch.distributed as dist
from loss_cases import case, criterion, loss_of, native

from gutseg.losses import LOSSES
from gutseg.losses.reductions import over_ranks

ALL = sorted(LOSSES)
MAPS = ("band", "border", "distance", "lesion", "pieces", "signed", "skeleton")
# Terms that are constants for the gradient, on purpose: weights from predictions, distances.
CONSTANT_PARTS = {"weighted_bce_from_predictions", "generalised_dice_as_printed", "hausdorff_dt"}


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
    loss_of("weighted_bce_from_predictions", logits, target).backward()
    p = logits.detach().sigmoid()
    weight = ((1 - p).sum((0, 2, 3)) / p.sum((0, 2, 3)))[:, None, None]
    by_hand = torch.where(target > 0, weight * (p - 1), p) / p.numel()
    assert torch.allclose(logits.grad, by_hand, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_at_full_size(name, dtype):
    """Sums over 16 x 320 x 384 pixels overflow float16 (65,504) unless they become float32."""
    logits, target = case((16, 3, 320, 384))
    maps = {key: torch.rand(16, 3, 320, 384) for key in MAPS} | {
        "border": torch.rand(16, 1, 320, 384)
    }
    maps["band"], maps["skeleton"] = maps["band"] < 0.1, maps["skeleton"] < 0.1
    maps["pieces"] = (5 * maps["pieces"]).int()
    target = native(name, target)
    logits = logits.to(dtype)
    made = criterion(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(logits, target, **maps)[0]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(made(logits.float(), target, **maps)[0].item(), abs=1e-3)


def test_sums_and_their_gradients_go_over_ranks(monkeypatch):
    """Two ranks that hold the same; tests/engine has two processes that do not."""
    sums = torch.tensor([1.0, 2.0], requires_grad=True)
    assert over_ranks(sums) is sums
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.mul_(2))
    found = over_ranks(sums)
    assert found.tolist() == [2, 4] and sums.tolist() == [1, 2]
    upstream = torch.tensor([1.0, 3.0])
    found.backward(upstream)
    assert sums.grad.tolist() == [2, 6] and upstream.tolist() == [1, 3]
    with torch.no_grad():
        assert over_ranks(sums) is sums


@pytest.mark.parametrize("name", ["dice", "generalised_dice", "tversky"])
@pytest.mark.parametrize("reduction", ["batch", "sample"])
def test_a_twin_rank_changes_no_loss_and_doubles_the_gradient(monkeypatch, name, reduction):
    """As the batch with itself behind it, and as DDP's mean of two gradients needs it."""
    logits, target = case()
    target[0, 1] = 0
    double = torch.cat([logits, logits]).requires_grad_()
    expected = loss_of(name, double, torch.cat([target, target]), reduction=reduction)
    expected.backward()
    logits.requires_grad_()
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.mul_(2))
    loss = loss_of(name, logits, target, reduction=reduction)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    torch.testing.assert_close(logits.grad, 2 * double.grad[: len(logits)], atol=1e-7, rtol=1e-4)


def test_lovasz_of_nothing_is_nothing():
    logits, target = case()
    logits = (logits + 1).requires_grad_()
    loss = loss_of("lovasz", logits, target, {"ignore": torch.ones(2, 12, 10, dtype=torch.bool)})
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()
