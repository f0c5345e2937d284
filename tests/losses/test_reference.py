"""Every row of LOSSES against an independent transcription of its formula (reference.py).

A new row needs a transcription there; a new argument needs a value in OTHER, unless it is a
choice between words, which are all tried.
"""

import dataclasses
import inspect
import itertools
from functools import cache
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from reference import REFERENCE
from reference_pixel import Case

from gutseg.losses import LOSSES, Criterion

B, C = 4, 6
# as small as those of rare classes may be: their ratios count
WEIGHTS = [0.0002, 0.0015, 0.003, 0.0007, 0.001, 0.0005]
# Values of every argument that is not a choice between words, none of them its default.
OTHER: dict[tuple[str, str], list[Any]] = {
    ("weighted_bce_from_predictions", "largest"): [1.3],
    ("focal", "alpha"): [0.75, None],
    ("focal", "gamma"): [0.5, 3.5],
    ("focal_softmax", "gamma"): [0.5, 3.5],
    ("topk_threshold", "threshold"): [0.15, 1.0],
    ("topk_threshold", "keep"): [17],
    ("topk_percent", "percent"): [0.1, 35.0, 100.0],
    ("online_bootstrapping", "n"): [1, 9],
    ("dice", "squared"): [True],
    ("tversky", "alpha"): [1.1],
    ("tversky", "beta"): [0.2],
    ("focal_tversky", "alpha"): [1.1],
    ("focal_tversky", "beta"): [0.2],
    ("focal_tversky", "gamma"): [0.6],
    ("focal_dice", "beta"): [0.7],
    ("asymmetric", "beta"): [0.6],
    ("penalty_generalised_dice", "k"): [0.0, 0.8],
    ("sensitivity_specificity", "sensitivity"): [0.3],
    ("boundary_aware", "boundary"): [1.9],
    ("boundary_aware", "interior"): [0.8],
    ("pixel_lesion", "alpha"): [0.8],
    ("pixel_lesion", "gamma"): [0.5],
    ("bce_dice", "dice_weight"): [1.7],
    ("d_bce", "gamma"): [0.3],
    ("bce_iou_ssim", "weights"): [(0.5, 2.0, 3.0)],
    ("dice_focal", "focal_weight"): [1.3],
    ("dice_focal", "gamma"): [0.5],
    ("lovasz", "symmetric"): [False],
    ("hausdorff_dt", "alpha"): [1.0, 2.7],
    ("hausdorff_dt", "log"): [True],
    ("boundary_dou", "largest"): [0.02],
    ("unified_focal", "weight"): [0.2],
    ("unified_focal", "delta"): [0.3],
    ("unified_focal", "gamma"): [0.2],
    ("cc_dice_ce", "dice_weight"): [0.4],
    ("cc_dice_ce", "ce_weight"): [0.0, 1.6],
    ("blob_dice", "whole"): [0.0, 0.7],
    ("blob_dice", "blobs"): [2.5],
    ("cl_dice", "share"): [0.0, 0.8],
    ("cl_dice", "iterations"): [1],
    ("worst_neighbours", "loss"): ["jaccard", "tversky"],
    ("worst_neighbours", "params"): [{"class_weights": WEIGHTS, "absent": "one"}],
    ("worst_neighbours", "reach"): [2],
    ("asymmetric_as_printed", "beta"): [0.6],
    ("penalty_as_printed", "k"): [0.8],
    ("weighted_sum", "terms"): [
        [{"loss": "dice"}, {"loss": "boundary_aware", "weight": 0.4}],
        [
            {"loss": "tversky", "weight": 0.6, "params": {"alpha": 0.9, "beta": 0.1}},
            {"loss": "tversky", "params": {"alpha": 0.1, "class_weights": WEIGHTS}},
            {"loss": "jaccard", "weight": 2.5, "params": {"absent": "one"}},
            {"loss": "tversky", "weight": 0.0},
        ],
    ],
    ("deep_supervision", "loss"): ["jaccard", "tversky"],
    ("deep_supervision", "params"): [{"class_weights": WEIGHTS, "absent": "one"}],
    ("deep_supervision", "decay"): [0.2, 1.0],
    ("deep_supervision", "coarsest"): [True],
}
# Rows that work in float32.
SINGLE = {"lovasz", "hausdorff_dt", "deep_supervision"}


def _choices(name: str, argument: str, default: Any, annotation: Any) -> list[Any]:
    """Every value of an argument to be tried beside its default."""
    words = [word for word in get_args(annotation) if isinstance(word, str)]
    for option in get_args(annotation):  # of `Mode | None`
        words += [word for word in get_args(option) if isinstance(word, str)]
    if argument == "class_weights":
        return [WEIGHTS]
    if words:
        return [word for word in words if word != default]
    assert (name, argument) in OTHER, f"OTHER needs a value for {name}: {argument}"
    return OTHER[name, argument]


