"""Losses in configs: the same check for training and for the bench, at any depth of sums."""

import inspect
import math
import typing

import pytest
from bench_cases import blob_source, content, study_of, tiny

from gutseg import experiment
from gutseg.config import Config, validate
from gutseg.data.maps import MAPS
from gutseg.losses import LOSSES
from gutseg.losses.weights import class_weights
from gutseg.study.grid import Study


def _numbers(build: typing.Callable) -> list[str]:
    """The keyword-only parameters of a function that are numbers."""
    hints = typing.get_type_hints(build.__init__ if inspect.isclass(build) else build)
    return [
        key
        for key, parameter in inspect.signature(build).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and ({hints[key], *typing.get_args(hints[key])} & {int, float})
    ]


NUMBERS = [(name, key) for name, row in LOSSES.items() for key in _numbers(row.build)]
MAP_NUMBERS = [(name, key) for name, row in MAPS.items() for key in _numbers(row.build)]


def _training(loss: dict) -> Config:
    return validate(Config, {"name": "x", "loss": loss}, "x.yaml")


def _study(loss: dict, source: str = "isbi") -> Study:
    made = content()
    made["base"]["data"]["source"] = source
    made["axes"]["loss"] = [{"label": "a loss", "value": loss}]
    return study_of(made)


def _in_a_sum(loss: dict) -> dict:
    term = {"loss": loss["name"], "params": loss.get("params", {})}
    return {"name": "weighted_sum", "params": {"terms": [{"loss": "dice"}, term]}}


def _at_scales(loss: dict) -> dict:
    return {
        "name": "deep_supervision",
        "params": {"loss": loss["name"], "params": loss.get("params", {})},
    }


# where a loss may stand: how it is written there, and the key of its parameters
DEPTHS = [
    (lambda loss: loss, ""),
    (_in_a_sum, "params.terms.1."),
    (_at_scales, "params."),
    (lambda loss: _in_a_sum(_at_scales(loss)), "params.terms.1.params."),
]


def _both_refuse(loss: dict, key: str, message: str) -> None:
    """The training config and the bench refuse a loss, naming the key."""
    with pytest.raises(ValueError, match=rf"^x.yaml: loss\.{key}: .*{message}"):
        _training(loss)
    with pytest.raises(ValueError, match=rf"^tiny.yaml: axes\.loss\.0: loss\.{key}: .*{message}"):
        _study(loss)


@pytest.mark.parametrize(("name", "key"), NUMBERS)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 10**30, True, "1"])
def test_no_number_of_a_loss_is_negative_endless_or_text(name, key, value):
    needed = {"loss": "dice"} if name in ("deep_supervision", "worst_neighbours") else {}
    _both_refuse({"name": name, "params": needed | {key: value}}, rf"params\.{key}", "found ")


def test_every_loss_with_numbers_was_tried():
    assert len(NUMBERS) >= 30 and {"decay", "n", "keep", "percent"} <= {key for _, key in NUMBERS}
    borders = [("border", "sigma"), ("border", "w0")]
    assert sorted(MAP_NUMBERS) == [("band", "width"), *borders, ("skeleton", "width")]


# the other ends of the ranges
@pytest.mark.parametrize(
    ("name", "key", "bad", "good"),
    [
        ("focal", "alpha", 25, 1),
        ("pixel_lesion", "alpha", 1.1, 0),
        ("sensitivity_specificity", "sensitivity", 2, 1),
        ("topk_threshold", "threshold", 0, 1),
        ("topk_threshold", "threshold", 1.5, 0.01),
        ("topk_threshold", "keep", 0, 1),
        ("topk_percent", "percent", 1000, 100),
        ("topk_percent", "percent", 0, 0.1),
        ("online_bootstrapping", "n", 0, 1),
        ("focal_tversky", "gamma", 0, 0.1),
        ("focal_dice", "beta", 0, 0.1),
        ("hausdorff_dt", "alpha", 0, 0.5),
        ("weighted_bce_from_predictions", "largest", 0.5, 1),
    ],
)
@pytest.mark.parametrize(("written", "at"), DEPTHS, ids=["alone", "sum", "scales", "both"])
def test_ranges_hold_at_any_depth(name, key, bad, good, written, at):
    _both_refuse(
        written({"name": name, "params": {key: bad}}), rf"{at}params\.{key}", f"found {bad}"
    )
    loss = written({"name": name, "params": {key: good}})
    assert experiment.criterion(_training(loss)).name == loss["name"]
    _study(loss)


@pytest.mark.parametrize(("written", "at"), DEPTHS, ids=["alone", "sum", "scales", "both"])
@pytest.mark.parametrize(
    ("name", "params", "key", "message"),
    [
        ("dice", {"absent": "penalize"}, "params.absent", "'penalise'.* found 'penalize'"),
        ("dice", {"reduction": "image"}, "params.reduction", "'sample'.* found 'image'"),
        ("dice", {"squraed": True}, "params", "no parameter 'squraed'; did you mean 'squared'"),
        ("bce", {"class_weights": [1, -1, 1]}, r"params.class_weights\.1", "found -1"),
        ("bce_iou_ssim", {"weights": [1, -1, 1]}, r"params.weights\.1", "found -1"),
        ("bce_iou_ssim", {"weights": [1, 1]}, r"params.weights\.2", "required"),
        ("bce", {"divide_by": "pixel"}, "params.divide_by", "'pixels'"),
    ],
)
def test_mistakes_inside_are_named_by_their_key(written, at, name, params, key, message):
    _both_refuse(written({"name": name, "params": params}), at + key, message)


