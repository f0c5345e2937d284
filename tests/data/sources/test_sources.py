"""The table of data sets, and slices of a prepared cache."""

import numpy as np
import pytest
from folders import draw, write_csv, write_scan

from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.data.geometry import Geometry, window
from gutseg.data.sources import DATASETS, read
from gutseg.data.sources.competition import competition, slices
from gutseg.prepare import prepare


def test_the_table():
    assert list(DATASETS) == ["png_folder", "conic", "monusac", "isbi", "slices"]
    assert all(spec.source and spec.build.__doc__ for spec in DATASETS.values())


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("pngfolder", {}, "dataset: unknown name 'pngfolder'; did you mean 'png_folder'"),
        ("isbi", {"limit": 3}, "dataset.params: 'isbi' has no parameter 'limit'"),
        ("slices", {"stack": 4}, "dataset.params.stack: .*found 4"),
        ("conic", {"limit": "all"}, "dataset.params.limit: .*found 'all'"),
    ],
)
def test_wrong_names_and_parameters(tmp_path, name, params, message):
    with pytest.raises(ValueError, match=message):
        read(name, tmp_path, params)


@pytest.mark.parametrize("name", DATASETS)
def test_a_missing_or_empty_folder_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"nowhere is no folder; .* the {name} data"):
        read(name, tmp_path / "nowhere", {})
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        read(name, tmp_path, {})


@pytest.fixture
def sparse(tmp_path):
    """A cache of two patients, one framed widely, in which every other slice is empty."""
    rows = []
    for scan, size in (("case1_day0", (160, 192)), ("case2_day0", (32, 40))):
        image, mask = draw(12, *size, seed=0)
        mask[::2] = 0
        rows += write_scan(tmp_path / "raw", scan, image, mask)
    write_csv(tmp_path / "raw" / "train.csv", rows)
    (tmp_path / "raw" / "sample_submission.csv").write_text("id,class,predicted\n")
    prepare(tmp_path / "raw", tmp_path / "cache", workers=1)
    return tmp_path / "cache"


def test_slices_are_planes_of_the_body(sparse):
    data = read("slices", sparse, {"size": [32, 48], "stack": 3, "empty_share": 1})
    opened = Cache(sparse)
    rows = opened.index.set_index("id")
    assert sorted(data.names) == sorted(rows.index)
    assert (data.classes, data.mode, data.background) == (CLASSES, "multilabel", None)
    top, bottom, *_ = opened.scan("case1_day0").body
    assert top > 8 and bottom < 152  # the body and its margin of 8 are less than the slice
    for number in (0, 11, len(data.names) - 1):
        row = rows.loc[data.names[number]]
        scan, z = opened.scan(row["scan"]), row["z"]
        box = window(scan.shape[1:], scan.body, Geometry(kind="body", size=(32, 48)))
        np.testing.assert_array_equal(
            data.labels[number], box.forward(scan.mask[z : z + 1], labels=True)[0]
        )
        low, high = scan.percentile(1), scan.percentile(99.5)
        planes = np.clip([z - 1, z, z + 1], 0, len(scan.image) - 1)
        scaled = ((scan.image[planes].astype(np.float32) - low) / (high - low)).clip(0, 1)
        expected = np.moveaxis(box.forward(scaled), 0, 2)
        assert data.images[number].dtype == np.float32
        np.testing.assert_allclose(data.images[number], expected, atol=1e-5)
        assert data.groups[number] == row["scan"].split("_")[0]


def test_all_slices_with_organs_stay_and_a_seeded_share_of_the_others(sparse):
    index = Cache(sparse).index
    shows = index.set_index("id")[list(CLASSES)].any(axis=1)
    full, empty = shows[shows].index, shows[~shows].index
    assert len(full) == len(empty) == 12

    def kept(**params):
        return slices(sparse, size=(16, 16), **params).names

    assert set(kept(empty_share=0.0)) == set(full)
    half = kept(empty_share=0.5)
    assert set(full) < set(half) and len(half) == len(full) + round(len(empty) / 2)
    assert half == kept(empty_share=0.5)
    assert half != kept(empty_share=0.5, seed=1)
    few = kept(limit=5)
    assert len(few) == len(set(few)) == 5 and set(few) < set(index["id"])
    assert few != kept(limit=5, seed=1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"empty_share": 1.5}, "empty_share = 1.5; expected 0 to 1"),
        ({"limit": 0}, "limit = 0; expected at least 1"),
        ({"size": (10**6, 16)}, "dataset.params.size.0: .*less than or equal to 2048"),
        ({"stack": True}, "dataset.params.stack: expected a number, found true"),
        ({"size": (0, 16)}, "size = \\(0, 16\\); expected height and width of at least 1"),
    ],
)
def test_impossible_choices_of_slices(cache, params, message):
    with pytest.raises(ValueError, match=message):
        read("slices", cache, params)


def test_the_competition_leaves_blacklisted_scans_out(cache):
    everything = competition(cache)[1]
    kept = competition(cache, blacklist=("winners2", "case2_day0"))[1]
    assert set(everything["scan"]) - set(kept["scan"]) == {"case2_day0"}
