"""Every row of LOSSES, on values worked out by hand and on what holds for all of them.

A new loss needs a row in GOLDEN and nothing else here.
"""

import inspect
import math

import pytest
import torch
from loss_cases import MULTICLASS, MULTILABEL, case, criterion, loss_of, native, one_hot

from gutseg.data.maps import Maps
from gutseg.losses import LOSSES, Criterion, dice

# p = [.9, .6, .2, .1]. With g = [1, 1, 0, 0]: TP 1.5, FP .3, FN .5, TN 1.7 and cross-entropies
# .105361, .510826, .223144, .105361.
HALF, QUARTER = [1.0, 1, 0, 0], [1.0, 0, 0, 0]
MAPS = {
    "distance": [1, 0.5, 0, 0.25],
    "band": [True, False, True, False],
    "border": [2, 1, 1, 4],
    "lesion": [0.5, 0.5, 0, 0],
    "signed": [-1, -0.5, 0.5, 1],
    "pieces": [1, 2, 1, 2],
    "skeleton": [True, False, False, False],
}
# name: (parameters, target, value) worked out on paper or from the survey of the formulas
GOLDEN = {
    "bce": [({}, HALF, 0.236173)],
    "ce": [({}, HALF, 0.236173)],
    "weighted_bce_from_predictions": [({}, HALF, 0.270405)],
    "focal": [({}, HALF, 0.007045), ({"alpha": 0.75}, HALF, 0.016146)],
    "focal_softmax": [({}, HALF, 0.023191), ({"class_weights": [0.25, 0.75]}, HALF, 0.016146)],
    "topk_threshold": [({"threshold": 0.85}, HALF, 0.366985), ({}, HALF, 0.510826)],
    "topk_percent": [({"percent": 50}, HALF, 0.366985), ({}, HALF, 0.510826)],
    "online_bootstrapping": [({"n": 1}, HALF, 0.510826), ({}, HALF, 0.236173)],
    # squared: 1 - 3 / (1.22 + 2)
    "dice": [({}, HALF, 0.210526), ({"squared": True}, HALF, 0.068323)],
    "jaccard": [({}, HALF, 0.347826)],
    "dl2": [({}, HALF, 0.200501)],
    "tversky": [({}, HALF, 0.226804)],
    "focal_tversky": [({}, HALF, 0.328653)],
    "focal_dice": [({}, HALF, 0.111477)],
    "asymmetric": [
        ({}, HALF, 0.226190),
        ({"beta": 1.0}, HALF, 0.210526),
        ({"beta": 2.0}, HALF, 0.234694),
    ],
    "generalised_dice": [
        ({}, QUARTER, 0.328947),
        ({"weighting": "simple"}, QUARTER, 0.294118),
        ({"weighting": "uniform"}, QUARTER, 0.25),
        ({}, HALF, 0.2),
    ],
    "penalty_generalised_dice": [({}, QUARTER, 0.631769), ({"k": 0.0}, QUARTER, 0.328947)],
    "sensitivity_specificity": [({}, HALF, 0.028)],
    "distance_ce": [({}, HALF, 0.332951)],
    "boundary_aware": [({}, HALF, 0.207405)],
    "border_weight_ce": [({}, HALF, 0.341533)],
    "pixel_lesion": [({}, HALF, 0.032292)],
    "boundary_kervadec": [({}, HALF, -0.25)],
    "bce_dice": [({}, HALF, 0.341436), ({"dice_weight": 1.0}, HALF, 0.446699)],
    "d_bce": [({}, HALF, 0.446699)],
    # means .45 and .5, variances .1025 and .25, covariance .15: SSIM .846740
    "ssim": [({}, HALF, 0.153260)],
    "bce_iou_ssim": [({}, HALF, 0.737259)],
    "dice_focal": [({}, HALF, 0.222122)],
    "weighted_sum": [({}, HALF, 0.341436)],
    "deep_supervision": [({}, HALF, 0.210526)],
    # one hinge of .594535, times 1/2 for the class and 1/3 for its complement
    "lovasz": [({}, HALF, 0.247723), ({"symmetric": False}, HALF, 0.297268)],
    # all distances are 1, so (1 + 1) times the mean squared error
    "hausdorff_dt": [({}, HALF, 0.11), ({"log": True}, HALF, 0.104360)],
    # (.19 + .64 / 4 + .36 / 4 + .19) / 2.5
    "generalised_surface": [({}, HALF, 0.252)],
    # both pixels are edge, so α = 0: .22 / (.22 + 1.5)
    "boundary_dou": [({}, HALF, 0.127907)],
    # Dice losses 1/7 and 5/17 of the two pieces; beside the cross-entropy, and with all of Σp
    "cc_dice_ce": [({}, HALF, 0.454660), ({"dice_weight": 0.0}, HALF, 0.236173)],
    "blob_dice": [({}, HALF, 0.696172)],
    # soft skeletons .73, .4, 0, 0 and 1, 1, 0, 0: precision 1, recall 2.5 / 3
    "cl_dice": [({}, HALF, 0.150718), ({"share": 1.0}, HALF, 0.090909)],
    "skeleton_recall": [({}, HALF, 0.1)],
    # .105739 and (√.21875 + .38 / 2.08) / 2
    "unified_focal": [({}, HALF, 0.215470)],
    # probabilities .6, .6, .2, .2
    "worst_neighbours": [({}, HALF, 1 / 3)],
    "soft_dice_per_pixel": [({}, HALF, -0.469207)],
    "dice_as_printed": [({}, HALF, 0.789474)],
    "generalised_dice_as_printed": [({}, QUARTER, 0.274725)],
    "asymmetric_as_printed": [({}, HALF, 0.194215)],
    "penalty_as_printed": [({}, QUARTER, 0.877150)],
}
ALL = sorted(LOSSES)
# The misprints whose minimum is the worst prediction.
INVERTED = {"dice_as_printed", "penalty_as_printed"}