@pytest.mark.parametrize(("written", "at"), DEPTHS[1:], ids=["sum", "scales", "both"])
def test_a_loss_inside_must_be_known_and_leave_the_mode_to_the_data(written, at):
    _both_refuse(written({"name": "dise"}), at[:-1], "unknown name 'dise'; did you mean 'dice'")
    mode = {"name": "dice", "params": {"mode": "multiclass"}}
    _both_refuse(written(mode), rf"{at}params\.mode", "the data decide it")


@pytest.mark.parametrize(("written", "at"), DEPTHS, ids=["alone", "sum", "scales", "both"])
def test_a_loss_inside_must_fit_the_data(written, at):
    at = f".{at}"[:-1].rstrip(".")
    with pytest.raises(ValueError, match=rf"loss{at}: 'ce' needs classes that exclude each other"):
        _training(written({"name": "ce"}))
    _study(written({"name": "ce"}), "png_folder")
    with pytest.raises(ValueError, match=rf"axes.loss.0: loss{at}: .*'ce'"):
        _study(written({"name": "ce"}))
    weights = written({"name": "dice", "params": {"class_weights": [1, 2]}})
    with pytest.raises(ValueError, match=rf"loss{at}.params.class_weights: 2 weights for 3 cl"):
        _training(weights)


def test_the_loss_of_the_background_must_fit_its_classes():
    with pytest.raises(ValueError, match="background_from: loss: .*'bce'"):
        tiny(background_from={"name": "bce"})


def test_organs_do_not_exclude_each_other_whatever_the_config_says():
    with pytest.raises(ValueError, match="mode: 'multiclass', but the classes may overlap"):
        _training({"name": "dice", "params": {"mode": "multiclass"}})
    assert _training({"name": "weighted_sum", "params": {"terms": [{"loss": "dice"}]}})


@pytest.mark.parametrize(("written", "at"), DEPTHS, ids=["alone", "sum", "scales", "both"])
def test_class_weights_by_name_reach_a_loss_inside_or_are_refused(written, at):
    """deep_supervision with class_weights once passed the bench's check and failed in the cell."""
    loss = written({"name": "jaccard"}) | {"class_weights": "inverse"}
    _training(loss)
    config = _study(loss).first_config
    source = blob_source(2, mode="multilabel")
    made = experiment.criterion(config, source, source.index)
    weights = class_weights("inverse", source.class_shares(source.index), None)
    while hasattr(made.function, "within"):
        function = made.function
        is_sum = hasattr(function, "parts")
        made = [*function.parts.values()][-1][0] if is_sum else function.criterion
    assert made.function.keywords["class_weights"] == weights


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "weighted_sum", "params": {"terms": [{"loss": "topk_percent"}]}},
        {"name": "deep_supervision", "params": {"loss": "d_bce"}},
        {"name": "boundary_aware"},
    ],
)
def test_class_weights_that_no_loss_would_take(loss):
    _both_refuse(loss | {"class_weights": "inverse"}, "class_weights", "does not weight classes")


def test_class_weights_are_given_once():
    params = {"class_weights": [1, 2, 3]}
    loss = _in_a_sum({"name": "bce_dice", "params": params}) | {"class_weights": "inverse"}
    _both_refuse(loss, "class_weights", "'inverse', but .*terms.1.params.class_weights gives")


@pytest.mark.parametrize(("name", "key"), MAP_NUMBERS)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 10**30, True, "1"])
def test_no_number_of_a_map_is_negative_endless_or_text(name, key, value):
    users = {"band": "boundary_aware", "border": "border_weight_ce", "skeleton": "skeleton_recall"}
    loss = users[name]
    _both_refuse({"name": loss, "maps": {name: {key: value}}}, rf"maps\.params\.{key}", "found ")


def test_ends_of_the_ranges_of_maps():
    for loss, name, key in (
        ("boundary_aware", "band", "width"),
        ("border_weight_ce", "border", "sigma"),
    ):
        _both_refuse({"name": loss, "maps": {name: {key: 0}}}, rf"maps\.params\.{key}", "found 0")


def test_settings_of_a_map_that_the_loss_does_not_use():
    _both_refuse(
        {"name": "boundary_aware", "maps": {"border": {"w0": 2}}},
        "maps",
        "'boundary_aware' does not use the map 'border'; it needs band",
    )
    _both_refuse({"name": "dice", "maps": {"band": {}}}, "maps", "it needs none")
    inside = _in_a_sum({"name": "boundary_aware"})
    _training(inside | {"maps": {"band": {"width": 2}}})