def arguments(name: str) -> dict[str, list[Any]]:
    """The values of every keyword-only argument; the first is its default, `...` for left out."""
    build = LOSSES[name].build
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build)
    found = {}
    for key, parameter in inspect.signature(build).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            needed = parameter.default is inspect.Parameter.empty
            found[key] = [...] * (not needed) + _choices(name, key, parameter.default, hints[key])
    return found


def settings(name: str) -> list[dict[str, Any]]:
    """Every combination of the arguments' values."""
    values = arguments(name)
    rows = itertools.product(*values.values())
    return [
        {key: value for key, value in zip(values, row, strict=True) if value is not ...}
        for row in rows
    ]


def mode_of(name: str, params: dict[str, Any]) -> str:
    """The mode in which a row works with these parameters, going by its transcription."""
    default = inspect.signature(REFERENCE[name]).parameters["mode"].default
    return params.get("mode") or default or "multilabel"


@cache
def make(
    mode: str,
    *,
    ignore: bool,
    annotated: bool = True,
    size: tuple[int, int] = (6, 7),
    spread: float = 1.6,
) -> Case:
    """Random logits and masks; classes are absent from an image, absent from all, full, rare.

    ignore: a third of the pixels, all that an image has of a class, and an image. annotated:
    False leaves out a class in an image, and another in all. spread: of the logits.
    """
    rng = np.random.default_rng(11)
    offset = np.array([0.6, -1.2, -0.3, 0.1, -0.5, 0.4])[:, None, None]
    logits = spread * (rng.standard_normal((B, C, *size)) + offset)
    logits[:, 2] -= 8  # all of its predictions together are less than a pixel
    if mode == "multiclass":
        numbers = rng.choice([0, 1, 3, 5], (B, *size), p=[0.4, 0.2, 0.2, 0.2])
        numbers[0][numbers[0] == 1] = 0
        numbers[1, 2, 3] = 4  # the only one
        target = np.stack([numbers == c for c in range(C)], 1).astype(float)
    else:
        target = (rng.random((B, C, *size)) < 0.3).astype(float)
        target[0, 1], target[:, 2], target[2, 0] = 0, 0, 1
        target[:, 4], target[1, 4, 2, 3] = 0, 1
        target[:, 5], target[1, 5, 2, 3] = 1, 0
    kept, seen = np.ones((B, *size), bool), np.ones((B, C), bool)
    if ignore:
        kept = rng.random((B, *size)) > 0.3
        kept[1] &= target[1, 3] == 0
        kept[1, 2, 3], kept[3] = True, False
    if not annotated:
        seen[1, 0], seen[:, 3] = False, False
    maps = {key: rng.random((B, C, *size), np.float32) for key in ("distance", "lesion")}
    maps["signed"] = rng.standard_normal((B, C, *size), np.float32)
    maps["border"] = 1 + rng.random((B, 1, *size), np.float32)
    maps["band"] = rng.random((B, C, *size)) < 0.2
    maps["skeleton"] = rng.random((B, C, *size)) < 0.2
    # three parts of a plane, whatever lies in them; one of an absent class
    maps["pieces"] = rng.integers(1, 4, (B, C, *size)) * target.any((2, 3), keepdims=True)
    coarse = tuple(rng.standard_normal((B, C, *scale)) for scale in ((3, 4), (2, 2)))
    return Case(logits, target, kept, seen, maps, coarse)


# How a target may come: as class numbers or as planes, of any type.
FORMS = {
    "multilabel": ["float32", "bool", "uint8"],
    "multiclass": ["int64 numbers", "uint8 numbers", "float32", "bool", "int64"],
}


def as_tensor(target: np.ndarray, form: str) -> torch.Tensor:
    """A one-hot target in one of FORMS."""
    dtype, *numbers = form.split()
    return torch.from_numpy(target.argmax(1) if numbers else target).to(getattr(torch, dtype))


def found(name: str, params: dict[str, Any], case: Case, form: str) -> dict[str, float]:
    """The terms of gutseg's loss on a case, by name."""
    criterion = Criterion(name, **params)
    extras = {key: case.maps[key] for key in criterion.required_maps}
    extras |= {"ignore": ~case.kept} if not case.kept.all() else {}
    extras |= {"annotated": case.annotated} if not case.annotated.all() else {}
    logits = torch.from_numpy(case.logits)
    if name == "deep_supervision" and case.coarse:
        logits = [logits, *map(torch.from_numpy, case.coarse)]
    tensors = {key: torch.from_numpy(plane) for key, plane in extras.items()}
    loss, terms = criterion(logits, as_tensor(case.target, form), **tensors)
    assert loss.item() == pytest.approx(sum(term.item() for term in terms.values()))
    return {key: term.item() for key, term in terms.items()}


def agree(name: str, params: dict[str, Any], case: Case, form: str) -> None:
    """Compare term by term."""
    expected = REFERENCE[name](case, **params)
    expected = expected if isinstance(expected, dict) else {name: expected}
    limits = {"rel": 1e-5, "abs": 1e-6} if name in SINGLE else {"rel": 1e-7, "abs": 1e-9}
    assert found(name, params, case, form) == pytest.approx(expected, **limits), params


