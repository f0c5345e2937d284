"""What the browser gets is what the scan holds: masks exactly, greys rounded, distances in mm."""

import json
from base64 import b64decode
from dataclasses import replace

import cv2
import numpy as np
import pytest
from shown_scans import MM, SHAPE, SPECK, labelled, shown

from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.hausdorff_distance import symmetric
from gutseg.viewer import encoding, part


def _unpacked(data):
    """Transcribed from the definition in volume.js."""
    values, stream = [], iter(data)
    for value in stream:
        length, shift, more = 0, 0, True
        while more:
            byte = next(stream)
            length, shift, more = length | (byte & 127) << shift, shift + 7, byte > 127
        values += [value] * length
    return values


def test_runs_by_hand():
    assert encoding.runs(np.array([0, 0, 0, 5, 5], np.uint8)).hex(" ") == "00 03 05 02"
    # 300 = 2 * 128 + 44, whose first byte says that another follows
    assert encoding.runs(np.full((3, 100), 7, np.uint8)).hex(" ") == "07 ac 02"


@pytest.mark.parametrize("length", [1, 127, 128, 16_383, 16_384, 2_097_152])
def test_runs_of_every_length_come_back(length):
    values = np.repeat(np.array([3, 0, 255], np.uint8), [length, 1, 128])
    assert _unpacked(encoding.runs(values)) == values.tolist()


def test_masks_come_back():
    scan = labelled()
    bits = encoding.class_bits(BitRows.from_class_bits(scan.labels, 3))
    np.testing.assert_array_equal(bits, scan.labels)
    sent = encoding.payload(shown())
    found = np.array(_unpacked(b64decode(sent["truth"]))).reshape(SHAPE)
    np.testing.assert_array_equal(found, scan.labels)
    assert np.unique(found).tolist() == [0, 1, 2, 4, 6]  # two organs overlap


def _planes(image):
    for strip in image["strips"]:
        picture = cv2.imdecode(np.frombuffer(b64decode(strip), np.uint8), cv2.IMREAD_UNCHANGED)
        yield from picture.reshape(-1, image["rows"], picture.shape[1])


def test_pictures_hold_every_grey_value():
    scan = labelled()
    found = encoding.pictures(scan, 204.0, None, 1)
    planes = np.stack(list(_planes(found)))
    assert (found["shape"], found["rows"], len(found["strips"])) == ([20, 40, 48], 40, 2)
    expected = np.rint(np.minimum(scan.image, 204) * 1.25)
    np.testing.assert_array_equal(planes, expected)


def test_pictures_are_shrunk_by_means_and_padded_by_the_border():
    image = np.zeros((1, 3, 10), np.uint16)
    image[0, :2, :2] = [[10, 20], [30, 40]]
    image[0, 2, 9] = 100
    found = encoding.pictures(replace(labelled(), image=image), 255.0, None, 2)
    (plane,) = _planes(found)
    assert (found["shape"], plane.shape) == ([1, 2, 5], (8, 8))
    # the last row counts twice, as nothing is below it
    assert plane[0].tolist() == [25, 0, 0, 0, 0, 0, 0, 0]
    assert plane[1].tolist() == plane[7].tolist() == [0, 0, 0, 0, 50, 50, 50, 50]


def test_jpeg_is_near():
    scan = labelled()
    exact = np.stack(list(_planes(encoding.pictures(scan, 500.0, None, 1)))).astype(int)
    near = np.stack(list(_planes(encoding.pictures(scan, 500.0, 85, 1)))).astype(int)
    assert 0 < np.abs(exact - near).mean() < 4


def test_the_box_holds_body_and_masks():
    scan = replace(labelled(), body=(10, 20, 12, 30))
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 25, 8] = 4
    one = replace(shown(), scan=replace(scan, mask=mask), prediction=None)
    assert encoding.box(one) == [[0, 20], [4, 32], [2, 36]]
    speck = np.zeros((3, *SHAPE), bool)
    speck[1, 0, 1, 47] = True  # at the border: there is room for a ring beyond it
    found = encoding.box(replace(one, prediction=BitRows.from_arrays(speck)))
    assert found == [[0, 20], [-5, 32], [2, 54]]


def test_the_farthest_voxel_is_the_speck():
    one = shown()
    first, _, _ = encoding.farthest(one)
    words = one.prediction.words[0], one.truth.words[0]
    assert first["voxel"] == SPECK and first["in"] == "prediction"
    assert first["mm"] == pytest.approx(symmetric(*words, spacing=MM))
    steps = np.subtract(first["voxel"], first["nearest"]) * MM
    assert first["mm"] == pytest.approx(np.linalg.norm(steps))


def test_slices_without_prediction_and_organs_without_voxels_do_not_count():
    one = shown()
    # the prediction has nothing where it was not made
    empty = one.prediction.to_arrays()
    empty[:, 10:] = False
    empty[2] = False
    seen = np.arange(SHAPE[0]) < 10
    part_seen = replace(one, prediction=BitRows.from_arrays(empty), seen=seen)
    sent = encoding.payload(part_seen)
    assert sent["unseen"] == list(range(10, 20))
    assert sent["farthest"][0]["mm"] == 3.0  # two columns aside
    assert sent["farthest"][2] is None
    blind = encoding.payload(replace(one, prediction=None))
    assert blind["prediction"] is None and blind["farthest"] == [None] * 3
    unlabelled = encoding.payload(replace(one, scan=replace(one.scan, mask=None)))
    assert unlabelled["truth"] is None and unlabelled["farthest"] == [None] * 3


def test_the_part_stays_within_its_budget():
    scans = [shown(f"case{n}_day0", n) for n in (1, 2)]
    sizes = {len(part(scans, budget).html) for budget in (10**6, 40_000, 25_000)}
    assert len(sizes) == 3
    small = part(scans, 25_000)
    assert small.caption == "Scans: case1_day0, case2_day0"
    assert "quality 80) and shrunk to 1/2 a side, masks are complete" in small.note
    with pytest.raises(ValueError, match="2 scans take .* at most 2000 were allowed"):
        part(scans, 2000)
    with pytest.raises(ValueError, match="needs a scan"):
        part([])


def test_nothing_of_a_scan_ends_its_script():
    from gutseg.viewer.page import _in_script

    text = _in_script({"name": "</script><script>alert(1)"})
    assert "<" not in text and json.loads(text) == {"name": "</script><script>alert(1)"}
