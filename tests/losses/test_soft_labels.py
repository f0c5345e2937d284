"""Soft labels, targets within [0, 1]: p = g costs nothing, or as little as any p can."""

import numpy as np
import pytest
import torch
from loss_cases import MULTICLASS, MULTILABEL, criterion, one_hot

from gutseg.data.maps import Maps
from gutseg.losses import LOSSES, takes_class_weights
from gutseg.losses.reductions import Pixels, region_sums

SHAPE = (2, 3, 9, 8)
# Losses of sums of which a perfect prediction is 0; the others' best is 1, below 0 or a constant.
ZERO = [
    *("dice", "jaccard", "dl2", "tversky", "focal_tversky", "focal_dice", "asymmetric"),
    *("generalised_dice", "penalty_generalised_dice", "sensitivity_specificity"),
    *("generalised_dice_as_printed", "asymmetric_as_printed", "ssim"),
]
# Losses whose best p is no soft one: minus the overlap, a distance, a sorted set of labels, a
# skeleton that false positives do not touch.
SHARP = {
    *("boundary_kervadec", "lovasz", "soft_dice_per_pixel"),
    *("generalised_surface", "skeleton_recall"),
}
# The weights, or which pixels count, depend on the prediction.
MOVING = {"topk_threshold", "weighted_bce_from_predictions"}
INVERTED = {"dice_as_printed", "penalty_as_printed"}


def soft(mode: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and the labels that are their probabilities, in float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    return logits, logits.sigmoid() if mode == "multilabel" else logits.softmax(1)


def value(name: str, mode: str, logits: torch.Tensor, target: torch.Tensor, **params) -> float:
    made = criterion(name, mode=mode, **params)
    maps = Maps(sorted(made.required_maps)).tensors(target.numpy())
    return made(logits, target, **maps)[0].item()


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
@pytest.mark.parametrize("name", ZERO)
def test_a_prediction_of_exactly_the_soft_labels_costs_nothing(name, mode):
    logits, target = soft(mode)
    # the base of a power below 1 is kept above 1e-7
    limit = 1e-5 if name == "focal_tversky" else 1e-9
    assert value(name, mode, logits, target) == pytest.approx(0, abs=limit)
    assert value(name, mode, -logits, target) > 0.01


@pytest.mark.parametrize("params", [{"squared": True}, {"reduction": "sample"}])
@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
def test_whatever_is_summed_up_a_dice_of_soft_labels_has_its_zero(mode, params):
    logits, target = soft(mode)
    assert value("dice", mode, logits, target, **params) == pytest.approx(0, abs=1e-9)


ROWS = [
    (name, mode)
    for name in sorted(LOSSES)
    for mode in LOSSES[name].modes
    if name not in SHARP | MOVING | INVERTED and LOSSES[name].within is None
]


@pytest.mark.parametrize(("name", "mode"), ROWS)
def test_no_other_prediction_beats_the_soft_labels(name, mode):
    """Class weights and maps change how much a pixel counts, not what is best for it."""
    logits, target = soft(mode)
    params = {}
    if takes_class_weights(name):
        params = {"class_weights": [0.1, 1.0, 5.0]}
    best = value(name, mode, logits, target, **params)
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for other in (logits + 0.1 * noise, 1.3 * logits, 0.7 * logits, logits + 0.4, -logits):
        assert value(name, mode, other, target, **params) >= best - 1e-12


@pytest.mark.parametrize("name", MULTILABEL + MULTICLASS)
def test_every_loss_takes_soft_labels_and_has_a_finite_gradient(name):
    for mode in LOSSES[name].modes:
        logits, target = soft(mode)
        params = {}
        if name == "weighted_sum":
            params["terms"] = [{"loss": "dice"}, {"loss": "topk_percent"}]
        made = criterion(name, mode=mode, **params)
        maps = Maps(sorted(made.required_maps)).tensors(target.numpy())
        logits = logits.float().requires_grad_()
        loss = made(logits, target.float(), **maps)[0]
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


def test_sums_of_soft_labels_have_the_l1_form_by_hand():
    """p = (.9, .6, .2), g = (.5, .7, .2): min .5 + .6 + .2, Σp 1.7, Σg 1.4, 3 pixels."""
    logits = torch.tensor([0.9, 0.6, 0.2]).logit().reshape(1, 1, 1, 3)
    target = torch.tensor([0.5, 0.7, 0.2]).reshape(1, 1, 1, 3)
    sums = region_sums(Pixels(logits, target, mode="multilabel"), None, "batch")
    found = [part.item() for part in (sums.tp, sums.fp, sums.fn, sums.tn)]
    assert found == pytest.approx([1.3, 0.4, 0.1, 3 - 1.7 - 1.4 + 1.3])


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
def test_hard_labels_are_summed_as_products_bit_by_bit(mode):
    """In value and gradient: min(p, g) is pg where g is 0 or 1."""
    logits = soft(mode)[0].float()
    numbers = logits.roll(1, 1).argmax(1)
    target = one_hot(numbers, 3).float()
    for given in (target, numbers) if mode == "multiclass" else (target,):
        by_hand, ours = (logits.clone().requires_grad_() for _ in range(2))
        p = by_hand.sigmoid() if mode == "multilabel" else by_hand.softmax(1)
        tp = (p * target).sum((2, 3)).sum(0)
        fp = p.sum((2, 3)).sum(0) - tp
        (3 * tp - fp**2).sum().backward()
        sums = region_sums(Pixels(ours, given, mode=mode), None, "batch")
        assert torch.equal(sums.tp[0], tp) and torch.equal(sums.fp[0], fp)
        (3 * sums.tp - sums.fp**2).sum().backward()
        assert torch.equal(ours.grad, by_hand.grad)


def test_a_pixel_of_soft_labels_weighs_the_mean_of_their_weights():
    """Two pixels, g = (.25, .75) and (1, 0), weights (2, 6): 5 and 2."""
    logits = torch.tensor([[0.3, -0.2], [1.0, 0.4]]).T.reshape(1, 2, 1, 2)
    target = torch.tensor([[0.25, 0.75], [1.0, 0.0]]).T.reshape(1, 2, 1, 2)
    log_p = logits.log_softmax(1)[0, :, 0].numpy()
    entropy = -(target[0, :, 0].numpy() * log_p).sum(0)
    expected = np.average(entropy, weights=[5, 2])
    found = value("ce", "multiclass", logits, target, class_weights=[2, 6])
    assert found == pytest.approx(expected, rel=1e-5)


def test_maps_of_soft_labels_are_those_of_the_likelier_half():
    target = torch.tensor([0.2, 0.5, 0.9, 0.49]).reshape(1, 1, 1, 4).expand(1, 1, 3, 4)
    names = ["band", "border", "distance", "lesion", "signed"]
    for soft_map, hard_map in zip(
        Maps(names)(target.numpy()).values(),
        Maps(names)((target >= 0.5).float().numpy()).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(soft_map, hard_map)