def test_every_row_has_a_golden_value():
    assert set(GOLDEN) == set(LOSSES)
    assert all(isinstance(spec.source, str) for spec in LOSSES.values())


@pytest.mark.parametrize(
    ("name", "params", "target", "value"),
    [(name, *row) for name, rows in GOLDEN.items() for row in rows],
)
def test_value_worked_by_hand(name, params, target, value):
    logits = torch.tensor([0.9, 0.6, 0.2, 0.1], dtype=torch.double).logit().reshape(1, 1, 2, 2)
    target = torch.tensor(target).reshape(1, 1, 2, 2)
    if name not in MULTILABEL:
        logits, target = torch.cat([0 * logits, logits], 1), target[:, 0].long()
    maps = {key: torch.tensor(plane).reshape(1, 1, 2, 2) for key, plane in MAPS.items()}
    found = criterion(name, **params)(logits, target, **maps)[0]
    assert found.item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", MULTILABEL)
def test_terms_add_up_to_the_loss(name):
    logits, target = case()
    maps = {key: torch.from_numpy(m) for key, m in Maps(list(MAPS))(target.numpy()).items()}
    total, terms = criterion(name)(logits, target, **maps)
    assert total.item() == pytest.approx(sum(term.item() for term in terms.values()))


@pytest.mark.parametrize("name", ALL)
def test_a_perfect_prediction_is_better_than_a_blurred_and_that_than_a_wrong_one(name):
    _, target = case()
    sure = 20 * (2 * target - 1)
    if name not in MULTILABEL:
        target = native(name, target)
        sure = 20 * (2 * one_hot(target, 3).float() - 1)
    losses = [loss_of(name, factor * sure, target) for factor in (1, 0.02, -1)]
    if name in INVERTED:
        losses.reverse()
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_the_batch_does_not_matter(name):
    logits, target = case((5, 3, 8, 8))
    target = native(name, target)
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = loss_of(name, logits[order], target[order])
    assert shuffled.item() == pytest.approx(loss_of(name, logits, target).item(), abs=1e-6)


