import numpy as np
import pytest

from gutseg.constants import NATIVE_SIZES
from gutseg.data.geometry import window

SIZES = [(height, width) for width, height in NATIVE_SIZES]
BODY = (50, 200, 20, 230)


def _centre(plane):
    return np.array([axis.mean() for axis in np.nonzero(plane)])


@pytest.mark.parametrize("native", SIZES)
def test_padding_is_undone_to_the_bit(native):
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 2**16, (3, *native)).astype(np.uint16)
    view = window(native, BODY, kind="pad", size=(320, 384))
    padded = view.forward(planes)
    assert padded.shape == (3, 320, 384)
    assert padded.sum() == planes.sum(dtype=np.uint64)
    np.testing.assert_array_equal(view.inverse(padded), planes)


@pytest.mark.parametrize("native", SIZES)
@pytest.mark.parametrize("kind", ["resize", "body"])
@pytest.mark.parametrize("size", [(320, 384), (160, 192), (128, 128)])
def test_resampling_comes_back_to_the_same_place(native, kind, size):
    """A swapped height and width, or half a pixel of shift a step, would move the centre."""
    labels = np.zeros((1, *native), np.uint8)
    labels[0, 80:130, 60:170] = 1
    view = window(native, BODY, kind=kind, size=size)
    back = view.inverse(view.forward(labels, labels=True), labels=True)
    assert back.shape == labels.shape
    step = max(*(np.array(native) / size), 1)  # nearest neighbour: half a pixel, each way
    np.testing.assert_allclose(_centre(back[0]), _centre(labels[0]), atol=step + 0.01)
    assert abs(int(back.sum()) - int(labels.sum())) < 0.05 * labels.sum()
    smooth = view.inverse(view.forward(labels.astype(np.float32)))
    np.testing.assert_allclose(_centre(smooth[0] > 0.5), _centre(labels[0]), atol=0.6)


def test_nothing_outside_the_body_box_is_predicted():
    view = window((266, 266), BODY, kind="body", size=(128, 128), margin=8)
    back = view.inverse(np.ones((1, 128, 128), np.float32))
    inside = np.zeros((266, 266), bool)
    inside[42:208, 12:238] = True
    np.testing.assert_array_equal(back[0] > 0, inside)
    narrow = window((266, 266), BODY, kind="body", size=(128, 128), margin=0)
    assert narrow.box == BODY


def test_the_margin_stops_at_the_border():
    assert window((266, 266), (2, 264, 0, 266), kind="body", size=(64, 64)).box == (0, 266, 0, 266)


def test_labels_keep_their_bits():
    labels = np.random.default_rng(0).integers(0, 8, (2, 310, 360)).astype(np.uint8)
    view = window((310, 360), BODY, kind="resize", size=(160, 192))
    assert set(np.unique(view.forward(labels, labels=True))) <= set(range(8))


def test_mirrored_input_gives_mirrored_output():
    planes = np.random.default_rng(0).random((1, 234, 234)).astype(np.float32)
    view = window((234, 234), BODY, kind="resize", size=(96, 120))
    np.testing.assert_allclose(
        view.forward(planes[:, :, ::-1].copy()), view.forward(planes)[:, :, ::-1], atol=1e-6
    )


def test_too_large_for_the_padded_size():
    with pytest.raises(ValueError, match="310x360 slice does not fit into the padded size 266x384"):
        window((310, 360), BODY, kind="pad", size=(266, 384))


@pytest.mark.parametrize(
    ("native", "size"),
    [((310, 360), (320, 384)), ((200, 385), (266, 416)), ((512, 96), (512, 384))],
)
def test_a_padded_size_grows_to_multiples_of_32_where_it_must(native, size):
    planes = np.random.default_rng(0).random((1, *native)).astype(np.float32)
    view = window(native, BODY, kind="pad", size=(266, 384), grow=True)
    assert view.size == size == view.forward(planes).shape[1:]
    np.testing.assert_array_equal(view.inverse(view.forward(planes)), planes)
