"""Out-of-fold scores are of what they say: the weights, folds, images and scans of now."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from gutseg import blends, runs
from gutseg.blend import blend
from gutseg.config import load, load_blend
from gutseg.demo import write_prior
from gutseg.engine import checkpoint
from gutseg.inference import oof
from gutseg.metrics.competition import METRICS
from gutseg.predict import predict
from gutseg.prepare import prepare
from gutseg.score import score
from gutseg.submit import submit
from gutseg.train import train


@pytest.fixture
def own(trained, tmp_path):
    """A run, its cache and its fold file, copied so that a test may change them."""
    run, cache, folds = tmp_path / "runs" / "tiny", tmp_path / "cache", tmp_path / "folds.csv"
    shutil.copytree(trained.run, run)
    shutil.copytree(trained.cache, cache)
    shutil.copytree(trained.raw, tmp_path / "raw")
    shutil.copy(trained.folds, folds)
    for path in run.glob("fold*/config.yaml"):
        _set(path, "data", folder=str(cache), folds=str(folds))
        path.write_text(path.read_text().replace(str(trained.run.parent), str(run.parent)))
    return run


def _set(path, section, **values):
    config = yaml.safe_load(path.read_text())
    config[section].update(values)
    path.write_text(yaml.safe_dump(config))


def _retrain(run, value=None):
    """Let best.pt be of other weights."""
    path = run / "fold1" / "best.pt"
    content = checkpoint.load(path)
    key = next(iter(content["model"]))
    content["model"][key][:] = content["model"][key] + 0.1 if value is None else value
    torch.save(content, path)


def _other_images(run):
    """Take a scan's first slice away and prepare again: every plane shifts by one."""
    name = _scans(run, 1)[0]
    raw, cache = run.parents[1] / "raw", run.parents[1] / "cache"
    next(raw.glob(f"train/*/{name}/scans/slice_0001_*")).unlink()
    prepare(raw, cache, workers=1, skip_bad=True)


def _fewer_slices(run):
    path = run.parents[1] / "cache" / "index.parquet"
    index = pd.read_parquet(path)
    index[(index["scan"] != _scans(run, 1)[0]) | (index["z"] > 1)].to_parquet(path)


def _swap_folds(run):
    path = run.parents[1] / "folds.csv"
    table = pd.read_csv(path)
    table.assign(fold=1 - table["fold"]).to_csv(path, index=False)


def _scans(run, fold):
    return sorted(path.stem for path in (run / f"fold{fold}" / "oof").glob("*.npz"))


CHANGES = {
    "weights": (_retrain, "fold 1: predictions are out of date, changed since are best.pt; run:"),
    "images": (_other_images, r"fold 1: .* changed since are 1 scan \(case\d_day\d\) of the cache"),
    "slices": (_fewer_slices, r"fold 1: .* changed since are 1 scan \(case\d_day\d\) of the cache"),
    "settings": (
        lambda run: _set(run / "fold1" / "config.yaml", "scaling", high=90.0),
        "fold 1: predictions are out of date, changed since are config.yaml; run:",
    ),
    "no weights": (lambda run: (run / "fold1" / "best.pt").unlink(), "changed since are best.pt"),
    "no note": (
        lambda run: (run / "fold1" / "oof" / "made_with.json").unlink(),
        "fold 1: trained, but there are no predictions with a made_with.json",
    ),
    "folds": (_swap_folds, "folds.csv has changed since .*fold0 was trained, .* held out; put"),
    "a scan": (
        lambda run: next((run / "fold1" / "oof").glob("*.npz")).unlink(),
        r"fold 1: no predictions of 1 scan \(case\d_day\d\); run: gutseg predict .*tiny --fold 1",
    ),
    "a fold": (
        lambda run: shutil.rmtree(run / "fold1" / "oof"),
        "fold 1: trained, but there are no predictions .* leave this fold out with --fold",
    ),
    "flips": (lambda run: predict(run, fold="1", tta="hflip"), "--tta differs .fold 0 none, fold"),
    "renamed": (
        lambda run: (run / "fold1").rename(run / "fold7"),
        "fold7 was trained as fold 1; give the folder its name back",
    ),
}


def test_a_fold_that_lost_its_config_is_not_one_that_was_never_trained(own, tmp_path):
    (own / "fold1" / "config.yaml").unlink()
    for act in (lambda: score(own), lambda: blend([own], tmp_path / "b"), lambda: predict(own)):
        with pytest.raises(FileNotFoundError, match=r"fold1/config.yaml does not exist; copy it"):
            act()
    predict(own, fold="0")


