"""What every row does with its shared arguments: ignored pixels, one-hot, -100, weights, words."""

import inspect
import typing

import pytest
import torch
from loss_cases import MULTICLASS, case, criterion, loss_of, native, one_hot

from gutseg.data.maps import Maps
from gutseg.losses import LOSSES, Criterion, dice

# Both modes of every row.
ROWS = [(name, mode) for name in sorted(LOSSES) for mode in LOSSES[name].modes]
FUNCTIONS = [name for name in sorted(LOSSES) if not inspect.isclass(LOSSES[name].build)]
# What the terms of sums must be, where a row of NEEDED knows one mode alone.
SUMS = {"multiclass": {"weighted_sum": {"terms": [{"loss": "ce"}, {"loss": "dice"}]}}}


def _target(mode: str, planes: torch.Tensor) -> torch.Tensor:
    return native("ce", planes) if mode == "multiclass" else planes


def _loss(name: str, mode: str, logits, target, extras=None, **params) -> torch.Tensor:
    return loss_of(
        name, logits, target, extras, mode=mode, **(SUMS.get(mode, {}).get(name, {}) | params)
    )


@pytest.mark.parametrize(("name", "mode"), ROWS)
def test_an_ignored_pixel_has_no_gradient_whatever_stands_there(name, mode):
    logits, target = case()
    target = _target(mode, target)
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[0, 3:6, 2:9] = True
    broken = logits.clone()
    broken[0, :, 4, 3:6] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    broken.requires_grad_()
    loss = _loss(name, mode, broken, target, {"ignore": ignore})
    loss.backward()
    assert loss.item() == pytest.approx(
        _loss(name, mode, logits, target, {"ignore": ignore}).item(), abs=1e-6
    )
    assert torch.isfinite(broken.grad).all()
    assert (broken.grad.movedim(1, 0)[:, ignore] == 0).all()
    assert (broken.grad.movedim(1, 0)[:, ~ignore] != 0).any()


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_lovasz_of_an_ignored_half_is_that_of_the_other_half(mode, symmetric):
    logits, target = case()
    target = _target(mode, target)
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[..., 6:, :] = True
    whole = _loss("lovasz", mode, logits, target, {"ignore": ignore}, symmetric=symmetric)
    half = _loss("lovasz", mode, logits[..., :6, :], target[..., :6, :], symmetric=symmetric)
    assert whole.item() == pytest.approx(half.item(), abs=1e-6)
    everything = _loss("lovasz", mode, logits, target, {"ignore": torch.ones_like(ignore)})
    assert everything.shape == () and everything.item() == 0


def test_an_ignored_pixel_is_on_neither_side_of_a_hausdorff_edge():
    """One row, p = (.9, ., .2), g = (1, 1, 0): the middle is ignored, so edges are 2 pixels off.

    d = 2 in both pixels, for prediction and target: (.1² + .2²) · (2² + 2²) / 2.
    """
    logits = torch.tensor([0.9, 0.7, 0.2]).logit().reshape(1, 1, 1, 3)
    target = torch.tensor([1.0, 1, 0]).reshape(1, 1, 1, 3)
    ignore = torch.tensor([[[False, True, False]]])
    found = loss_of("hausdorff_dt", logits, target, {"ignore": ignore})
    assert found.item() == pytest.approx(0.05 * 8 / 2, abs=1e-6)
    cubed = loss_of("hausdorff_dt", logits, target, {"ignore": ignore}, alpha=3.0)
    assert cubed.item() == pytest.approx(0.05 * 16 / 2, abs=1e-6)


@pytest.mark.parametrize("name", MULTICLASS)
def test_class_number_minus_100_is_an_ignored_pixel(name):
    """torch's cross-entropy leaves it out of the sum; the mean must leave it out as well."""
    logits, target = case()
    target = native("ce", target)
    void = torch.zeros(2, 12, 10, dtype=torch.bool)
    void[1, 2:7] = True
    given = _loss(name, "multiclass", logits, target.masked_fill(void, 0), {"ignore": void})
    made = criterion(name, mode="multiclass", **SUMS["multiclass"].get(name, {}))
    extras = {}
    if made.required_maps:  # maps are drawn from labels that know no -100
        planes = one_hot(target.masked_fill(void, 0), 3).numpy()
        extras = Maps(sorted(made.required_maps)).tensors(planes)
    found = made(logits, target.masked_fill(void, -100), **extras)[0]
    assert found.item() == pytest.approx(given.item(), abs=1e-6)


