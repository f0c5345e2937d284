"""What keeps losses right at their edges: sums of a million pixels, exact zeros, clamps, maps."""

import numpy as np
import pytest
import torch
from loss_cases import loss_of
from reference import REFERENCE
from reference_maps import maps_of
from reference_pixel import Case
from scipy import ndimage

from gutseg.data.maps import Maps
from gutseg.losses import Criterion, modes


def _case(logits: torch.Tensor, target: np.ndarray) -> Case:
    """The case of which nothing is ignored."""
    kept = np.ones((len(target), *target.shape[2:]), bool)
    return Case(logits.double().numpy(), target, kept, np.ones(target.shape[:2], bool))


@pytest.mark.parametrize("reduction", ["batch", "sample"])
@pytest.mark.parametrize("name", ["generalised_dice", "penalty_generalised_dice"])
def test_a_rest_of_rounding_is_not_a_class(name, reduction):
    """Around a class that is everywhere Σ(1-p)(1-g) is 0, and up to .008 in float32.

    As the only pixel of the smaller class it would weigh as much as all others together.
    """
    rng = np.random.default_rng(5)
    shift = np.linspace(-3, -1, 7, dtype=np.float32)[:, None, None]
    logits = torch.from_numpy(rng.standard_normal((2, 7, 320, 384), np.float32) + shift)
    target = np.ones((2, 7, 320, 384), np.float32)
    expected = REFERENCE[name](_case(logits, target), reduction=reduction)
    loss = loss_of(name, logits, torch.from_numpy(target), reduction=reduction)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("level", [-40.0, 40.0])
@pytest.mark.parametrize("absent", ["present", "penalise"])
@pytest.mark.parametrize("reduction", ["batch", "sample"])
def test_an_empty_and_a_full_mask_that_were_found_cost_nothing(level, absent, reduction):
    """Half of the two-class Dice is then 0 / 0, and the other half is 1 / 2."""
    logits = torch.full((2, 3, 6, 7), level)
    target = (logits > 0).float()
    loss = loss_of("dl2", logits, target, absent=absent, reduction=reduction)
    assert loss.item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("name", ["focal", "focal_softmax", "pixel_lesion", "dice_focal"])
@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_focal_gradients_where_predictions_are_exact(name, gamma, side):
    """(1 - p)^γ has an infinite slope at p = 1 where γ is below 1."""
    target = torch.zeros(1, 2, 6, 7)
    target[:, 0, :3], target[:, 1, 3:] = 1, 1
    logits = (side * 200 * (2 * target - 1)).requires_grad_()
    params = {"mode": modes(name)[-1], "gamma": gamma}
    loss_of(name, logits, target, **params).backward()
    assert torch.isfinite(logits.grad).all()


def test_weights_from_predictions_are_clamped_at_both_ends():
    """Σp is next to nothing in one class and next to everything in the other."""
    logits = torch.tensor([-9.0, 9.0, 0.5]).reshape(1, 3, 1, 1).expand(2, 3, 6, 7).double()
    target = (np.random.default_rng(0).random((2, 3, 6, 7)) < 0.5).astype(float)
    expected = REFERENCE["wce_003"](_case(logits, target))
    assert loss_of("wce_003", logits, torch.from_numpy(target)).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (name, mode)
        for name in ("distance_ce", "boundary_aware", "border_weight_ce", "pixel_lesion")
        for mode in ("multilabel", "multiclass")
    ]
    + [("boundary_kervadec", "multilabel"), ("boundary_kervadec", "multiclass")],
)
def test_losses_with_the_maps_that_trainings_draw(name, mode):
    """Four classes of blobs that touch; distances in float16."""
    rng = np.random.default_rng(2)
    blobs = ndimage.gaussian_filter(rng.standard_normal((2, 4, 26, 31)), (0, 0, 2, 2))
    target = np.stack([blobs.argmax(1) == c for c in range(4)], axis=1).astype(np.float32)
    logits = torch.from_numpy(2 * rng.standard_normal(target.shape))
    case = _case(logits, target)
    case.maps.update(maps_of(target, width=3))
    criterion = Criterion(name, mode=mode)
    maps = Maps(sorted(criterion.needs)).tensors(target)
    found = criterion(logits, torch.from_numpy(target), **maps)[0].item()
    assert found == pytest.approx(REFERENCE[name](case, mode=mode), rel=2e-4)
