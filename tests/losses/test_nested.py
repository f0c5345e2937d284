"""Sums of losses and losses at several scales: what their terms are called, weigh and take."""

import pytest
import torch
from loss_cases import case, loss_of, one_hot

from gutseg import losses
from gutseg.losses import Criterion, bce_dice, dice

TWICE = {"dice": [{}, {"squared": True}], "tversky": [{}, {"alpha": 0.7, "beta": 0.3}]}


def _sum(*terms: dict, **params: object) -> Criterion:
    return Criterion("weighted_sum", terms=list(terms), **params)


@pytest.mark.parametrize("name", TWICE)
def test_a_loss_that_is_listed_twice_counts_twice(name):
    logits, target = case()
    first, second = TWICE[name]
    total, terms = _sum(
        {"loss": name, "params": first}, {"loss": name, "weight": 0.5, "params": second}
    )(logits, target)
    alone = [Criterion(name, **params)(logits, target)[0].item() for params in (first, second)]
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)
    assert list(terms) == [name, f"{name}_2"]
    assert terms[name].item() == pytest.approx(alone[0])
    assert terms[f"{name}_2"].item() == pytest.approx(0.5 * alone[1])
    assert total.item() == pytest.approx(alone[0] + 0.5 * alone[1])


def test_tversky_twice_is_the_sum_of_both_by_hand():
    """p = (.9, .6, .2, .1), g = (1, 1, 0, 0): TP 1.5, FP .3, FN .5."""
    logits = torch.tensor([0.9, 0.6, 0.2, 0.1]).logit().reshape(1, 1, 2, 2)
    target = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 2, 2)
    terms = [
        {"loss": "tversky", "params": {"alpha": alpha, "beta": 1 - alpha}} for alpha in (0.3, 0.7)
    ]
    expected = (1 - 1.5 / (1.5 + 0.09 + 0.35)) + (1 - 1.5 / (1.5 + 0.21 + 0.15))
    assert _sum(*terms)(logits, target)[0].item() == pytest.approx(expected, abs=1e-6)


def test_a_loss_of_several_terms_is_one_term_of_a_sum_and_may_be_listed_thrice():
    logits, target = case()
    total, terms = _sum(*[{"loss": "bce_dice"}] * 2, {"loss": "dice"}, {"loss": "bce_dice"})(
        logits, target
    )
    assert list(terms) == ["bce_dice", "bce_dice_2", "dice", "bce_dice_3"]
    once = sum(bce_dice(logits, target).values()).item()
    assert total.item() == pytest.approx(3 * once + dice(logits, target).item(), abs=1e-5)


def test_sums_of_sums_and_scales():
    logits, target = case()
    inner = {"loss": "weighted_sum", "params": {"terms": [{"loss": "dice"}, {"loss": "dice"}]}}
    deep = {"loss": "deep_supervision", "params": {"loss": "dice", "params": {"squared": True}}}
    total = _sum(inner, deep, {"loss": "bce", "params": None})(logits, target)[0]
    bce = loss_of("bce", logits, target)
    parts = [2 * dice(logits, target), dice(logits, target, squared=True), bce]
    assert total.item() == pytest.approx(sum(part.item() for part in parts), abs=1e-5)


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
def test_class_weights_reach_losses_at_any_depth(mode):
    logits, target = case()
    weights = [0.0, 1.0, 0.0]
    name = "deep_supervision"
    inside = {"terms": [{"loss": "dice"}, {"loss": "topk_percent", "weight": 0.0}]}
    params = {"loss": "weighted_sum", "params": inside}
    if mode == "multiclass":
        target = target.argmax(1)
    found = Criterion(name, mode=mode, **losses.with_class_weights(name, params, weights))(
        logits, target
    )
    expected = dice(logits, target, mode=mode, class_weights=weights)
    assert found[0].item() == pytest.approx(expected.item(), abs=1e-6)
    planes = target if mode == "multilabel" else one_hot(target, 3)
    assert expected.item() != pytest.approx(dice(logits, planes.float(), mode=mode).item())
    assert params == {"loss": "weighted_sum", "params": inside}, "the config's own stay as written"


def test_paths_of_decay_1_weigh_the_same_and_none_is_silent():
    """U-Net++'s four paths: a quarter each."""
    scales, target = [torch.zeros(1, 2, 8, 8)] * 4, torch.zeros(1, 2, 8, 8)
    total, terms = Criterion("deep_supervision", loss="bce", decay=1.0)(scales, target)
    assert [term.item() for term in terms.values()] == pytest.approx([0.25 * 0.693147] * 4)
    assert total.item() == pytest.approx(0.693147)


def test_every_loss_inside_is_found_with_its_key():
    terms = [
        {"loss": "ce"},
        {"loss": "deep_supervision", "params": {"loss": "dice", "params": {"squared": True}}},
    ]
    found = list(losses.rows_inside("weighted_sum", {"terms": terms}, where="loss"))
    assert found == [
        ("ce", {}, "loss.params.terms.0"),
        ("dice", {"squared": True}, "loss.params.terms.1.params"),
    ]


def test_parameters_inside_stay_as_few_as_they_were_written():
    """A stored comparison knows its cells by them."""
    terms = [{"loss": "tversky", "params": {"alpha": 1}}, {"loss": "dice", "weight": 2}]
    found = losses.check_params("weighted_sum", {"terms": terms})
    assert found == {"terms": terms, "mode": None}
    assert isinstance(found["terms"][0]["params"]["alpha"], float)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([], "weighted_sum needs at least one term"),
        (
            [{"loss": "dice", "wieght": 2}],
            "terms.0: unknown name 'dice': a term is {loss, weight, params}, found",
        ),
        ([{"loss": "dice", "weight": -1}], "terms.0.weight: .*greater than or equal to 0"),
        ([{"loss": "dice", "weight": float("nan")}], "terms.0.weight: .*finite"),
        ([{"loss": "dice", "weight": "2"}], "terms.0.weight: .*valid number"),
        ([{"loss": "dice", "params": [1]}], "terms.0.params: .*"),
        ([{"loss": ["dice"]}], "terms.0.loss: .*valid string"),
        (
            [{"loss": "focal", "params": {"alpha": 25}}],
            "loss.params.terms.0.params.alpha: .*found 25",
        ),
        ([{"loss": "dice", "weight": 0}] * 2, "terms: all weights are 0"),
        (["dice"], "terms.0: .*found 'dice'"),
        ([{"loss": "dice", "params": {"mode": "multilabel"}}], "terms.0.params.mode: the data"),
    ],
)
def test_what_is_not_a_term_is_named(terms, message):
    with pytest.raises(ValueError, match=message):
        Criterion("weighted_sum", terms=terms)


def test_a_sum_built_by_hand_names_itself():
    with pytest.raises(ValueError, match=r"^weighted_sum.terms.0: unknown name 'dice'"):
        losses.LOSSES["weighted_sum"].build(terms=[{"loss": "dice", "wieght": 2}])
