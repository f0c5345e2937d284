"""`train --fold full`: all patients, the last weights, and a blend that submits with them."""

import shutil

import pandas as pd
import pytest
import torch
import yaml

from gutseg import runs
from gutseg.blend import blend
from gutseg.config import Train, load, load_blend
from gutseg.engine import checkpoint
from gutseg.engine.budget import best_epoch, is_finished
from gutseg.files import read_json
from gutseg.kaggle.bundle import pack_runs
from gutseg.predict import predict
from gutseg.score import score
from gutseg.train import train
from gutseg.training import train_fold


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """A copy of the trained run with a network of all patients: one epoch, a moving average."""
    folder = tmp_path_factory.mktemp("full") / "runs"
    shutil.copytree(trained.run, folder / "tiny")
    few = [f"runs={folder}", "train.epochs=1", "train.steps_per_epoch=null", "train.ema=0.5"]
    train(trained.config, [*trained.overrides, *few], fold="full")
    return folder / "tiny"


def test_all_rows_are_trained_on_and_the_last_average_is_kept(made):
    full = made / "full"
    (row,) = pd.read_csv(full / "metrics.csv").to_dict("records")
    assert row["steps"] == 12  # 46 slices in batches of 4; fold 0 alone leaves fewer
    assert not {"val_loss", "dice", "score"} & row.keys()
    assert yaml.safe_load((full / "config.yaml").read_text())["train"]["monitor"] is None
    assert read_json(full / "meta.json")["fold"] == "full"
    last = checkpoint.load(full / "last.pt")["learner"]["average"]
    kept = checkpoint.weights(full / "best.pt")
    assert all(torch.equal(value, last[f"module.{key}"]) for key, value in kept.items())


def test_a_blend_is_searched_out_of_fold_and_submits_with_all_patients(made, tmp_path, capsys):
    for name, full in (("folds", False), ("full", True)):
        blend([made], tmp_path / name, trials=2, full=full)
    folds, full = (load_blend(tmp_path / name / "blend.yaml") for name in ("folds", "full"))
    assert (folds.members[0].folds, full.members[0].folds) == ([0, 1], ["full"])
    assert (folds.rules, folds.score) == (full.rules, full.score)
    (predictor,) = runs.ensemble(tmp_path / "full" / "blend.yaml").predictors
    weights = checkpoint.weights(made / "full" / "best.pt")
    assert all(torch.equal(predictor.model.state_dict()[key], weights[key]) for key in weights)
    pack_runs(full, tmp_path / "full", tmp_path / "bundle")
    (packed,) = runs.ensemble(tmp_path / "bundle" / "blend.yaml").predictors
    assert packed.name.endswith("bundle/runs/0-tiny/full")
    assert all(torch.equal(packed.model.state_dict()[key], weights[key]) for key in weights)
    with pytest.raises(ValueError, match=r"tiny predicts with `full`, .* nothing is out of fold"):
        score(tmp_path / "full" / "blend.yaml")
    assert runs.predictions(made).folds == [0, 1]
    for wanted in ("full", "0,full"):
        with pytest.raises(ValueError, match=f"--fold {wanted}: .*full was trained on all patient"):
            predict(made, fold=wanted)


def test_a_network_of_all_patients_is_there_and_trained_to_its_end(made, tmp_path):
    shutil.copytree(made, tmp_path / "tiny")
    full = tmp_path / "tiny" / "full"
    (full / "config.yaml").write_text(
        (full / "config.yaml").read_text().replace("s: 1\n", "s: 2\n")
    )
    with pytest.raises(ValueError, match=r"full has 1 of 2 epochs and .* train \(--fold full\)"):
        blend([tmp_path / "tiny"], tmp_path / "out", full=True)
    shutil.rmtree(full)
    with pytest.raises(FileNotFoundError, match="full/config.yaml does not exist; run: gutseg tr"):
        blend([tmp_path / "tiny"], tmp_path / "out", full=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.patience=3", "train.patience: 3 stops by held-out patients, .* train.epochs, su"),
        ("train.monitor=dice", "train.monitor: 'dice' chooses .* train.monitor=null, which keeps"),
        ("train={seconds: 60}", "train.seconds: 60 mean other weights .* train.epochs or train.st"),
    ],
)
def test_what_needs_held_out_patients_is_refused(trained, change, message):
    with pytest.raises(ValueError, match=message):
        train_fold(load(trained.config, [*trained.overrides, change]), "full")


def test_without_a_monitor_the_last_epoch_counts():
    history = [{"epoch": 0, "score": 0.9}, {"epoch": 1, "score": 0.1}]
    train = Train(epochs=3, monitor=None)
    assert best_epoch(history, train) == 1 and best_epoch([], train) is None
    assert not is_finished(history, train) and is_finished([*history, {"epoch": 2}], train)
    with pytest.raises(ValueError, match="patience: 3 counts epochs without a better train.monito"):
        Train(patience=3, monitor=None)


@pytest.mark.parametrize("fold", [-1, 1000, "all", True, 0.0, None])
def test_a_blend_lists_numbers_of_folds_or_full(fold, tmp_path):
    text = yaml.safe_dump({"members": [{"run": "x", "folds": [0, "full", fold]}]})
    (tmp_path / "blend.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"members.0.folds.2: .*expected the number of a fold, or"):
        load_blend(tmp_path / "blend.yaml")
