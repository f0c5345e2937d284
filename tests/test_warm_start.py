"""`train.init_from` starts from an earlier training that did not see who is held out."""

import hashlib
import shutil

import pandas as pd
import pytest
import torch
import yaml

from gutseg import experiment, warm_start
from gutseg.config import load
from gutseg.engine import checkpoint
from gutseg.files import read_json
from gutseg.prepare import prepare
from gutseg.training import train_fold

# so small a step that float32 weights stay where they are
STILL = ["train.epochs=1", "train.steps_per_epoch=1", "optim.lr=1e-30", "train.monitor=null"]


def _settings(trained, tmp_path, *changes):
    return load(trained.config, [*trained.overrides, f"runs={tmp_path}", *STILL, *changes])


def _check(config, fold):
    data = experiment.source(config)
    table, weights = experiment.rows(config, data), warm_start.weights_of(config, fold)
    warm_start.check_unseen(config, fold, data, table, weights)


def test_a_fold_starts_from_its_own_fold_and_remembers_the_file(trained, tmp_path):
    run = tmp_path / "before"
    shutil.copytree(trained.run, run)
    config = _settings(trained, tmp_path, f"train.init_from={run}")
    train_fold(config, 1)
    folder = tmp_path / "tiny" / "fold1"
    before, now = (checkpoint.weights(one / "best.pt") for one in (run / "fold1", folder))
    learnt = [key for key in before if not key.rpartition(".")[2].startswith(("running", "num_"))]
    assert len(learnt) > 10 and all(torch.equal(before[key], now[key]) for key in learnt)
    found = read_json(folder / "meta.json")["init_from_sha256"]
    assert found == hashlib.sha256((run / "fold1" / "best.pt").read_bytes()).hexdigest()
    train_fold(config, 1)  # nothing is left to do
    shutil.copyfile(run / "fold0" / "best.pt", run / "fold1" / "best.pt")
    with pytest.raises(
        ValueError, match="train.init_from: .*fold1/best.pt has changed since .*fol"
    ):
        train_fold(config, 1)


def test_a_start_that_saw_the_held_out_patients_is_refused(trained, tmp_path):
    table = pd.read_csv(trained.folds)
    counts = {fold: (table["fold"] == fold).sum() for fold in (0, 1)}
    other = _settings(trained, tmp_path, f"train.init_from={trained.run / 'fold1'}")
    message = rf"fold1 was trained on {counts[0]} groups? \(case.*\), which fold 0 holds out; give"
    with pytest.raises(ValueError, match=message):
        train_fold(other, 0)
    assert not (tmp_path / "tiny" / "fold0" / "config.yaml").exists()
    _check(other, "full")  # holds nobody out
    # the same patients under another fold file: fold 0 holds out one of old fold 0, or of both
    held, rest = table[table["fold"] == 0], table[table["fold"] == 1]
    for fold, patients in (("few", held[:1]), ("both", pd.concat([held[:1], rest[:1]]))):
        moved = table.assign(fold=(~table["case"].isin(patients["case"])).astype(int))
        moved.to_csv(tmp_path / f"{fold}.csv", index=False)
    start = f"train.init_from={trained.run / 'fold0' / 'best.pt'}"
    _check(_settings(trained, tmp_path, start, f"data.folds={tmp_path / 'few.csv'}"), 0)
    with pytest.raises(ValueError, match=r"was trained on 1 group \(case"):
        _check(_settings(trained, tmp_path, start, f"data.folds={tmp_path / 'both.csv'}"), 0)


def test_a_run_on_other_data_saw_nobody_but_what_it_started_from_may_have(
    trained, tmp_path, write_raw
):
    names = [f"{name}_day0" for name in ("case1", "case2", "case3", "case4", "case5")]
    write_raw(tmp_path / "raw", dict.fromkeys(names[::-1], (3, 40, 40)))  # drawn otherwise
    prepare(tmp_path / "raw", tmp_path / "cache", workers=1)
    between = tmp_path / "between" / "fold1"
    shutil.copytree(trained.run / "fold1", between)
    settings = yaml.safe_load((between / "config.yaml").read_text())
    settings["data"]["folder"] = str(tmp_path / "cache")
    (between / "config.yaml").write_text(yaml.safe_dump(settings))
    config = _settings(trained, tmp_path, f"train.init_from={between}")
    _check(config, 0)
    settings["train"]["init_from"] = str(trained.run / "fold0")
    (between / "config.yaml").write_text(yaml.safe_dump(settings))
    _check(config, 0)
    with pytest.raises(ValueError, match="runs/tiny/fold0 was trained on .* fold 1 holds out"):
        _check(config, 1)
    (between / "meta.json").write_text("[]")
    with pytest.raises(ValueError, match="meta.json does not say who was held out; put it back"):
        _check(config, 0)
    (between / "meta.json").unlink()  # as in a bundle, whose folder says it
    with pytest.raises(ValueError, match="runs/tiny/fold0 was trained on .* fold 1 holds out"):
        _check(config, 1)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(ValueError, match="what .*fold1 was trained on cannot be read, so that it"):
        _check(config, 0)


def test_a_file_alone_is_taken_and_another_network_is_not(trained, tmp_path, caplog):
    file = tmp_path / "somewhere.safetensors"
    checkpoint.save_weights(file, checkpoint.weights(trained.run / "fold1" / "best.pt"))
    start = f"train.init_from={file}"
    _check(_settings(trained, tmp_path, start), 0)
    assert "no config.yaml says what" in caplog.text
    wider = _settings(trained, tmp_path, start, "model.params.widths=[8, 16, 32]")
    with pytest.raises(
        ValueError, match=r"safetensors is of another network .* tensors .* of anoth"
    ):
        train_fold(wider, 0)


def test_what_is_not_there_is_named(trained, tmp_path):
    gone = _settings(trained, tmp_path, f"train.init_from={tmp_path / 'gone'}")
    with pytest.raises(FileNotFoundError, match="gone does not exist; give train.init_from a run"):
        warm_start.weights_of(gone, 0)
    (tmp_path / "empty").mkdir()
    empty = _settings(trained, tmp_path, f"train.init_from={tmp_path / 'empty'}")
    with pytest.raises(FileNotFoundError, match="empty has no best.pt and none in fold0 or full"):
        warm_start.weights_of(empty, 0)
    with pytest.raises(ValueError, match="train.init_from replaces what model.initial_bias sets"):
        _settings(trained, tmp_path, "train.init_from=x", "model.initial_bias=log_odds")
