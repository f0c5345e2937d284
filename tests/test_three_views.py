"""One scan, three views: networks of all of them predict, score and blend the same slices."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pipeline import TINY
from torch import nn

from gutseg import blends, runs
from gutseg.blend import blend
from gutseg.config import Predict, load, load_blend
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources.competition import Competition
from gutseg.data.sources.turned import in_view
from gutseg.files import read_text
from gutseg.inference.ensemble import mean_of
from gutseg.inference.evaluate import Evaluator
from gutseg.inference.made_with import hash_values
from gutseg.inference.parts import Part
from gutseg.inference.predictor import Predictor
from gutseg.inference.views import ViewPredictor
from gutseg.losses import Criterion
from gutseg.metrics.competition import METRICS, summarise
from gutseg.predict import predict
from gutseg.split import split
from gutseg.submit import submit
from gutseg.train import train

VIEWS = ("coronal", "sagittal")
CPU = torch.device("cpu")
NATIVE = Inputs(Stack(slices=3), Scaling(), Geometry(kind="native"))


class Centre(nn.Module):
    """A pointwise network: its logits are the centre channel, once per organ."""

    def forward(self, images):
        return torch.cat([4 * images[:, 1:2] - limit for limit in (1.0, 2.0, 3.0)], dim=1)


class Row(nn.Module):
    """Logits that are the number of the row, whatever the image."""

    def forward(self, images):
        rows = torch.arange(float(images.shape[2]))[:, None]
        return rows + torch.zeros(len(images), 3, *images.shape[2:])


def _predictor(network, view, geometry=NATIVE.geometry, **settings):
    make = Predictor if view == "axial" else partial(ViewPredictor, view=view)
    return make(network, replace(NATIVE, geometry=geometry), Predict(**settings), device=CPU)


@pytest.mark.parametrize("view", VIEWS)
def test_a_pointwise_network_says_the_same_in_every_view(cache, view):
    scan = Competition(cache, NATIVE).scan("case5_day0")  # (6, 36, 36)
    expected = _predictor(Centre(), "axial", batch_size=4)(scan)
    assert expected.shape == (3, 6, 36, 36) and len(np.unique(expected)) > 100
    pad = Geometry(kind="pad", size=(16, 64))
    for geometry in (NATIVE.geometry, pad):
        predictor = _predictor(Centre(), view, geometry, batch_size=7, tta="flips")
        np.testing.assert_array_equal(predictor(scan), expected)
        some = np.array([4, 1])  # as `submit` asks for: not all slices, in any order
        np.testing.assert_array_equal(predictor(scan, some), expected[:, some])


def test_views_are_averaged_over_scans_of_several_depths(cache):
    """As `submit` does on a GPU, where scans of one size fill batches together."""
    scan = Competition(cache, NATIVE).scan("case1_day0")  # (8, 40, 48)
    short = replace(scan, name="case9_day9", image=scan.image[2:6], mask=None)
    parts = [Part(scan, np.array([0, 7])), Part(short, np.arange(4))]
    views = [_predictor(Centre(), view, batch_size=5) for view in ("axial", *VIEWS)]
    found = mean_of(views, [1, 2, 3], parts)
    np.testing.assert_array_equal(found[:, :2], views[0](scan, parts[0].z))
    np.testing.assert_array_equal(found[:, 2:], views[0](short))


@pytest.mark.parametrize("view", VIEWS)
def test_the_body_is_cut_in_the_plane_of_the_view_alone(cache, view):
    scan = Competition(cache, NATIVE).scan("case5_day0")
    body = Geometry(kind="body", size=(16, 32), margin=0)
    found = _predictor(Centre(), view, body)(scan)[0]
    top, bottom, left, right = scan.body
    assert 0 < top < bottom < 36 and 0 < left < right < 36
    seen = {"coronal": (0, 36, left, right), "sagittal": (top, bottom, 0, 36)}[view]
    rows, columns = (np.flatnonzero(found.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == seen


@pytest.mark.parametrize("view", VIEWS)
def test_rows_of_the_other_views_are_slices(cache, view):
    scan = Competition(cache, NATIVE).scan("case5_day0")
    found = _predictor(Row(), view)(scan)[0]
    rises = np.rint(255 / (1 + np.exp(-np.arange(6.0))))
    np.testing.assert_allclose(found, np.broadcast_to(rises[:, None, None], found.shape), atol=1)


@pytest.mark.parametrize("view", VIEWS)
def test_measures_are_of_slices_and_losses_of_the_planes_of_the_view(cache, view):
    data = Competition(cache, NATIVE)
    listed = (data.index["case"] > 3) & (data.index["z"] != 2)  # one slice has no labels
    rows = data.index[listed].assign(fold=0)
    seen, _ = in_view(data, rows, view)
    found, axial = (
        Evaluator(
            data,
            rows,
            lambda network, which=which: _predictor(network, which, batch_size=100),
            Criterion("bce_dice"),
            seen=one,
        )(Centre(), True)
        for which, one in ((view, seen), ("axial", None))
    )
    same = [key for key in axial if not key.startswith("val_")]
    assert {key: found[key] for key in same} == pytest.approx(
        {key: axial[key] for key in same}, nan_ok=True
    )
    assert "score" in same
    each, planes = [], []  # a scan is one batch
    for name in rows["scan"].unique():
        depth = len(seen.scan(name).image)
        images, labels, ignored = seen.planes(name, np.arange(depth))
        target, ignore = torch.from_numpy(seen.masks(labels)), torch.from_numpy(ignored)
        logits = Centre()(torch.from_numpy(images))
        each.append(Criterion("bce_dice")(logits, target, ignore=ignore)[0].item())
        planes.append(depth)
    assert found["val_loss"] == pytest.approx(np.average(each, weights=planes), rel=1e-5)


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """Runs of the other two views, a few steps each, and their blend with the axial one."""
    folder = tmp_path_factory.mktemp("views")
    few = [f"runs={folder}", "train.epochs=1", "train.steps_per_epoch=4", "train.monitor=val_loss"]
    for view in VIEWS:
        own = ["geometry.size=[16, 48]", f"view={view}", f"name={view}"]
        train(trained.config, [*trained.overrides, *few, *own])
        predict(folder / view)
    blend([trained.run, *(folder / view for view in VIEWS)], folder / "blend", trials=3)
    return folder


def test_runs_of_three_views_blend(made, trained, cache):
    path = made / "blend" / "blend.yaml"
    solved = load_blend(path)
    assert [Path(member.run).name for member in solved.members] == ["tiny", *VIEWS]
    groups = blends.out_of_fold(path, METRICS["default"]).results
    assert summarise(groups["all"], METRICS["default"]).score == pytest.approx(solved.score)
    data = Competition(cache, NATIVE)
    alone = [runs.predictions(run) for run in (trained.run, *(made / view for view in VIEWS))]
    for name in data.index["scan"].unique():
        shape = data.scan(name).shape
        parts = [one.load(name, shape)[0] for one in alone]
        assert all(part.shape == (3, *shape) for part in parts)
        assert (parts[0] != parts[1]).any() and (parts[1] != parts[2]).any()


def test_a_blend_of_views_submits_the_slices_that_are_asked_for(made, trained):
    out = made / "submission.csv"
    submit(made / "blend" / "blend.yaml", trained.raw, out, debug_scans=1)
    assert len(pd.read_csv(out)) == 3 * 8


def test_predictions_of_another_view_are_out_of_date(made, trained):
    path = made / "coronal" / "fold1" / "config.yaml"
    before = read_text(path, "")
    assert load(path).view == "coronal" and "view: coronal" in before
    path.write_text(before.replace("view: coronal", "view: sagittal"))
    with pytest.raises(ValueError, match="fold 1: predictions are out of date, .* config.yaml"):
        runs.predictions(made / "coronal")
    path.write_text(before)
    axial = runs.open_fold(trained.run / "fold0")
    kept = axial.config.model_dump(mode="json", include=runs.SETTINGS)
    del kept["scaling"]["deviations"]  # of z-scores alone
    del kept["geometry"]["box"]  # of kind organs alone
    del kept["geometry"]["from_run"]  # of kind found alone
    # as it was before there were views
    assert axial.made_with("none").settings == hash_values(kept)


def test_what_has_no_other_views_is_refused(cache, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    split(cache, tmp_path / "folds.csv", folds=2, block=2)
    settings = [f"data.folder={cache}", f"data.folds={tmp_path / 'folds.csv'}", "view=sagittal"]
    with pytest.raises(ValueError, match="sagittal needs all slices .* case1_day0 between"):
        train(tmp_path / "tiny.yaml", [*settings, f"runs={tmp_path}"])
    with pytest.raises(ValueError, match="view: coronal needs volumes, and isbi has single images"):
        load(tmp_path / "tiny.yaml", ["data={source: isbi, folds: 5}", "view=coronal"])
    with pytest.raises(ValueError, match="view.*coronel"):
        load(tmp_path / "tiny.yaml", ["view=coronel"])
