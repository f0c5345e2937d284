"""What a row of LOSSES states is what its function takes; every loss is a plain function too."""

import inspect
import typing

import pytest
import torch
from loss_cases import case

from gutseg import losses
from gutseg.data.maps import MAPS
from gutseg.losses import LOSSES, Criterion
from gutseg.losses.reductions import Sums
from gutseg.losses.rows import region_loss
from gutseg.registry import check
from gutseg.settings import NotNegative

FUNCTIONS = [name for name, row in LOSSES.items() if row.within is None]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_states_what_its_function_takes(name):
    row = LOSSES[name]
    parameters = inspect.signature(row.build).parameters
    assert typing.get_args(parameters["mode"].annotation) == row.modes
    positional = [key for key, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert positional[:2] == ["logits", "target"]
    masks = set(positional[2:]) - row.required_maps
    assert {"ignore"} <= masks <= {"ignore", "annotated"}
    assert all(parameters[key].default is None for key in masks)
    assert row.required_maps <= MAPS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_is_a_function_of_that_name_with_its_own_words(name):
    function = getattr(losses, name)
    assert function is LOSSES[name].build and function.__name__ == name
    assert inspect.getdoc(function) and LOSSES[name].source.startswith("[")


def test_a_loss_is_called_as_a_plain_function():
    logits, target = case()
    expected = Criterion("tversky", alpha=0.2, beta=0.8, reduction="sample")(logits, target)[0]
    found = losses.tversky(logits, target, alpha=0.2, beta=0.8, reduction="sample")
    assert torch.equal(found, expected)
    numbers = target.argmax(1)
    given = losses.dice(logits, numbers, None, mode="multiclass", class_weights=[1, 2, 3])
    params = {"mode": "multiclass", "class_weights": [1, 2, 3]}
    assert torch.equal(given, Criterion("dice", **params)(logits, numbers)[0])
    with pytest.raises(TypeError, match="alhpa"):
        losses.tversky(logits, target, alhpa=1)


def test_a_new_region_loss_is_a_formula_and_a_row():
    """Everything else is there: modes, masks, weights, policies, ranges and their errors."""

    @region_loss
    def missed(sums: Sums, *, power: NotNegative = 1.0) -> torch.Tensor:
        """The share of a class that was missed."""
        return (sums.fn / sums.target.clamp(min=1)) ** power

    table = {"missed": losses.LossSpec(missed, "[Nobody 2026]")}
    assert check(table, "missed", {"power": 2, "absent": "one"}) == {
        "mode": "multilabel",
        "power": 2.0,
        "class_weights": None,
        "absent": "one",
        "reduction": "batch",
    }
    with pytest.raises(ValueError, match="params.power: .*greater than or equal to 0, found -1"):
        check(table, "missed", {"power": -1})
    logits, target = case()
    ignore = torch.zeros(2, 12, 10, dtype=torch.bool)
    ignore[:, 5:] = True
    found = missed(logits, target, ignore, class_weights=[0, 1, 0], power=2)
    p, g = logits[:, 1, :5].sigmoid(), target[:, 1, :5]
    assert found.item() == pytest.approx((1 - (p * g).sum().item() / g.sum().item()) ** 2)


def test_a_softmax_cannot_leave_out_a_class_of_an_image():
    logits, target = case()
    annotated = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="annotated: a softmax needs every class of an image"):
        losses.dice(logits, target.argmax(1), annotated=annotated, mode="multiclass")