@pytest.mark.parametrize("kind", CHANGES)
def test_stale_or_missing_predictions_are_refused(own, tmp_path, kind):
    change, message = CHANGES[kind]
    change(own)
    with pytest.raises(ValueError, match=message):
        score(own)
    with pytest.raises(ValueError, match=message):
        blend([own], tmp_path / "b", trials=1)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind", ["weights", "images", "slices", "settings", "no note", "a scan"])
def test_predict_mends_what_is_out_of_date_and_no_more(own, kind):
    CHANGES[kind][0](own)
    before = {path: path.stat().st_mtime_ns for path in own.glob("fold*/oof/*.npz")}
    predict(own)
    after = {path: path.stat().st_mtime_ns for path in own.glob("fold*/oof/*.npz")}
    anew = {path for path in after if after[path] != before.get(path)}
    one_scan = kind in ("images", "slices", "a scan")
    assert len(anew) == 1 if one_scan else anew == set(own.glob("fold1/oof/*.npz"))
    assert runs.predictions(own).folds == [0, 1]


def test_a_changed_fold_file_stops_predict_and_train(own, trained):
    """Cases that a fold was trained on would be predicted, or trained on further, as others."""
    _swap_folds(own)
    with pytest.raises(ValueError, match=r"folds.csv has changed since .*fold0 was trained"):
        predict(own)
    places = {"data.folder": own.parents[1] / "cache", "data.folds": own.parents[1] / "folds.csv"}
    overrides = [f"{key}={value}" for key, value in places.items()]
    with pytest.raises(ValueError, match=r"folds.csv has changed since .*fold1 was trained"):
        train(trained.config, [*overrides, f"runs={own.parent}"], fold="1")


def test_a_part_of_the_folds_is_scored_when_chosen_and_said(own, tmp_path, caplog):
    whole = blends.out_of_fold(own, METRICS["default"]).results
    assert "folds" not in caplog.text
    part = blends.out_of_fold(own, METRICS["default"], "1").results
    assert f"{own}: folds 1 of 2" in caplog.text
    assert [one.scan for one in part["all"]] == [one.scan for one in whole["fold 1"]]
    shutil.rmtree(own / "fold0")
    caplog.clear()
    blend([own], tmp_path / "b", trials=2)
    assert f"{own}: folds 1 of 2" in caplog.text
    assert load_blend(tmp_path / "b" / "blend.yaml").members[0].folds == [1]
    some = "expected all or some of 1 .those that .* has; train the others first"
    for wanted, problem in {
        "1,1": "fold 1 is listed twice",
        "١": some,
        "x": some,
        "": some,
    }.items():
        with pytest.raises(ValueError, match=f"--fold {wanted}: {problem}"):
            score(own, fold=wanted)


def test_a_missing_scan_can_be_taken_for_empty(own, caplog):
    name = _scans(own, 1)[0]
    (own / "fold1" / "oof" / f"{name}.npz").unlink()
    results = blends.out_of_fold(own, METRICS["default"], "1", "empty").results["all"]
    found = {one.scan: one for one in results}
    assert found.keys() == {*_scans(own, 1), name}
    assert not found[name].prediction.any() and found[name].truth.any()
    assert f"no predictions of 1 scan ({name}); taken for empty" in caplog.text


def test_a_blend_keeps_the_flips_of_its_predictions(own, tmp_path):
    predict(own, tta="hflip")
    blend([own], tmp_path / "b", trials=1)
    solved = load_blend(tmp_path / "b" / "blend.yaml")
    assert solved.members[0].tta == "hflip"
    assert {
        one.settings.tta for one in runs.ensemble(tmp_path / "b" / "blend.yaml").predictors
    } == {"hflip"}


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:99]), oof])
def test_predict_writes_damaged_predictions_again(own, damage, capsys, caplog):
    path = next((own / "fold0" / "oof").glob("*.npz"))
    good = path.read_bytes()
    if damage is oof:
        oof.save(path, np.zeros((3, 1, 40, 48), np.uint8), np.array([0]))
    else:
        damage(path)
    with pytest.raises(ValueError, match=f"{path.name} .*; run: gutseg predict RUN"):
        score(own)
    predict(own)
    assert "1 predictions written" in capsys.readouterr().out
    assert f"{path} is damaged or not what predict writes" in caplog.text
    assert np.array_equal(*(np.load(one)["probabilities"] for one in (path, _file(path, good))))


