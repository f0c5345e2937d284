import numpy as np
import pytest

from gutseg.constants import NATIVE_SIZES
from gutseg.data.inputs import Geometry, Window, window

SIZES = [(height, width) for width, height in NATIVE_SIZES]
BODY = (50, 200, 20, 230)


def _centre(plane):
    return np.array([axis.mean() for axis in np.nonzero(plane)])


@pytest.mark.parametrize("native", SIZES)
def test_padding_is_undone_to_the_bit(native):
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 2**16, (3, *native)).astype(np.uint16)
    view = window(native, BODY, Geometry(kind="pad", size=(320, 384)))
    padded = view.forward(planes)
    assert padded.shape == (3, 320, 384)
    assert padded.sum() == planes.sum(dtype=np.uint64)
    np.testing.assert_array_equal(view.inverse(padded), planes)


@pytest.mark.parametrize(
    ("native", "box"),
    [
        ((310, 360), (-5, 315, -12, 372)),
        ((311, 383), (-4, 316, 0, 384)),
        ((319, 383), (0, 320, 0, 384)),
        ((320, 384), (0, 320, 0, 384)),
    ],
)
def test_padding_puts_the_slice_in_the_middle(native, box):
    view = window(native, BODY, Geometry(kind="pad", size=(320, 384)))
    assert (view.native, view.box, view.size) == (native, box, (320, 384))
    ones = np.ones((1, *native), np.uint8)
    padded = view.forward(ones)
    assert padded.dtype == view.inverse(padded).dtype == np.uint8
    np.testing.assert_array_equal(view.inverse(padded), ones)
    expected = np.zeros((320, 384))
    expected[-box[0] : native[0] - box[0], -box[2] : native[1] - box[2]] = 1
    np.testing.assert_array_equal(padded[0], expected)


@pytest.mark.parametrize("native", SIZES)
@pytest.mark.parametrize("kind", ["resize", "body"])
@pytest.mark.parametrize("size", [(320, 384), (160, 192), (128, 128)])
def test_resampling_comes_back_to_the_same_place(native, kind, size):
    """A swapped height and width, or half a pixel of shift a step, would move the centre."""
    labels = np.zeros((1, *native), np.uint8)
    labels[0, 80:130, 60:170] = 1
    view = window(native, BODY, Geometry(kind=kind, size=size))
    back = view.inverse(view.forward(labels, labels=True), labels=True)
    assert back.shape == labels.shape
    step = max(*(np.array(native) / size), 1)  # nearest neighbour: half a pixel, each way
    np.testing.assert_allclose(_centre(back[0]), _centre(labels[0]), atol=step + 0.01)
    assert abs(int(back.sum()) - int(labels.sum())) < 0.05 * labels.sum()
    smooth = view.inverse(view.forward(labels.astype(np.float32)))
    np.testing.assert_allclose(_centre(smooth[0] > 0.5), _centre(labels[0]), atol=0.6)


def test_nothing_outside_the_body_box_is_predicted():
    view = window((266, 266), BODY, Geometry(kind="body", size=(128, 128), margin=8))
    back = view.inverse(np.ones((1, 128, 128), np.float32))
    inside = np.zeros((266, 266), bool)
    inside[42:208, 12:238] = True
    np.testing.assert_array_equal(back[0] > 0, inside)
    narrow = window((266, 266), BODY, Geometry(kind="body", size=(128, 128), margin=0))
    assert narrow.box == BODY


def test_the_margin_stops_at_the_border():
    assert window((266, 266), (2, 264, 0, 266), Geometry(kind="body", size=(64, 64))).box == (
        0,
        266,
        0,
        266,
    )


def test_a_padded_size_grows_to_32_only_where_the_slice_is_larger():
    assert window((36, 40), BODY, Geometry(kind="pad", size=(36, 40)), grow=True).size == (36, 40)
    assert window((37, 40), BODY, Geometry(kind="pad", size=(36, 40)), grow=True).size == (64, 40)
    assert window((36, 65), BODY, Geometry(kind="pad", size=(36, 40)), grow=True).size == (36, 96)


