"""What keeps losses right at their edges: sums of a million pixels, exact zeros, clamps, maps."""

import inspect
import itertools

import numpy as np
import pytest
import torch
from loss_cases import MULTILABEL, criterion, loss_of, one_hot
from reference import REFERENCE, total
from reference_maps import maps_of
from reference_pixel import Case
from scipy import ndimage

from gutseg.data.maps import Maps
from gutseg.losses import LOSSES, Criterion


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


# Minus the overlap, minus a distance, and the misprints that are best when wrong.
BELOW_ZERO = {"soft_dice_per_pixel", "boundary_kervadec", "dice_as_printed", "penalty_as_printed"}


@pytest.mark.parametrize("name", [name for name in MULTILABEL if name not in BELOW_ZERO])
@pytest.mark.parametrize("level", [-200.0, 200.0])
def test_an_empty_and_a_full_mask_that_were_found_cost_nothing(name, level):
    """Half of the two-class Dice, for one, is then 0 / 0, and its other half is 1 / 2."""
    logits = torch.full((2, 3, 6, 7), level, requires_grad=True)
    target = (logits > 0).float()
    for params in _words(name):
        loss = loss_of(name, logits, target, **params)
        loss.backward()
        constant = params.get("absent") == "one" and level < 0
        expected = constant * {"bce_dice": 0.5}.get(name, 1.0)  # whose Dice term has that weight
        assert loss.item() == pytest.approx(expected, abs=1e-5), params
        assert torch.isfinite(logits.grad).all(), params


def _words(name: str) -> list[dict[str, str]]:
    """Every reduction and absent policy of a row."""
    known = inspect.signature(LOSSES[name].build).parameters
    choices = {"reduction": ["batch", "sample"], "absent": ["skip", "penalise", "one"]}
    offered = {key: words for key, words in choices.items() if key in known}
    return [dict(zip(offered, row, strict=True)) for row in itertools.product(*offered.values())]


FOCAL = ["focal", "focal_softmax", "pixel_lesion", "dice_focal"]


@pytest.mark.parametrize(
    ("name", "params"),
    [(name, {}) for name in sorted(LOSSES)]
    + [(name, {"gamma": gamma}) for name in FOCAL for gamma in (0.25, 0.5, 1.0)]
    + [("focal_tversky", {"gamma": 0.5}), ("focal_dice", {"beta": 0.5})],
)
@pytest.mark.parametrize("side", [-1, 1])
def test_gradients_where_predictions_are_exact(name, params, side):
    """Probabilities of exactly 0 and 1: (1 - p)^γ, for one, has an infinite slope where γ < 1."""
    target = torch.zeros(1, 3, 6, 7)
    target[:, 0, :3], target[:, 1, 3:] = 1, 1
    for mode in LOSSES[name].modes:
        logits = (side * 200 * (2 * target - 1)).requires_grad_()
        loss = loss_of(name, logits, target, mode=mode, **params)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_boundary_or_an_interior_of_one_pixel(mode, inverted):
    logits = torch.randn(1, 2, 6, 7, generator=torch.Generator().manual_seed(0)).double()
    case = _case(logits, one_hot(logits.argmax(1), 2).numpy())
    band = np.full((1, 2, 6, 7), inverted)
    band[0, : 1 if mode == "multilabel" else 2, 2, 3] = not inverted
    case.maps["band"] = band
    made = criterion("boundary_aware", mode=mode)
    found = made(logits, torch.from_numpy(case.target), band=torch.from_numpy(band))[0].item()
    assert found == pytest.approx(REFERENCE["boundary_aware"](case, mode=mode))


def test_certain_pixels_are_not_below_a_threshold_of_one():
    logits = torch.full((1, 1, 6, 7), 200.0)
    logits[0, 0, 0, :3] = torch.tensor([0.0, 1.0, 2.0])
    loss = loss_of("topk_threshold", logits, torch.ones_like(logits), threshold=1.0)
    assert loss.item() == pytest.approx(np.logaddexp(0, [0, -1, -2]).mean())


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
def test_printed_generalised_dice_has_constant_weights(mode):
    logits = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, 6, 7)))
    target = one_hot(logits.roll(1, 0).argmax(1), 3)
    logits.requires_grad_()
    p = logits.sigmoid() if mode == "multilabel" else logits.softmax(1)
    sizes, common = (p + target).sum((0, 2, 3)), (p * target).sum((0, 2, 3))
    if mode == "multilabel":  # every class and its complement
        sizes = torch.stack([sizes, (2 - p - target).sum((0, 2, 3))])
        common = torch.stack([common, ((1 - p) * (1 - target)).sum((0, 2, 3))])
    weight = 1 / sizes.detach()
    by_hand = (1 - 2 * (weight * common).sum(0) / (weight * sizes).sum(0)).mean()
    loss = loss_of("generalised_dice_as_printed", logits, target, mode=mode)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (by_hand, loss)]
    assert torch.allclose(*gradients, atol=1e-9)


def test_weights_from_predictions_are_clamped_at_both_ends():
    """Σp is next to nothing in one class and next to everything in the other."""
    logits = torch.tensor([-9.0, 9.0, 0.5]).reshape(1, 3, 1, 1).expand(2, 3, 6, 7).double()
    target = (np.random.default_rng(0).random((2, 3, 6, 7)) < 0.5).astype(float)
    name = "weighted_bce_from_predictions"
    expected = REFERENCE[name](_case(logits, target))
    assert loss_of(name, logits, torch.from_numpy(target)).item() == pytest.approx(expected)


WITH_MAPS = [
    (name, mode)
    for name in MULTILABEL
    for mode in LOSSES[name].modes
    if criterion(name).required_maps
]


@pytest.mark.parametrize(("name", "mode"), WITH_MAPS)
def test_losses_with_the_maps_that_trainings_draw(name, mode):
    """Four classes of blobs that touch; distances in float16."""
    rng = np.random.default_rng(2)
    blobs = ndimage.gaussian_filter(rng.standard_normal((2, 4, 26, 31)), (0, 0, 2, 2))
    target = np.stack([blobs.argmax(1) == c for c in range(4)], axis=1).astype(np.float32)
    logits = torch.from_numpy(2 * rng.standard_normal(target.shape))
    case = _case(logits, target)
    case.maps.update(maps_of(target, width=3))
    criterion = Criterion(name, mode=mode)
    maps = Maps(sorted(criterion.required_maps)).tensors(target)
    found = criterion(logits, torch.from_numpy(target), **maps)[0].item()
    assert found == pytest.approx(total(REFERENCE[name](case, mode=mode)), rel=2e-4)


@pytest.mark.parametrize(("name", "mode"), [row for row in WITH_MAPS if row[0] != "boundary_aware"])
def test_maps_in_half_precision_are_widened_first(name, mode):
    """1 + D of a small D is 1 in float16, and a sum over lesions is rounded."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 48, 50, generator=generator).double()
    target = one_hot(logits.roll(1, 0).argmax(1), 3).float()
    made = criterion(name, mode=mode)
    planes = 1 if made.required_maps == {"border"} else 3
    plane = (1e-4 + 1e-4 * torch.rand(2, planes, 48, 50, generator=generator)).half()
    half, full = (dict.fromkeys(made.required_maps, values) for values in (plane, plane.double()))
    expected = made(logits, target, **full)[0].item()
    assert made(logits, target, **half)[0].item() == pytest.approx(expected, rel=1e-6)
