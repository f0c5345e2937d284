"""The box of the organs: shares of the body by hand, learnt without who is held out, undone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bench_cases import blob_source

from gutseg import experiment, runs
from gutseg.config import dump, load
from gutseg.data.inputs import Geometry, window
from gutseg.data.organ_box import organ_box
from gutseg.data.sources.turned import in_view
from gutseg.engine import checkpoint
from gutseg.inference.oof import load as load_oof
from gutseg.predict import predict
from gutseg.training import train_fold


class Boxed:
    """Two scans of 20 x 30 pixels in two planes, one class, with different bodies."""

    background = None
    body = {"a": (0, 20, 0, 30), "b": (10, 20, 10, 30)}  # noqa: RUF012
    # rows and columns of a rectangle on each of the two planes, None for an empty one
    drawn = {  # noqa: RUF012
        "a": [((8, 12), (9, 15)), ((4, 6), (12, 18))],
        "b": [None, ((13, 19), (11, 14))],
    }

    def scan(self, name):
        labels = np.zeros((2, 20, 30), np.uint8)
        for plane, place in zip(labels, self.drawn[name], strict=True):
            if place:
                plane[slice(*place[0]), slice(*place[1])] = 1
        return SimpleNamespace(shape=labels.shape, labels=labels, body=self.body[name])

    def truth(self, scan, z):
        return scan.labels[None, z] > 0

    def shows_object(self, rows):
        return np.array(
            [self.drawn[s][z] is not None for s, z in zip(rows["scan"], rows["z"], strict=True)]
        )


def _rows(*pairs):
    import pandas as pd

    return pd.DataFrame(pairs, columns=["scan", "z"])


def test_shares_by_hand():
    # a: rows 4 to 12 of 20, columns 9 to 18 of 30; b: rows 13 to 19 and columns 11 to 14 of the
    # body from (10, 10), 10 x 20 pixels
    assert organ_box(Boxed(), _rows(("a", 0), ("a", 1))) == (0.2, 0.6, 0.3, 0.6)
    assert organ_box(Boxed(), _rows(("a", 0))) == (0.4, 0.6, 0.3, 0.5)
    assert organ_box(Boxed(), _rows(("b", 0), ("b", 1))) == (0.3, 0.9, 0.05, 0.2)
    every = _rows(("a", 0), ("a", 1), ("b", 0), ("b", 1))
    assert organ_box(Boxed(), every) == (0.2, 0.9, 0.05, 0.6)
    with pytest.raises(ValueError, match="geometry.kind organs: none of 1 training slices shows"):
        organ_box(Boxed(), _rows(("b", 0)))


def test_the_background_of_pictures_is_no_object():
    source = blob_source(1, 24)
    rows, columns = np.nonzero(source.scan("image0").labels[0])
    expected = (
        rows.min() / 24,
        (rows.max() + 1) / 24,
        columns.min() / 24,
        (columns.max() + 1) / 24,
    )
    found = organ_box(source, source.index)
    assert found == pytest.approx(expected, abs=1e-3)
    outwards = np.sign(np.subtract(found, expected)) * [1, -1, 1, -1]
    assert (outwards <= 0).all()


def test_the_window_is_the_share_of_a_body_and_undone_exactly():
    box = (0.25, 0.5, 0.1, 0.9)
    geometry = Geometry(kind="organs", size=(16, 40), margin=2, box=box)
    body = (10, 30, 20, 60)  # rows 15 to 20, columns 24 to 56
    assert window((50, 80), body, geometry).box == (13, 22, 22, 58)
    odd = (10, 31, 20, 61)  # of 21 and 41 pixels: 5.25, 10.5, 4.1 and 36.9, rounded outwards
    assert window((50, 80), odd, geometry).box == (13, 23, 22, 59)
    edge = window((25, 57), body, geometry.model_copy(update={"margin": 9}))
    assert edge.box == (6, 25, 15, 57)
    plain = geometry.model_copy(update={"size": (9, 36)})  # as large as the box: not resampled
    view = window((50, 80), body, plain)
    planes = np.random.default_rng(0).random((2, 50, 80)).astype(np.float32)
    back = view.inverse(view.forward(planes))
    inside = np.zeros((50, 80), bool)
    inside[13:22, 22:58] = True
    np.testing.assert_array_equal(back, np.where(inside, planes, 0))
    with pytest.raises(ValueError, match="geometry.kind organs: no box of the organs is known"):
        window((50, 80), body, Geometry(kind="organs"))


@pytest.fixture(scope="module")
def yaml(cache, tmp_path_factory):
    root = tmp_path_factory.mktemp("organs")
    (root / "organs.yaml").write_text(
        f"data: {{folder: {cache}, folds: 2}}\nruns: {root / 'runs'}\n"
        "geometry: {kind: organs, size: [32, 32], margin: 1}\nstack: {slices: 1}\n"
        "model: {name: unet, params: {widths: [4, 8]}}\n"
        "train: {steps: 2, batch_size: 2, monitor: null, tensorboard: false}\n"
    )
    return root / "organs.yaml"


def _by_hand(data, rows):
    """Every pixel of every training slice, with no help from the source."""
    shares = []
    for name, z in rows[["scan", "z"]].itertuples(index=False):
        scan = data.scan(name)
        top, bottom, left, right = scan.body
        y, x = np.nonzero(scan.mask[z])
        if len(y):
            height, width = bottom - top, right - left
            low = ((y.min() - top) / height, (x.min() - left) / width)
            high = ((y.max() + 1 - top) / height, (x.max() + 1 - left) / width)
            shares.append((low[0], high[0], low[1], high[1]))
    low, high = np.min(shares, axis=0), np.max(shares, axis=0)
    return np.clip([low[0], high[1], low[2], high[3]], 0, 1)


def test_a_run_keeps_the_box_of_its_training_folds(yaml):
    config = load(yaml)
    data = experiment.source(config)
    table = experiment.rows(config, data)
    boxes, runs_of = [], config.runs / "organs"
    for fold in (0, 1):
        train_fold(config, fold, data)
        opened = runs.open_fold(runs_of / f"fold{fold}")
        boxes.append(opened.config.geometry.box)
        expected = _by_hand(data, table[table["fold"] != fold])
        assert boxes[-1] == pytest.approx(expected, abs=1e-3)
        assert opened.data.inputs.geometry.box == boxes[-1]
    assert data.inputs.geometry.box is None  # what others train on stays as it is
    before = checkpoint.load(runs_of / "fold0" / "best.pt")["model"]
    train_fold(config, 0)  # resumed: nothing is left to train
    train_fold(load(runs_of / "fold1" / "config.yaml", [f"runs={config.runs}"]), 0)
    after = checkpoint.load(runs_of / "fold0" / "best.pt")["model"]
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert load(runs_of / "fold0" / "config.yaml").geometry.box == boxes[0]
    predict(runs_of, fold="0")
    opened = runs.open_fold(runs_of / "fold0")
    for name, z in opened.planes.items():
        scan = opened.data.scan(name)
        found = load_oof(runs_of / "fold0" / "oof" / f"{name}.npz", 3, z, scan.shape[1:])
        top, bottom, left, right = opened.data.inputs.window(scan).box
        inside = found[..., top:bottom, left:right]
        assert inside.any() and found.sum(dtype=int) == inside.sum(dtype=int)
    made = opened.made_with("none").settings
    changed = opened.config.geometry.model_copy(update={"box": (0.0, 1.0, 0.0, 1.0)})
    other = opened.config.model_copy(update={"geometry": changed})
    object.__setattr__(opened, "config", other)
    assert opened.made_with("none").settings != made


def test_planes_of_another_view_have_a_box_of_their_own(yaml):
    config = load(yaml, ["view=coronal"])
    data = experiment.source(config)
    seen, planes = in_view(data, experiment.rows(config, data), "coronal")
    depth = max(len(data.scan(name).mask) for name in data.index["scan"].unique())
    box = organ_box(seen, planes)
    shown = [
        np.flatnonzero(data.scan(name).mask.any(axis=(1, 2))) / len(data.scan(name).mask)
        for name in data.index["scan"].unique()
    ]
    assert box[0] == pytest.approx(min(one.min() for one in shown), abs=1e-3)
    assert box[1] == pytest.approx(max(one.max() for one in shown) + 1 / depth, abs=0.05)
    assert train_fold(config.model_copy(update={"name": "coronal"}), 0)["steps"] == 2


def test_a_trained_window_stays_where_it_is(yaml, cache, tmp_path):
    """A box in config.yaml that is not the one the labels give is refused, and stays."""
    config = load(yaml, [f"runs={tmp_path}"])
    train_fold(config, 0)
    train_fold(config, 0)  # nothing is left to do
    path = tmp_path / "organs" / "fold0" / "config.yaml"
    kept = path.read_text()
    box = load(path).geometry.box
    moved = config.geometry.model_copy(update={"box": (0.0, 1.0, 0.0, 1.0)})
    dump(config.model_copy(update={"geometry": moved}), path)
    before = path.read_text()
    with pytest.raises(
        FileExistsError, match=r"trained in the window \(0.0, 1.0, 0.0, 1.0\) .* now"
    ):
        train_fold(config, 0)
    assert path.read_text() == before != kept and box != (0.0, 1.0, 0.0, 1.0)
