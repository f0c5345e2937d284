from typing import Annotated

import pytest
from pydantic import Field

from gutseg.registry import Spec, check


def _block(channels: int, *, width: int = 8, rates: list[float] = (0.1,), name: str) -> None:
    """A component with a required and two optional settings."""


TABLE = {"block": Spec(_block, "nowhere"), "black": Spec(lambda channels: None, "nowhere")}


def test_defaults_are_filled_in_and_values_coerced():
    checked = check(TABLE, "block", {"name": "a", "rates": [1, 2]})
    assert checked == {"width": 8, "rates": [1.0, 2.0], "name": "a"}


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("blok", {}, "model: unknown name 'blok'; did you mean 'block'. choices: block, black"),
        ("block", {"name": "a", "widht": 3}, "no parameter 'widht'; did you mean 'width'"),
        ("block", {"name": "a", "channels": 3}, "no parameter 'channels'"),
        ("block", {}, "'block' also needs name"),
        ("block", {"name": "a", "width": "wide"}, "model.params.width: .*valid integer.*'wide'"),
        ("black", {"a": 1}, "it has no parameters"),
    ],
)
def test_what_is_wrong_is_named(name, params, message):
    with pytest.raises(ValueError, match=message):
        check(TABLE, name, params, where="model")


def _bounded(*, share: Annotated[float, Field(le=1)] = 1, pair: tuple[int, int] = (1, 2)) -> None:
    """A component whose annotations hold bounds."""


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"share": 2}, "loss.params.share: .*less than or equal to 1, found 2"),
        ({"share": True}, "loss.params.share: .*valid number, found True"),
        ({"share": float("nan")}, "loss.params.share: .*finite number, found nan"),
        ({"pair": [1, "2"]}, "loss.params.pair.1: .*valid integer, found '2'"),
    ],
)
def test_bounds_of_an_annotation_hold_and_nothing_is_taken_for_a_number(params, message):
    table = {"bounded": Spec(_bounded, "nowhere")}
    assert check(table, "bounded", {"share": 0, "pair": [3, 4]}) == {"share": 0.0, "pair": (3, 4)}
    with pytest.raises(ValueError, match=message):
        check(table, "bounded", params, where="loss")


def test_a_name_of_any_length_is_shown_in_part():
    for name, params in (("x" * 9999, {}), ("block", {"x" * 9999: 1})):
        with pytest.raises(ValueError, match="characters") as error:
            check(TABLE, name, params)
        assert len(str(error.value)) < 600
