"""Every row of LOSSES, on values worked out by hand and on the cases that break losses."""

import inspect

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch.nn import functional

from gutseg.losses import LOSSES, Criterion
from gutseg.losses.region import dice

# p = [.9, .6, .2, .1], g = [1, 1, 0, 0]: TP 1.5, FP .3, FN .5, TN 1.7
GOLDEN = {
    "bce": 0.236173,
    "dice": 0.210526,
    "soft_dice_001": -0.469207,
    "bce_dice": 0.341436,
}
ALL = sorted(LOSSES)


def _case(shape: tuple[int, ...] = (2, 3, 12, 10), seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = (torch.rand(shape, generator=generator) < 0.2).float()
    return torch.randn(shape, generator=generator), target


def _loss(name: str, logits: Tensor, target: Tensor, **params: object) -> Tensor:
    return Criterion(name, **params)(logits, target)[0]


def _has(name: str, argument: str) -> bool:
    return argument in inspect.signature(LOSSES[name].build).parameters


def test_every_row_has_a_golden_value():
    assert set(GOLDEN) == set(LOSSES)


@pytest.mark.parametrize("name", ALL)
def test_value_worked_by_hand(name):
    logits = torch.tensor([0.9, 0.6, 0.2, 0.1], dtype=torch.double).logit().reshape(1, 1, 2, 2)
    target = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 2, 2)
    assert _loss(name, logits, target).item() == pytest.approx(GOLDEN[name], abs=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_terms_add_up_to_the_loss(name):
    total, terms = Criterion(name)(*_case())
    assert total.item() == pytest.approx(sum(term.item() for term in terms.values()))


@pytest.mark.parametrize("name", ALL)
def test_a_perfect_prediction_is_better_than_a_blurred_and_that_than_a_wrong_one(name):
    _, target = _case()
    sure = 20 * (2 * target - 1)
    right, blurred, wrong = (_loss(name, factor * sure, target) for factor in (1, 0.05, -1))
    assert right < blurred < wrong


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("where", ["all empty", "class absent", "empty prediction", "perfect"])
@pytest.mark.parametrize("level", [-30.0, -6.0, 0.0, 6.0])
def test_value_and_gradient_stay_finite(name, where, level):
    logits, target = _case()
    logits = torch.full_like(logits, level)
    if where == "all empty":
        target = torch.zeros_like(target)
    elif where == "class absent":
        target[:, 1] = 0
    elif where == "perfect":
        logits = 60 * (2 * target - 1)
    logits.requires_grad_()
    loss = _loss(name, logits, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ALL)
def test_gradient_is_the_derivative(name):
    logits, target = _case((2, 2, 3, 3))
    logits = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: _loss(name, values, target), logits)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_at_full_size(name, dtype):
    """Sums over 16 x 320 x 384 pixels overflow float16 (65,504) unless they are widened."""
    logits, target = _case((16, 3, 320, 384))
    logits = logits.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = _loss(name, logits, target)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(_loss(name, logits.float(), target).item(), abs=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_the_batch_does_not_matter(name):
    logits, target = _case((5, 3, 8, 8))
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = _loss(name, logits[order], target[order])
    assert shuffled.item() == pytest.approx(_loss(name, logits, target).item(), abs=1e-6)


@pytest.mark.parametrize("name", [name for name in ALL if _has(name, "ignore")])
def test_ignored_pixels_count_for_nothing(name):
    logits, target = _case()
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[:, 6:] = True
    function = Criterion(name).function
    total = lambda value: sum(value.values()) if isinstance(value, dict) else value  # noqa: E731
    whole = total(function(logits, target, ignore))
    part = total(function(logits[:, :, :6], target[:, :, :6]))
    assert whole.item() == pytest.approx(part.item(), abs=1e-6)
    logits = logits.requires_grad_()
    nothing = total(function(logits, target, torch.ones_like(ignore)))
    nothing.backward()
    assert nothing.item() == 0 and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", [name for name in ALL if _has(name, "class_weights")])
def test_class_weights(name):
    logits, target = _case()
    weighted = _loss(name, logits, target, class_weights=[0.0, 2.0, 0.0])
    alone = _loss(name, logits[:, 1:2], target[:, 1:2])
    assert weighted.item() == pytest.approx(alone.item(), abs=1e-6)
    even = _loss(name, logits, target, class_weights=[2.0, 2.0, 2.0])
    assert even.item() == pytest.approx(_loss(name, logits, target).item(), abs=1e-6)


@pytest.mark.parametrize("name", [name for name in ALL if _has(name, "mode")])
def test_two_softmax_classes_are_one_sigmoid_on_the_difference(name):
    logits, target = _case((2, 2, 8, 8))
    numbers = target[:, 1].long()
    both = torch.stack([1 - numbers, numbers], dim=1).float()
    softmax = _loss(name, logits, numbers, mode="multiclass")
    difference = logits[:, 1:] - logits[:, :1]
    sigmoid = _loss(name, torch.cat([-difference, difference], 1), both)
    assert softmax.item() == pytest.approx(sigmoid.item(), abs=1e-6)


def test_absent_classes_under_each_policy():
    logits = torch.full((1, 2, 4, 4), -2.0)
    target = torch.zeros(1, 2, 4, 4)
    target[:, 0] = 1
    first = dice(logits[:, :1], target[:, :1]).item()
    p = torch.sigmoid(torch.tensor(-2.0)).item()
    found = {policy: dice(logits, target, absent=policy).item() for policy in ("present", "one")}
    assert found["present"] == pytest.approx(first)
    assert found["one"] == pytest.approx((first + 1) / 2)
    penalised = dice(logits, target, absent="penalise").item()
    assert penalised == pytest.approx((first + 16 * p / (16 * p + 1)) / 2)


def test_dice_over_samples_or_over_the_batch():
    logits, target = _case((4, 3, 8, 8))
    samples = [dice(logits[i : i + 1], target[i : i + 1]).item() for i in range(4)]
    assert dice(logits, target, reduction="sample").item() == pytest.approx(sum(samples) / 4)
    assert dice(logits, target).item() != pytest.approx(sum(samples) / 4, abs=1e-4)


def test_agreement_with_other_libraries():
    logits, target = _case()
    target[:, 2] = 0
    theirs = smp.losses.DiceLoss("multilabel")(logits, target)
    # smp divides by all classes, absent ones included with loss 0
    assert dice(logits, target).item() * 2 / 3 == pytest.approx(theirs.item(), abs=1e-6)
    usual = functional.binary_cross_entropy_with_logits(logits, target)
    assert _loss("bce", logits, target).item() == pytest.approx(usual.item(), abs=1e-6)


def test_weight_of_the_dice_term():
    logits, target = _case()
    terms = Criterion("bce_dice", dice_weight=2.0)(logits, target)[1]
    assert terms["dice"].item() == pytest.approx(2 * dice(logits, target).item())
