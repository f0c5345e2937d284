"""The weight functions against the thesis' own tables (000, Tables 3.2, 3.3, 4.11)."""

import numpy as np
import pytest

from gutseg.losses.weights import WEIGHTS, class_weights

# Table 4.1, CoNIC, in percent; the background is last.
CONIC = [0.126, 10.308, 1.855, 0.551, 0.103, 3.081, 83.975]
# Table 4.2, MoNuSAC.
MONUSAC = [0.363, 10.905, 4.422, 1.737, 82.574]


def _weights(kind: str, percent: list[float]) -> list[float]:
    shares = [share / 100 for share in percent]
    return class_weights(kind, shares, background=len(shares) - 1)


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        ("falling", [0.1746, 0.1324, 0.1666, 0.1726, 0.1747, 0.1611, 0.0179]),
        ("falling_foreground", [0.2189, 0.0389, 0.1633, 0.2037, 0.2198, 0.1326, 0.0228]),
        ("falling_no_background", [0.2240, 0.0398, 0.1671, 0.2084, 0.2249, 0.1357, 0]),
    ],
)
def test_table_4_11_to_the_printed_digits(kind, printed):
    assert np.round(_weights(kind, CONIC), 4).tolist() == printed


def test_table_3_2_has_two_misprints():
    """It sums to .99900: eosinophils print .47268 for .47368; the neutrophils' share was .125 %.

    With these two everything is within the rounding of the shares.
    """
    printed = [0.39031, 0.00473, 0.02632, 0.08854, 0.47268, 0.01584, 0.00058]
    corrected = [0.125, *CONIC[1:]]
    found = np.array(_weights("inverse", corrected))
    assert sum(printed) == pytest.approx(0.999, abs=1e-9)
    assert found[4] == pytest.approx(0.47368, abs=5e-6)
    others = [0, 1, 2, 3, 5, 6]
    assert np.abs(found - printed)[others].max() < 2.5e-5
    assert np.abs(found - printed)[4] == pytest.approx(0.001, abs=1e-5)
    # the share as Table 4.1 prints it is out by a hundred times that
    assert abs(_weights("inverse", CONIC)[0] - printed[0]) > 0.0018


def test_table_3_3():
    """The weights of two classes are the shares swapped; Table 4.1 counts 83.975 %."""
    assert np.round(class_weights("inverse", [0.16023, 0.83977], 1), 5).tolist() == [
        0.83977,
        0.16023,
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("inverse", [0.7526, 0.0251, 0.0618, 0.1573, 0.0033]),
        ("falling", [0.2691, 0.2020, 0.2409, 0.2592, 0.0288]),
        ("falling_foreground", [0.3783, 0.0731, 0.2009, 0.3053, 0.0424]),
        ("falling_no_background", [0.3951, 0.0763, 0.2098, 0.3189, 0]),
    ],
)
def test_the_second_dataset(kind, expected):
    assert np.round(_weights(kind, MONUSAC), 4).tolist() == expected


def test_the_rising_function_favours_the_background():
    assert np.round(_weights("rising", CONIC), 4).tolist() == [
        *(0.0616, 0.0813, 0.0646, 0.0623, 0.0616, 0.0668, 0.6019)
    ]


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("background", [None, 0])
def test_weights_sum_to_one_even_when_a_class_never_occurs(kind, background):
    found = class_weights(kind, [0.9, 0.002, 0.0, 0.03], background)
    assert sum(found) == pytest.approx(1)
    assert min(found) >= 0 and np.isfinite(found).all()


def test_a_class_that_never_occurs_weighs_as_much_as_the_rarest_that_does():
    found = class_weights("inverse", [0.5, 0.0, 0.1, 0.4])
    assert found == pytest.approx([2 / 24.5, 10 / 24.5, 10 / 24.5, 2.5 / 24.5])
    assert class_weights("inverse_median", [0.5, 0.0, 0.1, 0.4]) == pytest.approx(found)


def test_organs_without_a_background_channel():
    """Median frequency: the median class weighs its share of 1 / share."""
    found = class_weights("inverse_median", [0.01, 0.02, 0.04])
    assert np.round(np.array(found) / found[1], 6).tolist() == [2, 1, 0.5]


def test_percent_and_unknown_names_are_refused():
    with pytest.raises(ValueError, match="fractions from 0 to 1, not percent"):
        class_weights("inverse", CONIC)
    with pytest.raises(ValueError, match="class weights 'invers': did you mean 'inverse'"):
        class_weights("invers", [0.5, 0.5])


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize(
    ("shares", "background", "message"),
    [
        ([0.0, 0.0, 0.0], None, "no class occurs, so none can be weighted"),
        ([0.0, 0.0], 1, "no class occurs, so none can be weighted"),
        ([], None, "expected one number for each class"),
        ([[0.1, 0.9]], None, "expected one number for each class"),
        ([0.1, float("nan")], None, "expected fractions from 0 to 1"),
        ([0.1, float("inf")], None, "expected fractions from 0 to 1"),
        ([0.1, -0.1], None, "expected fractions from 0 to 1"),
        ([0.2, 0.8], 2, "background 2 is not 0 to 1"),
        ([0.2, 0.8], -1, "background -1 is not 0 to 1"),
    ],
)
def test_shares_that_give_no_weights(kind, shares, background, message):
    with pytest.raises(ValueError, match=f"class weights '{kind}': shares .*; {message}"):
        class_weights(kind, shares, background)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize(
    ("shares", "background"),
    [
        ([1.0], None),
        ([0.0, 1.0], 1),
        ([1.0, 0.0, 0.0], 0),
        ([1e-320, 0.5], None),
        ([1.0, 1.0], None),
    ],
)
def test_weights_at_the_edges_are_numbers_that_add_up_to_one(kind, shares, background):
    found = class_weights(kind, shares, background)
    assert sum(found) == pytest.approx(1) and min(found) >= 0


def test_the_background_alone_cannot_be_left_out():
    assert class_weights("falling_foreground", [1.0], 0) == [1.0]
    with pytest.raises(ValueError, match="the background is the only class, and its weight is 0"):
        class_weights("falling_no_background", [1.0], 0)