def test_cross_entropy_is_divided_by_the_pixels_that_count():
    logits, target = case((2, 3, 4, 4))
    numbers = native("ce", target)
    numbers[:, :2] = -100
    expected = torch.nn.functional.cross_entropy(logits, numbers)
    assert Criterion("ce")(logits, numbers)[0].item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("name", MULTICLASS)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_one_hot_targets_of_any_type_are_class_numbers_spread_out(name, dtype):
    logits, target = case()
    numbers = native("ce", target)
    planes = one_hot(numbers, 3).to(dtype)
    found = _loss(name, "multiclass", logits, planes)
    expected = _loss(name, "multiclass", logits, numbers)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("name", MULTICLASS)
@pytest.mark.parametrize("number", [-1, 3, 255])
def test_class_numbers_beyond_the_classes_are_named(name, number):
    logits, target = case()
    numbers = native("ce", target)
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[1, 5, 5] = True
    expected = _loss(name, "multiclass", logits, numbers, {"ignore": ignore})
    made = criterion(name, mode="multiclass", **SUMS["multiclass"].get(name, {}))
    extras = {key: torch.zeros(2, 3, 12, 10) > 1 for key in made.required_maps}
    with pytest.raises(
        ValueError, match=f"number {number}, but there are 3 classes; expected 0 to 2, or -100 for"
    ):
        made(logits, numbers.masked_fill(ignore, number), **extras)
    if not made.required_maps:  # an ignored pixel may hold anything
        found = made(logits, numbers.masked_fill(ignore, number), ignore=ignore)[0]
        assert found.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(("name", "mode"), ROWS)
@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 3, 0, 8), (2, 3, 8, 0), (2, 0, 8, 8)])
def test_an_empty_batch_is_refused_in_one_sentence(name, mode, shape):
    target = torch.zeros(shape)
    if mode == "multiclass":
        target = target[:, 0] if shape[1] else torch.zeros(2, 8, 8)
    made = criterion(name, mode=mode, **SUMS.get(mode, {}).get(name, {}))
    with pytest.raises(ValueError, match=r"logits: \(.*\) holds no pixels; a loss needs"):
        made(torch.zeros(shape), target, **{key: torch.zeros(shape) for key in made.required_maps})


@pytest.mark.parametrize(("name", "mode"), ROWS)
def test_shapes_that_would_broadcast_are_refused(name, mode):
    logits, target = case((3, 3, 4, 4))
    target = _target(mode, target)
    made = criterion(name, mode=mode, **SUMS.get(mode, {}).get(name, {}))
    maps = {key: torch.zeros(3, 3, 4, 4) for key in made.required_maps}
    wrong = [
        ("target", {"target": torch.zeros(3, 1, 4, 4)}),
        ("ignore", {"ignore": torch.zeros(3, 3, 4, 4, dtype=torch.bool)}),
        *((key, {key: torch.zeros(3, 4, 4)}) for key in made.required_maps),
    ]
    for key, change in wrong:
        given = {"target": target, **maps} | change
        with pytest.raises(ValueError, match=rf"{key}: \(3, .*\) does not fit logits \(3, 3, 4, 4"):
            made(logits, **given)


WEIGHED = [
    (name, mode) for name, mode in ROWS
    if "class_weights" in inspect.signature(LOSSES[name].build).parameters
]  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), WEIGHED)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "1 weights for 3 classes"),
        ([1.0, 2.0], "2 weights for 3 classes"),
        ([1.0, 1.0, 1.0, 1.0], "4 weights for 3 classes"),
        ([], "0 weights for 3 classes"),
        ([1.0, -1.0, 1.0], "expected numbers from 0"),
        ([1.0, float("nan"), 1.0], "expected numbers from 0"),
        ([0.0, 0.0, 0.0], "at least one above 0"),
    ],
)
def test_class_weights_that_cannot_weigh_the_classes(name, mode, weights, message):
    logits, target = case()
    row = LOSSES[name]
    maps = {key: torch.zeros_like(logits) for key in row.required_maps}
    with pytest.raises(ValueError, match=f"class_weights: .*{message}"):
        row.build(logits, _target(mode, target), **maps, mode=mode, class_weights=weights)


def _words() -> list[tuple[str, str]]:
    return [
        (name, key)
        for name in FUNCTIONS
        for key, parameter in inspect.signature(LOSSES[name].build).parameters.items()
        if typing.get_origin(parameter.annotation) is typing.Literal
    ]