def _file(path, content):
    other = path.with_suffix(".old")
    other.write_bytes(content)
    return other


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_neither_predict_nor_submit(own, trained, tmp_path, value):
    blend([own], tmp_path / "b", trials=1)
    _retrain(own, value)
    message = r"fold1.best.pt holds weights that are not finite \(1 tensor \(.*\)\); train this"
    with pytest.raises(ValueError, match=message):
        predict(own)
    with pytest.raises(ValueError, match=message):
        submit(tmp_path / "b" / "blend.yaml", trained.raw, tmp_path / "s.csv", skip_bad=True)
    assert not (tmp_path / "s.csv").exists()


def test_a_rate_that_ruins_the_weights_ends_the_training(trained, tmp_path):
    settings = [*trained.overrides, f"runs={tmp_path}", "train.epochs=1", "train.steps_per_epoch=2"]
    with pytest.raises(FloatingPointError, match=r"tiny.fold0: weights are not finite after epoch"):
        train(trained.config, [*settings, "optim.lr=1e6"], fold="0")
    assert not list(tmp_path.rglob("*.pt"))


def test_an_unfinished_training_is_predicted_only_when_asked(own, capsys):
    _set(own / "fold1" / "config.yaml", "train", epochs=5)
    with pytest.raises(ValueError, match=r"fold1 has 3 of 5 epochs .*, or give --unfinished to"):
        predict(own)
    predict(own, unfinished=True)
    _set(own / "fold1" / "config.yaml", "train", patience=2)
    history = checkpoint.history(own / "fold1" / "last.pt")
    _rewrite_history(own, [row | {"score": 0.9 - row["epoch"]} for row in history])
    predict(own)  # patience was spent after three epochs
    (own / "fold1" / "last.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"last.pt does not exist; .* --unfinished"):
        predict(own)


def _rewrite_history(run, rows):
    content = checkpoint.load(run / "fold1" / "last.pt")
    torch.save(content | {"history": rows}, run / "fold1" / "last.pt")


def test_predictions_of_no_network_are_held_to_the_same(own, trained, tmp_path):
    config = load(own / "fold0" / "config.yaml")
    prior = write_prior(config)
    blend([own, prior], tmp_path / "b", trials=2)
    assert runs.predictions(prior).made[1].weights is None
    shutil.copy(own / "fold1" / "best.pt", prior / "fold1")
    with pytest.raises(ValueError, match="prior, fold 1: .* changed since are best.pt"):
        score(prior)


def test_nothing_to_score_is_no_score(own, trained, tmp_path):
    """Empty truth against empty masks has neither Dice nor distance: .6 would be the constant."""
    cache = own.parents[1] / "cache"
    for path in cache.glob("*/mask.npy"):
        np.save(path, np.zeros_like(np.load(path)))
    with pytest.raises(ValueError, match="nothing to choose by, no organ is labelled"):
        blend([own], tmp_path / "b", trials=1)
    for path in own.glob("fold*/oof/*.npz"):
        with np.load(path) as content:
            found, z = content["probabilities"], content["z"]
        oof.save(path, np.zeros_like(found), z)
    with pytest.raises(ValueError, match="tiny: nothing to score, no slice shows an organ"):
        score(own)


def test_runs_of_other_images_are_not_blended(own, trained, tmp_path):
    _other_images(own)
    predict(own)
    with pytest.raises(ValueError, match=r"predicted different scans, for example case\d_day\d in"):
        blend([trained.run, own], tmp_path / "b", trials=1)
    text = f"members: [{{run: {trained.run}, folds: [0, 1]}}, {{run: {own}, folds: [0, 1]}}]\n"
    (tmp_path / "blend.yaml").write_text(text)
    with pytest.raises(ValueError, match="predicted different scans, for example"):
        score(tmp_path / "blend.yaml")


def test_processes_predict_what_one_predicts(own, capsys):
    """Three parts of two folds: the scans of a fold are shared out too."""
    paths = sorted(own.glob("fold*/oof/*.npz"))
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    predict(own, jobs=3)
    assert f"{len(paths)} predictions written, 2 folds" in capsys.readouterr().out
    assert [path.read_bytes() for path in paths] == before
