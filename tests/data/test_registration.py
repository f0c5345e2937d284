"""How far a scan lies from another: by trying all shifts, and on patients whose shift is known."""

import itertools

import numpy as np
import pytest

from gutseg.data.registration import Move, correlation, register
from gutseg.data.volume import describe
from gutseg.synthetic import draw_scan, roster
from gutseg.synthetic.anatomy import draw_anatomy


def _overlap(fixed, moving, shift):
    """What lies on each other, fixed[i] on moving[i + shift], by plain slicing."""
    ours, theirs = [], []
    for step, a, b in zip(shift, fixed.shape, moving.shape, strict=True):
        first, last = max(0, -step), min(a, b - step)
        ours.append(slice(first, last))
        theirs.append(slice(first + step, last + step))
    return fixed[tuple(ours)].ravel(), moving[tuple(theirs)].ravel()


def test_the_correlation_of_every_overlap_is_numpys():
    random = np.random.default_rng(0)
    fixed, moving = random.random((5, 7, 6)) + 3, random.random((4, 6, 9))
    shifts = np.arange(-3, 3), np.arange(-4, 5), np.arange(-2, 6)
    found = correlation(fixed, moving, shifts)
    for place in itertools.product(*(range(len(some)) for some in shifts)):
        shift = [int(some[at]) for some, at in zip(shifts, place, strict=True)]
        expected = np.corrcoef(*_overlap(fixed, moving, shift))[0, 1]
        assert found[place] == pytest.approx(expected, abs=1e-4), shift


def test_what_does_not_vary_fits_nowhere():
    flat = describe("case1_day0", np.full((4, 40, 40), 7, np.uint16))
    assert (correlation(np.ones((3, 4, 4)), np.eye(4)[None], [np.zeros(1, int)] * 3) == -1).all()
    assert register(flat, flat) == Move(0, 0.0, 0.0)


@pytest.mark.parametrize("move", [Move(0, 0.0, 0.0), Move(-2, 9.0, -15.0), Move(3, -4.5, 30.0)])
def test_a_scan_that_was_moved_is_found_where_it_lies(move):
    """Blobs, cut out of one large volume at two places."""
    random = np.random.default_rng(1)
    z, y, x = np.mgrid[:26, :150, :150]
    volume = np.zeros(z.shape)
    for centre in random.uniform((0, 20, 20), (26, 130, 130), (40, 3)):
        away = ((z - centre[0]) / 3) ** 2 + (((y - centre[1]) ** 2 + (x - centre[2]) ** 2) / 80)
        volume += np.exp(-away) * random.uniform(200, 900)

    def cut(slices, down, right):
        return volume[5 + slices : 21 + slices, 30 + down : 120 + down, 30 + right : 110 + right]

    fixed = describe("case1_day3", cut(0, 0, 0).astype(np.uint16))
    pixels = round(move.down_mm / 1.5), round(move.right_mm / 1.5)
    moving = describe("case1_day0", 3 * cut(-move.slices, -pixels[0], -pixels[1]).astype(np.uint16))
    found = register(fixed, moving)
    assert found.slices == move.slices
    assert found.down_mm == pytest.approx(move.down_mm, abs=1.5)
    assert found.right_mm == pytest.approx(move.right_mm, abs=1.5)


def test_a_patient_who_lies_elsewhere_in_a_shorter_scan_is_found():
    """The phantom knows how far: 4 mm and 5 mm in the slice, 105 mm - 11 mm along the body."""
    visits = {visit.name: visit for visit in roster(12, 0, "small")[0]}
    first, later = visits["case11_day0"], visits["case11_day4"]
    assert first.voxels.shape == (27, 138, 138) and later.voxels.shape == (48, 133, 133)
    scans = [
        describe(one.name, draw_scan(0, one).image, (3.0, *[one.voxels.spacing_mm] * 2))
        for one in (later, first)
    ]
    shifts = [
        draw_anatomy(0, one.case, one.day, one.is_large).outline.shift for one in (later, first)
    ]
    along, down, right = shifts[1] - shifts[0]
    found = register(*scans)
    starts = later.voxels.z[0] + along - first.voxels.z[0]
    assert found.slices == pytest.approx(starts / first.voxels.thickness_mm, abs=1)
    assert found.down_mm == pytest.approx(down, abs=3)
    assert found.right_mm == pytest.approx(right, abs=3)