@pytest.mark.parametrize(("name", "key"), _words())
def test_a_misspelt_word_is_refused_by_the_function_itself(name, key):
    """absent="penalize" once took the path of the other two words: .7666 instead of .7617."""
    logits, target = case()
    parameters = inspect.signature(LOSSES[name].build).parameters
    word = f"{typing.get_args(parameters[key].annotation)[0]}s"
    extras = {
        extra: torch.zeros_like(logits)
        for extra, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and extra not in ("logits", "target")
    }
    with pytest.raises(ValueError, match=f"unknown {key} '{word}'; did you mean .*choices: "):
        LOSSES[name].build(logits, target, **extras, **{key: word})


def test_every_word_is_among_those_tried():
    assert {key for _, key in _words()} == {"mode", "absent", "reduction", "divide_by", "weighting"}


@pytest.mark.parametrize("absent", ["skip", "penalise", "one"])
def test_a_class_that_nobody_annotated_counts_under_no_policy(absent):
    logits, target = case()
    target[:, 2] = 0
    annotated = torch.tensor([[True, True, False], [True, True, False]])
    found = criterion("dice_focal", absent=absent)(logits, target, annotated=annotated)[1]
    two = criterion("dice_focal", absent=absent)(logits[:, :2], target[:, :2])[1]
    assert found["dice"].item() == pytest.approx(two["dice"].item(), abs=1e-6)
    assert found["focal"].item() == pytest.approx(two["focal"].item(), abs=1e-6)
    seen = torch.tensor([[True, True, True], [True, True, False]])
    once = criterion("dice_focal", absent=absent)(logits, target, annotated=seen)[1]["dice"]
    p = logits[0, 2].sigmoid().sum().item()
    third = {"skip": None, "penalise": p / (p + 1), "one": 1.0}[absent]
    expected = found["dice"] if third is None else (2 * found["dice"] + third) / 3
    assert once.item() == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("ignored", [False, True])
def test_nan_where_a_class_was_not_annotated_or_ignored_does_not_spread(ignored):
    logits, target = case()
    annotated = torch.tensor([[True, True, True], [True, True, False]])
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[0, 3, 4:8] = ignored
    extras = {"annotated": annotated, "ignore": ignore}
    expected = loss_of("dice_focal", logits, target, extras)
    logits[1, 2] = float("nan")
    logits[0, :, 3, 4:8] = float("nan") if ignored else logits[0, :, 3, 4:8]
    logits.requires_grad_()
    loss = loss_of("dice_focal", logits, target, extras)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item())
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("absent", ["skip", "penalise", "one"])
@pytest.mark.parametrize("reduction", ["batch", "sample"])
def test_a_class_of_which_every_pixel_is_ignored_counts_under_no_policy(absent, reduction):
    logits, target = case()
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[1] = True
    found = dice(logits, target, ignore, absent=absent, reduction=reduction)
    first = dice(logits[:1], target[:1], absent=absent)
    assert found.item() == pytest.approx(first.item(), abs=1e-6)


def test_an_ignored_image_is_not_in_the_mean_of_generalised_dice():
    logits, target = case()
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[1] = True
    found = loss_of("generalised_dice", logits, target, {"ignore": ignore}, reduction="sample")
    first = loss_of("generalised_dice", logits[:1], target[:1])
    assert found.item() == pytest.approx(first.item(), abs=1e-6)


def test_criterion_refuses_what_configs_are_refused():
    with pytest.raises(
        ValueError, match=r"logits: expected a tensor \(B, C, \[Z,\] H, W\), found list"
    ):
        Criterion("dice")([[0.5]], torch.zeros(1, 1, 1, 1))
    with pytest.raises(ValueError, match="loss: unknown name 'dise'; did you mean 'dice'"):
        Criterion("dise")
    with pytest.raises(ValueError, match="loss.params: 'dice' has no parameter 'squraed'"):
        Criterion("dice", squraed=True)
    with pytest.raises(ValueError, match="loss.params.alpha: .*less than or equal to 1, found 25"):
        Criterion("focal", alpha=25)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("tversky", {"alpha": 0.0, "beta": 0.0}),
        ("focal_tversky", {"alpha": 0.0, "beta": 0.0}),
        ("boundary_aware", {"boundary": 0.0, "interior": 0.0}),
        ("bce_iou_ssim", {"weights": (0.0, 0.0, 0.0)}),
    ],
)
def test_a_loss_that_would_be_the_same_for_every_prediction(name, params):
    logits, target = case()
    with pytest.raises(ValueError, match=f"{next(iter(params))}.*: all are 0; give at least one"):
        loss_of(name, logits, target, **params)
