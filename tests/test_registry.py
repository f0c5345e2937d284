import pytest

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
