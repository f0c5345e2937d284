"""ISBI 2012 in small, its issues, and the real images."""

import cv2
import numpy as np
import pytest
from plain import plain

from gutseg.data.sources.png_folder import isbi as isbi_reader

isbi = plain(isbi_reader)

INSIDE = np.array([[255, 255, 0, 255], [0, 0, 0, 255], [255, 0, 255, 255]], np.uint8)


@pytest.fixture
def sections(tmp_path):
    """Sections 2 and 10; the image of section n has grey n, 2 n, 3 n, ... from the left."""
    for number in (2, 10):
        for part in ("image", "label"):
            (tmp_path / "train" / part).mkdir(parents=True, exist_ok=True)
        grey = np.tile(np.arange(1, 5, dtype=np.uint8) * number, (3, 1))
        assert cv2.imwrite(str(tmp_path / "train" / "image" / f"{number}.png"), grey)
        assert cv2.imwrite(str(tmp_path / "train" / "label" / f"{number}.png"), INSIDE)
    return tmp_path


def test_sections_come_in_order_with_one_class_the_inside(sections):
    data = isbi(sections)
    assert data.names == data.groups == ["2", "10"]
    assert (data.classes, data.mode, data.background) == (("inside",), "multilabel", None)
    assert data.images[1].shape == (3, 4, 1) and data.images[1].dtype == np.float32
    assert data.images[1][0, :, 0] == pytest.approx(np.array([10, 20, 30, 40]) / 255)
    np.testing.assert_array_equal(data.labels[0], INSIDE == 255)
    assert data.source.class_shares(data.source.index[:1]) == [7 / 12]


@pytest.mark.parametrize(("rows", "columns"), [(2, 0), (0, -1), (0.5, 0.25)])
def test_an_offset_moves_the_image_onto_its_label(sections, rows, columns):
    """A slope moves by its own steepness; labels stay."""
    slope = np.add.outer(8 * np.arange(24), 4 * np.arange(24)).astype(np.uint8)[..., None]
    for part, content in (("image", slope), ("label", np.full((24, 24), 255, np.uint8))):
        assert cv2.imwrite(str(sections / "train" / part / "2.png"), content)
    data = isbi(sections, offset=[rows, columns])
    moved = data.images[0][4:-4, 4:-4, 0] * 255 - slope[4:-4, 4:-4, 0]
    # OpenCV rounds places to 1/32 of a pixel
    assert moved == pytest.approx(8 * rows + 4 * columns, abs=0.2)
    assert data.images[0].shape == (24, 24, 1) and data.images[0].dtype == np.float32
    assert data.labels[0].all() and data.source.class_shares(data.source.index[1:]) == [7 / 12]


def test_the_challenge_labels_lie_above_their_images(real_data):
    """Membranes are dark: the offset of configs/membrane.yaml fits better than none or twice it."""
    fit = {}
    for rows in (0.0, 0.64, 1.28):
        data = isbi(real_data / "isbi2012", offset=[rows, 0.13])
        pairs = zip(data.images[::10], data.labels[::10], strict=True)
        fit[rows] = np.mean(
            [np.corrcoef(cv2.blur(a, (3, 3)).ravel(), b.ravel())[0, 1] for a, b in pairs]
        )
    assert fit[0.64] > max(fit[0.0], fit[1.28]) + 0.002


def test_a_smoothed_label_and_a_missing_one(sections):
    label = sections / "train" / "label" / "10.png"
    assert cv2.imwrite(str(label), INSIDE - (INSIDE > 0))
    with pytest.raises(ValueError, match="label/10.png holds 254; expected 0 .membrane. and 255"):
        isbi(sections)
    assert cv2.imwrite(str(label), INSIDE[:2])
    with pytest.raises(ValueError, match="label/10.png is 2x4 and .*image/10.png is 3x4"):
        isbi(sections)
    label.unlink()
    with pytest.raises(FileNotFoundError, match="label/10.png does not exist; add it or remove"):
        isbi(sections)


def test_the_challenge_has_30_sections_with_a_fifth_membrane(real_data):
    data = isbi(real_data / "isbi2012")
    assert data.names == [str(number) for number in range(30)]
    assert {image.shape for image in data.images} == {(512, 512, 1)}
    assert data.source.class_shares(data.source.index) == pytest.approx([1 - 0.2196], abs=1e-4)
    # membranes are darker than the cells between them
    grey = np.concatenate([image[..., 0].ravel() for image in data.images])
    inside = np.concatenate([label.ravel() for label in data.labels]) == 1
    assert grey[~inside].mean() < grey[inside].mean() - 0.1
