"""What training, prediction and scoring rely on holds for every row of SOURCES."""

import shutil

import numpy as np
import pytest
from pictures import draw, write_isbi, write_nuclei
from plain import NATIVE

from gutseg.data.sources import SOURCES, mode_of, read

REGION = (
    '<Annotations><Annotation><Attributes><Attribute Name="Epithelial"/></Attributes><Regions>'
    '<Region Id="1"><Vertices><Vertex X="4" Y="4"/><Vertex X="20" Y="4"/><Vertex X="12" Y="22"/>'
    "</Vertices></Region></Regions></Annotation></Annotations>"
)


def _conic(folder):
    pairs = [draw(seed, 32, 32) for seed in range(4)]
    np.save(folder / "images.npy", np.stack([image for image, _ in pairs]))
    np.save(folder / "labels.npy", np.stack([np.stack([label] * 2, axis=-1) for _, label in pairs]))


def _monusac(folder):
    write_isbi(folder / "made", 3)
    for number, code in enumerate(("TCGA-55-1594-01Z", "TCGA-55-1594-02Z", "TCGA-69-7760-01Z")):
        stem = folder / code / f"{code}_1"
        stem.parent.mkdir()
        shutil.copy(folder / "made" / "train" / "image" / f"{number}.png", stem.with_suffix(".png"))
        stem.with_suffix(".xml").write_text(REGION)


# A small folder of every format.
WRITERS = {
    "isbi": write_isbi,
    "png_folder": write_nuclei,
    "conic": _conic,
    "monusac": _monusac,
}


@pytest.fixture(params=SOURCES)
def opened(request, tmp_path, cache):
    """A row of SOURCES: its name, and its data."""
    name, folder = request.param, tmp_path
    if name == "competition":
        folder = cache
    else:
        WRITERS[name](tmp_path)
    params = {"ignore": 255} if name == "png_folder" else {}
    return name, read(name, folder, NATIVE, params)


def test_the_index_says_what_every_plane_shows(opened):
    name, data = opened
    index = data.index
    assert data.mode == mode_of(name) and len(index) and not index["id"].duplicated().any()
    assert {"id", "group", "scan", "z", *data.classes} <= set(index.columns)
    counts, totals = data.pixels(index)
    np.testing.assert_array_equal(index[list(data.classes)].to_numpy(), counts > 0)
    assert (totals > 0).all() and data.shows_object(index).any()
    shares = data.class_shares(index)
    assert all(0 <= share <= 1 for share in shares)
    if data.mode == "multiclass":
        assert data.background == 0 and sum(shares) == pytest.approx(1)


def test_planes_are_images_and_labels_in_range(opened):
    _, data = opened
    for name, z in zip(data.index["scan"], data.index["z"], strict=True):
        images, labels, ignored = data.planes(name, np.array([z]))
        scan = data.scan(name)
        assert images.dtype == np.float32 and 0 <= images.min() <= images.max() <= 1
        assert images.shape == (1, data.inputs.channels, *scan.shape[1:])
        assert labels.shape == (1, *scan.shape[1:]) and labels.dtype == np.uint8
        most = len(data.classes) - 1 if data.mode == "multiclass" else 2 ** len(data.classes) - 1
        assert labels.max() <= most
        assert ignored is None or (ignored.dtype == bool and ignored.shape == labels.shape)
        np.testing.assert_array_equal(data.masks(labels)[0] > 0.5, data.truth(scan, [z])[:, 0])


def test_folds_keep_groups_whole(opened):
    _, data = opened
    number = min(data.index["group"].nunique(), 3)
    fold = data.draw_folds(number, 0)
    assert set(fold) == set(range(number))
    assert fold.groupby(data.index["group"]).nunique().eq(1).all()
    assert fold.tolist() == data.draw_folds(number, 0).tolist()


def test_scans_have_fingerprints_of_their_own(opened):
    _, data = opened
    names = data.index["scan"].unique()
    found = [data.fingerprint(scan) for scan in names]
    assert len(set(found)) == len(found)
