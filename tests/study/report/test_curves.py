import pytest
import torch
from pytest import approx

from gutseg.study.report.curves import FAMILIES, toy, value_and_gradient

SAME = [
    (("tversky", "β"), 0.5, "dice"),
    (("focal_dice", "β"), 1.0, "dice"),
    (("penalty_generalised_dice", "k"), 0.0, "generalised_dice"),
]


def _at(name, value, correct):
    """Value and gradient of a family's loss at a value of its parameter."""
    return value_and_gradient(name[0], correct, **FAMILIES[name][0](value))


@pytest.mark.parametrize(("name", "value", "plain"), SAME)
@pytest.mark.parametrize("correct", [0.1, 0.5, 0.9])
def test_a_family_holds_the_loss_that_it_extends(name, value, plain, correct):
    assert value in FAMILIES[name][1]
    assert _at(name, value, correct) == approx(value_and_gradient(plain, correct), rel=1e-5)


def test_the_toy_is_correct_as_often_as_it_says():
    """Dice by hand: 8 × 8 pixels, of which the inner 4 × 4 lie farther than 2 from the edge."""
    chance = torch.sigmoid(toy(torch.tensor(0.6)))[0, 0]
    assert chance[12, 12].item() == approx(0.6) and chance[16, 16].item() == approx(0.8)
    assert chance[0, 0].item() == approx(0.2) and chance[11, 12].item() == approx(0.4)
    assert (chance > 0.5).sum() == 64
    tp = 48 * 0.6 + 16 * 0.8
    value, _ = value_and_gradient("dice", 0.6)
    assert value == approx(1 - 2 * tp / (chance.sum().item() + 64), rel=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_loss_falls_as_the_prediction_gets_better(name):
    for value in FAMILIES[name][1]:
        found = [_at(name, value, correct) for correct in (0.1, 0.5, 0.9)]
        assert found[0][0] > found[1][0] > found[2][0] > 0
        assert all(gradient < 0 for _, gradient in found)


def test_the_gradient_is_that_of_the_value():
    name = ("focal_tversky", "γ")
    ahead, behind = (_at(name, 2.0, correct)[0] for correct in (0.501, 0.499))
    assert _at(name, 2.0, 0.5)[1] == approx((ahead - behind) / 0.002, rel=1e-2)


def test_half_and_half_is_the_mean_of_edge_and_rest():
    half = _at(("boundary_aware", "boundary"), 0.5, 0.6)[0]
    edge, rest = -torch.log(torch.tensor([0.6, 0.8]))
    assert half == approx((edge + rest).item() / 2, rel=1e-5)
    assert value_and_gradient("bce", 0.6)[0] < half
