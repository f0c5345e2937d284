import numpy as np
import pytest

from gutseg.data.inputs import Stack, gather, neighbours


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [[0, 0, 0, 1, 2], [4, 5, 6, 7, 8], [7, 8, 9, 9, 9]]),
        ({"edge": "reflect"}, [[2, 1, 0, 1, 2], [4, 5, 6, 7, 8], [7, 8, 9, 8, 7]]),
        ({"edge": "blank"}, [[-1, -1, 0, 1, 2], [4, 5, 6, 7, 8], [7, 8, 9, -1, -1]]),
        ({"stride": 2}, [[0, 0, 0, 2, 4], [2, 4, 6, 8, 9], [5, 7, 9, 9, 9]]),
        ({"slices": 3, "stride": 3}, [[0, 0, 3], [3, 6, 9], [6, 9, 9]]),
        ({"slices": 1}, [[0], [6], [9]]),
    ],
)
def test_neighbours(settings, expected):
    assert neighbours(np.array([0, 6, 9]), 10, Stack(**settings)).tolist() == expected


def test_short_scans_still_fill_a_stack():
    assert neighbours(np.array([0]), 1, Stack(slices=7, edge="reflect")).tolist() == [[0] * 7]
    assert neighbours(np.array([1]), 2, Stack(slices=7, edge="reflect")).tolist() == [
        [0, 1, 0, 1, 0, 1, 0]
    ]


def test_gather_copies_and_blanks():
    volume = np.arange(24).reshape(4, 2, 3)
    stack = gather(volume, np.array([[-1, 0, 1], [2, 3, 3]]))
    assert stack.shape == (2, 3, 2, 3)
    assert not stack[0, 0].any()
    np.testing.assert_array_equal(stack[1, 0], volume[2])
    stack[:] = 0
    assert volume[2].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"slices": 4}, "slices\n.*1, 3, 5 or 7"), ({"stride": 0}, "stride\n.*1, 2 or 3")],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        neighbours(np.array([0]), 10, Stack(**settings))