BY_MODE = [(name, mode) for name in LOSSES for mode in LOSSES[name].modes]


def test_every_row_has_a_transcription():
    assert set(REFERENCE) == set(LOSSES)


@pytest.mark.parametrize(("name", "mode"), BY_MODE)
@pytest.mark.parametrize("ignore", [False, True])
def test_formula(name, mode, ignore):
    """Every combination of arguments, on the form of target that trainings have."""
    case = make(mode, ignore=ignore)
    for params in settings(name):
        if mode_of(name, params) == mode:
            agree(name, params, case, FORMS[mode][0])


@pytest.mark.parametrize(
    ("name", "mode", "form"),
    [(name, mode, form) for name, mode in BY_MODE for form in FORMS[mode][1:]],
)
def test_formula_whatever_the_target_comes_as(name, mode, form):
    case = make(mode, ignore=True)
    for params in settings(name):
        if mode_of(name, params) == mode and len(params) <= 2 + (name == "deep_supervision"):
            agree(name, params, case, form)


@pytest.mark.parametrize(("name", "mode"), BY_MODE)
@pytest.mark.parametrize("ignore", [False, True])
def test_formula_where_predictions_are_certain(name, mode, ignore):
    """Probabilities from 1e-9 to 1 - 1e-9: what guards against 0 / 0 and 0^γ must not show."""
    params = {key: rest[0] for key, rest in arguments(name).items() if rest[0] is not ...}
    case = make(mode, ignore=ignore, spread=9.0)
    agree(name, params | {"mode": mode}, case, FORMS[mode][0])


# What is as large as a default: the window of SSIM, the n of online bootstrapping.
LARGE = [row for row in BY_MODE if row[0] in ("ssim", "bce_iou_ssim", "online_bootstrapping")]


@pytest.mark.parametrize(("name", "mode"), LARGE)
@pytest.mark.parametrize("ignore", [False, True])
def test_formula_on_larger_images(name, mode, ignore):
    agree(name, {"mode": mode}, make(mode, ignore=ignore, size=(31, 29)), FORMS[mode][0])


@pytest.mark.parametrize("scales", [0, 1, 2])
def test_formula_of_any_number_of_coarser_scales(scales):
    case = make("multilabel", ignore=True)
    fewer = dataclasses.replace(case, coarse=case.coarse[:scales])
    agree("deep_supervision", {"loss": "bce_dice", "decay": 0.3}, fewer, "float32")


# Rows that leave out what was not annotated, one by one.
ANNOTATED = [
    name
    for name, row in LOSSES.items()
    if "annotated" in inspect.signature(row.build).parameters and "multilabel" in row.modes
]


@pytest.mark.parametrize("name", ANNOTATED)
@pytest.mark.parametrize("ignore", [False, True])
def test_formula_where_classes_were_not_annotated(name, ignore):
    case = make("multilabel", ignore=ignore, annotated=False)
    for params in settings(name):
        if mode_of(name, params) == "multilabel":
            agree(name, params, case, "float32")


@pytest.mark.parametrize("name", ["weighted_sum", "deep_supervision"])
@pytest.mark.parametrize("ignore", [False, True])
def test_what_was_not_annotated_reaches_a_loss_inside(name, ignore):
    case = make("multilabel", ignore=ignore, annotated=False)
    for params in settings("dice_focal"):
        inside = {
            "weighted_sum": {"terms": [{"loss": "dice_focal", "params": params, "weight": 0.3}]},
            "deep_supervision": {"loss": "dice_focal", "params": params},
        }
        agree(name, inside[name], case, "float32")


# In test_shape.py, on classes that have an inside.
ELSEWHERE = {("boundary_dou", "largest")}
# What an argument needs beside it to have a say.
BESIDE = {
    "divide_by": {"class_weights": WEIGHTS},
    "keep": {"threshold": 0.02},
}


def _values(name: str, argument: str) -> list[dict[str, Any]]:
    """The parameters with every value of an argument, the others at their defaults."""
    needed = {key: rest[0] for key, rest in arguments(name).items() if rest[0] is not ...}
    choices = list(LOSSES[name].modes) if argument == "mode" else arguments(name)[argument]
    others = needed | BESIDE.get(argument, {})
    others.pop(argument, None)
    return [others | ({} if choice is ... else {argument: choice}) for choice in choices]


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, key) for name in LOSSES for key in arguments(name) if (name, key) not in ELSEWHERE],
)
def test_every_argument_changes_the_result(name, argument):
    case = make("multiclass", ignore=False)  # its target fits both modes
    rows = [found(name, params, case, "float32") for params in _values(name, argument)]
    totals = [sum(terms.values()) for terms in rows]
    assert all(abs(a - b) > 1e-4 for a, b in itertools.combinations(totals, 2)), totals