def _ignores(name: str) -> bool:
    takes = criterion(name).takes
    return takes is None or "ignore" in takes


@pytest.mark.parametrize("name", [name for name in ALL if _ignores(name) and "ssim" not in name])
def test_ignored_pixels_count_for_nothing(name):
    logits, target = case()
    target = native(name, target)
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[:, 6:] = True
    planes = target if target.dim() == 4 else one_hot(target, 3)
    maps = {key: torch.from_numpy(m) for key, m in Maps(list(MAPS))(planes.numpy()).items()}
    upper = {key: plane[:, :, :6] for key, plane in maps.items()}
    made = criterion(name)
    whole = made(logits, target, ignore=ignore, **maps)[0]
    part = made(logits[:, :, :6], target[..., :6, :], **upper)[0]
    assert whole.item() == pytest.approx(part.item(), abs=1e-6)


@pytest.mark.parametrize("name", [name for name in ALL if _ignores(name)])
def test_a_fully_ignored_batch_costs_nothing(name):
    logits, target = case()
    logits.requires_grad_()
    everything = torch.ones(2, 12, 10, dtype=torch.bool)
    nothing = loss_of(name, logits, native(name, target), {"ignore": everything})
    nothing.backward()
    # 1 - L / (1 + k (1 - L)) of L = 0 is 1: the misprint's own zero
    assert nothing.item() == pytest.approx(1 if name == "penalty_as_printed" else 0, abs=1e-6)
    assert (logits.grad == 0).all()


def test_an_image_without_annotation_of_a_class_does_not_teach_it():
    logits, target = case()
    logits.requires_grad_()
    annotated = torch.tensor([[True, True, True], [True, False, True]])
    loss_of("dice_focal", logits, target, {"annotated": annotated}).backward()
    assert (logits.grad[1, 1] == 0).all()
    assert (logits.grad[0, 1] != 0).all() and (logits.grad[1, 0] != 0).all()


def _has(name: str, argument: str) -> bool:
    return argument in inspect.signature(LOSSES[name].build).parameters


@pytest.mark.parametrize("name", [name for name in MULTILABEL if _has(name, "class_weights")])
def test_class_weights(name):
    logits, target = case()
    weighted = loss_of(name, logits, target, class_weights=[0.0, 2.0, 0.0])
    drawn = Maps(["border"]).tensors(target.numpy())  # one plane for all classes
    alone = loss_of(name, logits[:, 1:2], target[:, 1:2], drawn)
    assert weighted.item() == pytest.approx(alone.item(), abs=1e-6)
    even = loss_of(name, logits, target, class_weights=[2.0, 2.0, 2.0])
    assert even.item() == pytest.approx(loss_of(name, logits, target).item(), abs=1e-6)


def test_class_weights_divide_by_weights_as_torch_does_or_by_pixels_as_printed():
    logits = torch.tensor([[2.0, -1.0], [0.0, 1.0], [1.0, 0.0]])[None].movedim(1, -1)[..., None]
    target = torch.tensor([0, 1, 1])[None, :, None]
    weights = [0.2, 3.0]
    entropy = [math.log(1 + math.exp(-3)), math.log(1 + math.exp(-1)), math.log(1 + math.e)]
    total = 0.2 * entropy[0] + 3 * (entropy[1] + entropy[2])
    by_weights = loss_of("ce", logits, target, class_weights=weights)
    by_pixels = loss_of("ce", logits, target, class_weights=weights, divide_by="pixels")
    assert by_weights.item() == pytest.approx(total / 6.2, abs=1e-6)
    assert by_pixels.item() == pytest.approx(total / 3, abs=1e-6)


# smp has a softmax Lovász beside the hinge: two losses under one name. The worst logits of two
# classes are those of different neighbours.
UNLIKE = {"lovasz", "worst_neighbours"}