def test_body_boxes_have_a_margin_of_eight_pixels():
    assert window((266, 266), BODY, Geometry(kind="body", size=(64, 64))).box == (42, 208, 12, 238)
    assert window((40, 48), (9, 30, 10, 39), Geometry(kind="body", size=(64, 64))).box == (
        1,
        38,
        2,
        47,
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 4), [[1.5, 5.5, 9.5, 13.5]]),  # shrinking: the mean of the area
        ((2, 4), [[1.5, 5.5, 9.5, 13.5]] * 2),  # the height decides: linear at the centre
    ],
)
def test_shrinking_averages_areas(size, expected):
    row = np.arange(16, dtype=np.float32)
    row[::4] += 4  # seen by areas, not by the two pixels in the middle
    planes = np.stack([row, row])[None]
    found = window((2, 16), BODY, Geometry.model_construct(kind="resize", size=size)).forward(
        planes
    )[0]
    areas = size[0] < 2
    np.testing.assert_allclose(found, np.array(expected) + areas, atol=1e-6)


def test_labels_keep_their_bits():
    labels = np.random.default_rng(0).integers(0, 8, (2, 310, 360)).astype(np.uint8)
    view = window((310, 360), BODY, Geometry(kind="resize", size=(160, 192)))
    assert set(np.unique(view.forward(labels, labels=True))) <= set(range(8))


@pytest.mark.parametrize("size", [(3, 5), (7, 9), (13, 31)])
def test_labels_take_the_nearest_pixel_both_ways(size):
    """Of the pixel whose centre is nearest; a mean of the bits {1, 4} would be {2, 3}."""
    labels = np.random.default_rng(0).choice(np.array([0, 1, 4], np.uint8), (2, 11, 15))
    view = window((11, 15), BODY, Geometry.model_construct(size=size))
    assert view == window((11, 15), BODY, Geometry.model_construct(kind="resize", size=size))

    def nearest(planes, to):
        y, x = ((np.arange(n) + 0.5) / n for n in to)
        y, x = (y * planes.shape[1]).astype(int), (x * planes.shape[2]).astype(int)
        return planes[:, y[:, None], x]

    found = view.forward(labels, labels=True)
    np.testing.assert_array_equal(found, nearest(labels, size))
    np.testing.assert_array_equal(view.inverse(found, labels=True), nearest(found, (11, 15)))


def test_a_shifted_box_of_the_same_size_shifts():
    view = Window((3, 4), (1, 4, -1, 3), (3, 4))
    plane = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4)
    shifted = [[0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]
    np.testing.assert_array_equal(view.forward(plane)[0], shifted)
    back = [[0, 0, 0, 0], [5, 6, 7, 0], [9, 10, 11, 0]]
    np.testing.assert_array_equal(view.inverse(view.forward(plane))[0], back)


def test_mirrored_input_gives_mirrored_output():
    planes = np.random.default_rng(0).random((1, 234, 234)).astype(np.float32)
    view = window((234, 234), BODY, Geometry(kind="resize", size=(96, 120)))
    np.testing.assert_allclose(
        view.forward(planes[:, :, ::-1].copy()), view.forward(planes)[:, :, ::-1], atol=1e-6
    )


def test_too_large_for_the_padded_size():
    with pytest.raises(ValueError, match="310x360 slice does not fit into the padded size 266x384"):
        window((310, 360), BODY, Geometry(kind="pad", size=(266, 384)))


@pytest.mark.parametrize(
    ("native", "size"),
    [((310, 360), (320, 384)), ((200, 385), (266, 416)), ((512, 96), (512, 384))],
)
def test_a_padded_size_grows_to_multiples_of_32_where_it_must(native, size):
    planes = np.random.default_rng(0).random((1, *native)).astype(np.float32)
    view = window(native, BODY, Geometry(kind="pad", size=(266, 384)), grow=True)
    assert view.size == size == view.forward(planes).shape[1:]
    np.testing.assert_array_equal(view.inverse(view.forward(planes)), planes)


def test_native_slices_stay_as_they_are():
    planes = np.random.default_rng(0).integers(0, 2**16, (2, 37, 51)).astype(np.uint16)
    view = window((37, 51), BODY, Geometry(kind="native"))
    assert view.forward(planes) is planes and view.inverse(planes) is planes
