"""A window that another network finds: its box by hand, the body where there is none, undone."""

import numpy as np
import pytest

from gutseg.config import load
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack, window
from gutseg.data.view import turned
from gutseg.data.volume import Scan
from gutseg.inference.locator import SMALLEST, Locator, box_of

BODY = (2, 38, 3, 47)


def _scan():
    image = np.random.default_rng(0).integers(1, 900, (6, 40, 48)).astype(np.uint16)
    return Scan("case1_day0", image, np.bincount(image.ravel()).astype(np.uint32), BODY)


def _says(*places, sure=128):
    """A network of two classes that is sure of some (class, z, rows, columns)."""
    found = np.zeros((2, 6, 40, 48), np.uint8)
    for place in places:
        found[place] = sure
    return Locator(lambda _: found)


def test_the_box_holds_what_any_class_shows_in_any_slice():
    one = (0, slice(1, 3), slice(10, 16), slice(20, 30))  # 120 voxels
    other = (1, 4, slice(14, 25), slice(12, 20))  # 88, and they touch nowhere
    assert _says(one).box(_scan()) == (10, 16, 20, 30)
    located = _says(one, other)(_scan())
    assert located.found == (10, 25, 12, 30) and located.body == BODY
    assert _says(one, other, sure=127)(_scan()).found == BODY  # nothing reaches 0.5


def test_specks_make_no_box_larger():
    piece = np.zeros((6, 40, 48), bool)
    piece[1:5, 5:9, 6:10] = True
    assert piece.sum() == SMALLEST and box_of(piece) == (5, 9, 6, 10)
    piece[5, 30, 40] = True
    assert box_of(piece) == (5, 9, 6, 10)
    piece[1, 5, 6] = False
    assert box_of(piece) is None


def test_the_window_is_that_box_and_undone_exactly():
    geometry = Geometry(kind="found", from_run="x", size=(19, 32), margin=2)
    inputs = Inputs(Stack(slices=1), Scaling(kind="scan"), geometry)
    scan = _says((0, slice(0, 6), slice(10, 25), slice(20, 48)))(_scan())
    assert scan.found == (10, 25, 20, 48)
    seen = inputs.window(scan)
    assert seen.box == (8, 27, 18, 48)  # 19 x 30: the slice ends at column 48
    same = geometry.model_copy(update={"size": (19, 30)})  # as large: not resampled
    view = Inputs(Stack(slices=1), Scaling(kind="scan"), same)
    planes = np.arange(6)
    back = view.native(scan, view.images(scan, planes))[0]  # (Z, H, W)
    inside = np.zeros((40, 48), bool)
    inside[8:27, 18:48] = True
    np.testing.assert_array_equal(
        back, np.where(inside, scan.image / scan.image.max(), 0).astype("f4")
    )
    other = window((40, 48), scan.found, geometry)
    assert other == seen != window((40, 48), scan.body, geometry)
    with pytest.raises(ValueError, match="kind found: no box of case1_day0 is known; it is found"):
        inputs.window(_scan())


def test_planes_of_another_view_have_all_slices_of_the_box():
    scan = _says((0, slice(0, 6), slice(10, 25), slice(20, 48)))(_scan())
    assert turned(scan, "coronal").found == (0, 6, 20, 48)
    assert turned(scan, "sagittal").found == (0, 6, 10, 25)
    assert turned(_scan(), "coronal").found is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "found"}, "geometry: kind found needs from_run, the run whose network finds"),
        (
            {"from_run": "runs/x"},
            "from_run runs/x finds boxes for kind found alone, and kind is re",
        ),
        (
            {"kind": "found", "from_run": "x", "source": "isbi"},
            "geometry.kind: found looks at all slices of a scan, and isbi has single images",
        ),
    ],
)
def test_what_finds_no_window_is_refused(tmp_path, given, message):
    (tmp_path / "x.yaml").write_text("name: x\n")
    data = [f"data.source={given.pop('source')}"] if "source" in given else []
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "x.yaml", [*data, *(f"geometry.{k}={v}" for k, v in given.items())])
