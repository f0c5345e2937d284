"""Scans seen along other axes: what their planes, neighbours and rows are."""

import numpy as np
import pytest

from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources.competition import Competition
from gutseg.data.sources.turned import Turned
from gutseg.data.view import turn, turn_back, turned
from gutseg.data.volume import Scan

VIEWS = ("coronal", "sagittal")
NATIVE = Inputs(Stack(), Scaling(), Geometry(kind="native"))


@pytest.fixture
def numbered() -> Scan:
    """A scan (2, 3, 4) whose voxel z, y, x has the value 100 z + 10 y + x and those labels."""
    z, y, x = np.mgrid[:2, :3, :4]
    image = (100 * z + 10 * y + x).astype(np.uint16)
    return Scan("case1_day0", image, np.bincount(image.ravel()), (1, 3, 0, 2), image.astype("u1"))


@pytest.mark.parametrize("view", ["axial", *VIEWS])
def test_there_and_back_is_the_same_scan(numbered, view):
    for lead in ((), (3,), (2, 5)):
        volume = np.random.default_rng(0).random((*lead, *numbered.shape))
        there = turn(volume, view)
        np.testing.assert_array_equal(turn_back(there, view), volume)
        assert np.shares_memory(there, volume)


def test_planes_and_boxes_of_a_volume_by_hand(numbered):
    coronal, sagittal = (turned(numbered, view) for view in VIEWS)
    assert coronal.shape == (3, 2, 4) and sagittal.shape == (4, 2, 3)
    assert coronal.image[2].tolist() == [[20, 21, 22, 23], [120, 121, 122, 123]]  # y = 2
    assert sagittal.labels[1].tolist() == [[1, 11, 21], [101, 111, 121]]  # x = 1
    # rows 1 to 3 and columns 0 to 2 hold the body: in both views with all slices
    assert coronal.body == (0, 2, 0, 2) and sagittal.body == (0, 2, 1, 3)
    assert coronal.name == numbered.name
    assert coronal.percentile(50) == numbered.percentile(50)
    bare = Scan("a", numbered.image, numbered.counts, (0, 3, 0, 4), voxel_mm=(3.0, 1.5, 2.0))
    assert turned(bare, "coronal").mask is None
    assert turned(bare, "coronal").voxel_mm == (1.5, 3.0, 2.0)
    assert turned(bare, "sagittal").voxel_mm == (2.0, 3.0, 1.5)


def test_neighbours_are_those_of_the_view(numbered):
    inputs = Inputs(Stack(slices=3), Scaling(kind="scan"), Geometry(kind="native"))
    for view, step in (("coronal", 10), ("sagittal", 1)):
        stack = inputs.images(turned(numbered, view), np.array([1]))[0] * 123  # (3, 2, columns)
        np.testing.assert_allclose(np.diff(stack, axis=0), step, rtol=1e-5)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_every_plane_of_the_view_is_a_row(cache, view, binary):
    data = Competition(cache, NATIVE, binary=binary)
    table = data.index.assign(fold=(data.index["case"] > 2).astype(int))
    seen = Turned(data, table, view)
    assert seen.index["id"].is_unique and set(seen.index["fold"]) == {0, 1}
    for name, rows in seen.index.groupby("scan"):
        labels = turn(np.asarray(data.scan(name).labels), view)
        assert rows["z"].tolist() == list(range(len(labels)))
        by_hand = [(labels >> bit & 1).any(axis=(1, 2)) for bit in range(3)]
        by_hand = [labels.any(axis=(1, 2))] if binary else by_hand
        np.testing.assert_array_equal(rows[list(seen.classes)].to_numpy().T, by_hand)
        assert len(set(rows["group"])) == 1 and rows["group"].iloc[0] == name.split("_")[0]
    empty = ~seen.shows_object(seen.index)
    assert 0 < empty.mean() < 1
    row = seen.index[~empty].iloc[0]
    images, labels, ignored = seen.planes(row["scan"], np.array([row["z"]]))
    assert images.shape[2:] == labels.shape[1:] == seen.scan(row["scan"]).shape[1:]
    assert seen.masks(labels).sum() > 0 and ignored is None
    assert seen.fingerprint(row["scan"]) == data.fingerprint(row["scan"])


@pytest.mark.parametrize("view", VIEWS)
def test_slices_without_labels_count_nowhere(cache, view):
    """What no row of train.csv speaks of is not background."""
    data = Competition(cache, NATIVE)
    table = data.index[data.index["scan"] == "case1_day0"].assign(fold=0)
    seen = Turned(data, table[table["z"].between(2, 4)], view)
    scan = seen.scan("case1_day0")
    ignored = seen.planes("case1_day0", np.array([1, 2]))[2]
    assert ignored.shape == (2, *scan.shape[1:])
    assert ignored[0, :, 0].tolist() == [True, True, False, False, False, True, True, True]
    assert (ignored == ignored[:1, :, :1]).all()
    shown = turn(np.asarray(data.scan("case1_day0").labels), view)[:, 2:5].any(axis=(1, 2))
    np.testing.assert_array_equal(seen.shows_object(seen.index), shown)