@pytest.mark.parametrize("name", sorted(set(MULTILABEL) & set(MULTICLASS) - UNLIKE))
def test_two_softmax_classes_are_one_sigmoid_on_the_difference(name):
    logits, target = case((2, 2, 12, 12))
    numbers = target[:, 1].long()
    softmax = loss_of(name, logits, numbers, mode="multiclass")
    difference = logits[:, 1:] - logits[:, :1]
    both = one_hot(numbers, 2).float()
    sigmoid = loss_of(name, torch.cat([-difference, difference], 1), both)
    assert softmax.item() == pytest.approx(sigmoid.item(), abs=1e-6)


def test_a_mode_that_a_loss_does_not_know():
    with pytest.raises(ValueError, match="'ce' works in multiclass, not multilabel"):
        Criterion("ce", mode="multilabel")


def test_absent_classes_under_each_policy():
    logits = torch.full((1, 2, 4, 4), -2.0)
    target = torch.zeros(1, 2, 4, 4)
    target[:, 0] = 1
    first = dice(logits[:, :1], target[:, :1]).item()
    p = torch.sigmoid(torch.tensor(-2.0)).item()
    found = {policy: dice(logits, target, absent=policy).item() for policy in ("skip", "one")}
    assert found["skip"] == pytest.approx(first)
    assert found["one"] == pytest.approx((first + 1) / 2)
    penalised = dice(logits, target, absent="penalise").item()
    assert penalised == pytest.approx((first + 16 * p / (16 * p + 1)) / 2)


def test_dice_over_samples_or_over_the_batch():
    logits, target = case((4, 3, 8, 8))
    samples = [dice(logits[i : i + 1], target[i : i + 1]).item() for i in range(4)]
    assert dice(logits, target, reduction="sample").item() == pytest.approx(sum(samples) / 4)
    assert dice(logits, target).item() != pytest.approx(sum(samples) / 4, abs=1e-4)


def test_deep_supervision_halves_the_weight_of_a_scale_and_leaves_out_the_coarsest():
    logits, target = case((2, 3, 8, 8))
    half = torch.randn(2, 3, 4, 4)
    terms = Criterion("deep_supervision", loss="dice")([logits, half, half], target)[1]
    full = torch.nn.functional.interpolate(half, (8, 8), mode="bilinear")
    assert terms["scale0"].item() == pytest.approx(2 / 3 * dice(logits, target).item())
    assert terms["scale1"].item() == pytest.approx(1 / 3 * dice(full, target).item())
    assert terms["scale2"].item() == 0


def test_deep_supervision_of_monai_weights_the_coarsest_of_two_scales_by_half_the_finest():
    logits, target = case((2, 3, 8, 8))
    half = torch.randn(2, 3, 4, 4)
    terms = Criterion("deep_supervision", loss="dice", coarsest=True)([logits, half], target)[1]
    full = torch.nn.functional.interpolate(half, (8, 8), mode="bilinear")
    assert terms["scale0"].item() == pytest.approx(2 / 3 * dice(logits, target).item())
    assert terms["scale1"].item() == pytest.approx(1 / 3 * dice(full, target).item())


def test_weight_of_the_dice_term():
    logits, target = case()
    terms = Criterion("bce_dice", dice_weight=2.0)(logits, target)[1]
    assert terms["dice"].item() == pytest.approx(2 * dice(logits, target).item())


@pytest.mark.parametrize(
    ("name", "key", "allowed", "refused"),
    [
        ("focal", "alpha", (0, 1), (-1e-3, 1.001)),
        ("focal_tversky", "gamma", (1e-6, 1e9), (0, 1.001e9)),
        ("tversky", "alpha", (0, 1e9), (-1e-3, 1.001e9)),
        ("online_bootstrapping", "n", (1, 10**9), (0, 10**9 + 1, 1.5)),
        ("dice", "class_weights", ([0, 1e9],), ([-1e-3, 1], [1.001e9, 1])),
    ],
)
def test_what_configs_may_set_ends_where_it_says(name, key, allowed, refused):
    for value in allowed:
        assert Criterion(name, **{key: value})
    for value in refused:
        with pytest.raises(ValueError, match=rf"loss.params.{key}"):
            Criterion(name, **{key: value})
