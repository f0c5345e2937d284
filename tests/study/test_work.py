"""A cell is a fold that `gutseg train` would train; what its tables ask for comes afterwards."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from bench_cases import tiny, write_pictures

from gutseg import bench as verb
from gutseg import epochs, experiment
from gutseg.bench import compare
from gutseg.engine import checkpoint
from gutseg.predict import predict
from gutseg.score import score
from gutseg.study import extras, work
from gutseg.train import train


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A working directory with the small study's data."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "data")
    return tmp_path


def _one(study, folder, number=0):
    """Train one cell of a study alone; return it and its result."""
    cell = study.cells([0, 1], folder / "cells")[number]
    return cell, work.Work(study, {})(cell)


def _weights(folder):
    return checkpoint.load(folder / "last.pt")["learner"]["model"]


def test_train_gives_a_cells_weights_bit_for_bit(pictures):
    study = tiny({"seed": [3]}, {"augment.name": "mild"})
    compare(study, pictures / "out", jobs=1)
    for cell in study.cells([0, 1], pictures / "out" / "cells"):
        config = cell.folder.parent / "config.yaml"
        train(config, ["runs=alone"], fold=str(cell.fold), jobs=1)
        alone = pictures / "alone" / cell.config.name / f"fold{cell.fold}"
        weights, same = _weights(cell.folder), _weights(alone)
        assert weights.keys() == same.keys()
        assert all(torch.equal(weights[key], same[key]) for key in weights)


def test_a_cell_is_a_run_folder_that_can_be_predicted_and_scored(pictures, capsys):
    study = tiny({"seed": [3], "loss": [{"name": "ce"}]})
    frame = compare(study, pictures / "out", jobs=1)
    run = study.cells([0, 1], pictures / "out" / "cells")[0].folder.parent
    predict(run)
    assert "6 predictions written, 2 folds" in capsys.readouterr().out
    score(run, json=pictures / "score.json")
    found = json.loads((pictures / "score.json").read_text())
    assert 0 < frame["iou"].max() <= 1 and found
    # with predictions and scores beside the weights the cells are still those of the study
    pd.testing.assert_frame_equal(compare(study, pictures / "out", jobs=1), frame)


def test_hard_pixels_are_those_of_the_last_epoch_as_all_measures_are(pictures):
    """Training keeps the weights of its best epoch beside those of the last."""
    for ema in (None, 0.5):
        base = {"train.steps_per_epoch": 1, "train.ema": ema}
        cell, found = _one(tiny(base=base, hard_pixels=[8]), pictures / str(ema))
        best = checkpoint.load(cell.folder / "best.pt")
        other = {key: torch.zeros_like(value) for key, value in best["model"].items()}
        checkpoint.save(cell.folder / "best.pt", best | {"model": other})
        again = extras.hard_pixels(cell.folder, [8])
        assert again == {key: found[key] for key in again}


def test_losses_of_a_block_start_from_the_same_weights_and_see_the_same_crops(
    pictures, monkeypatch
):
    started, seen = [], []
    learner, batches = experiment.learner, epochs.batches

    def spied_learner(*arguments):
        made = learner(*arguments)
        started.append({key: value.clone() for key, value in made.model.state_dict().items()})
        return made

    def spied_batches(*arguments):
        made = batches(*arguments)
        seen.append([made[step] for step in range(3)])
        return made

    monkeypatch.setattr(experiment, "learner", spied_learner)
    monkeypatch.setattr(epochs, "batches", spied_batches)
    study = tiny({"seed": [0, 1], "fold": [0, 1]})
    cells = study.cells([0, 1], pictures / "cells")
    for cell in cells:
        work.Work(study, {})(cell)
    labels = [cell.label for cell in cells]
    assert labels == ["ce", "dice"] * 4
    first = next(key for key in started[0] if key.endswith("weight"))
    for number in range(0, 8, 2):
        one, other = started[number], started[number + 1]
        assert all(torch.equal(one[key], other[key]) for key in one)
        for step, same in zip(seen[number], seen[number + 1], strict=True):
            assert step["ids"] == same["ids"] and torch.equal(step["images"], same["images"])
    # another seed and another fold start elsewhere
    for number in (2, 4, 6):
        assert not torch.equal(started[0][first], started[number][first])


def test_a_cell_gives_the_same_numbers_again(pictures):
    study = tiny(base={"train.tail": 2}, hard_pixels=[8])
    (_, one), (_, again) = (_one(study, pictures / name) for name in "ab")
    for key in ("loss_first", "loss_end", "iou", "dice.class 1", "tail_median", "hard8.class 2"):
        assert one[key] == again[key]
    assert one["status"] == "ok" and one["steps"] == 3 and one["images"] == 3
    assert one["seconds_per_step"] > 0 and one["peak_mb"] >= 0
    assert one["background"] == "background" and one["device"] in ("cpu", "cuda")


def test_a_result_is_the_last_row_of_the_metrics(pictures):
    cell, found = _one(tiny(), pictures)
    row = pd.read_csv(cell.folder / "metrics.csv").iloc[-1]
    for key in ("iou", "dice_fg", "precision", "accuracy", "recall.class 1"):
        assert found[key] == pytest.approx(row[f"pooled.{key}"])
    assert found["val_loss"] == pytest.approx(row["val_loss"])
    assert "lr" not in found and "val_ce" not in found and "score" not in found


def test_training_learns(pictures):
    _, found = _one(tiny(base={"train.steps": 60, "optim.lr": 0.02}), pictures)
    assert found["loss_end"] < found["loss_first"] / 2
    assert found["iou.class 1"] > 0.5


def test_a_budget_of_seconds_ends_in_time(pictures):
    _, found = _one(tiny(base={"train.steps": None, "train.seconds": 0.2}), pictures)
    assert 0.2 <= found["seconds"] < 4 and found["steps"] >= 1


def test_amounts_are_of_the_training_and_of_the_held_out_images(pictures):
    cell, found = _one(tiny(), pictures)
    source = experiment.source(cell.config)
    held_out = experiment.rows(cell.config, source).query("fold == 0")["scan"]
    labels = {name: one.labels for name, one in source.pictures.items()}
    pixels = sum((labels[name] == 1).sum() for name in held_out)
    assert found["pixels.class 1"] == pixels and found["images"] == len(held_out)
    training = [label for name, label in labels.items() if name not in set(held_out)]
    assert found["share.class 1"] == pytest.approx(np.mean([(one == 1).mean() for one in training]))


def test_class_weights_are_of_the_training_images_alone(pictures, monkeypatch):
    made = []
    criterion = experiment.criterion

    def spied(*arguments):
        made.append(criterion(*arguments))
        return made[-1]

    monkeypatch.setattr(experiment, "criterion", spied)
    study = tiny({"loss": [{"name": "ce", "class_weights": "inverse"}]})
    cell, found = _one(study, pictures)
    assert found["status"] == "ok"
    shares = [found[f"share.{key}"] for key in ("background", "class 1", "class 2")]
    source = experiment.source(cell.config)
    table = experiment.rows(cell.config, source)
    assert source.class_shares(table[table["fold"] != 0]) == shares


def test_the_hardest_pixels_are_those_that_are_wrong(pictures):
    study = tiny(base={"train.steps": 30}, hard_pixels=[1, 10**6])
    _, found = _one(study, pictures)
    for key in ("background", "class 1", "class 2"):
        assert found[f"hard{10**6}.{key}"] == found[f"pixels.{key}"]
    assert sum(found[f"hard1.{key}"] for key in ("background", "class 1", "class 2")) == 3


def test_a_binary_network_is_trained_beside_and_its_background_reused(pictures):
    study = tiny(
        {"seed": [2]}, {"train.steps": 60, "optim.lr": 0.02}, background_from={"name": "ce"}
    )
    frame = compare(study, pictures / "out", jobs=1)
    assert len(frame) == 4 and set(frame["status"]) == {"ok"}
    binary = frame.drop_duplicates("fold")
    assert len(list((pictures / "out" / "cells").glob("binary_ce--*"))) == 1
    assert (binary["binary.iou.object"] > 0.4).all() and (
        binary["binary.recall.background"] > 0.4
    ).all()
    assert (frame["reuse.iou"] != frame["iou"]).any()
    assert set(frame["label"]) == {"ce", "dice"}
    assert not any(key.startswith("reuse.") for key in compare(tiny(), pictures / "b", jobs=1))


def test_a_binary_background_is_laid_over_a_prediction(pictures, monkeypatch):
    """Objects that the binary network does not see vanish; its own objects change nothing."""
    study = tiny({"seed": [0], "fold": [0]}, background_from={"name": "ce"})
    cells = study.with_binary(study.cells([0, 1], pictures / "cells"))
    for cell in cells:
        work.train_fold(cell.config, cell.fold)

    def predicted(fold):
        found = [[0.4, 0.4, 0.1, 0.0], [0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.7, 0.8]]
        if fold.config.data.params["binary"]:
            found = [[0.9, 0.1, 0.9, 0.1], [0.1, 0.9, 0.1, 0.9]]
        truth = np.arange(len(found))[:, None, None] == np.array([[0, 1, 1, 2]])
        yield np.array(found)[:, None], truth, np.zeros((1, 4), bool)

    monkeypatch.setattr(work.extras, "_predicted", predicted)
    found = work.extras.reuse(cells[0].folder, cells[-1].folder)
    # of 1 1 2 2 the first and the third become background: 0 1 0 2
    assert found["reuse.accuracy"] == 3 / 4 and found["reuse.recall.class 2"] == 1
    assert found["reuse.precision.background"] == 1 / 2


def test_extras_of_finished_cells_are_measured_without_training(pictures, monkeypatch):
    compare(tiny({"seed": [0]}), pictures / "out", jobs=1)
    weights = {path: path.stat().st_mtime_ns for path in pictures.glob("out/cells/*/*/last.pt")}
    frame = compare(tiny({"seed": [0]}, hard_pixels=[4]), pictures / "out", jobs=1)
    assert frame["hard4.background"].notna().all()
    assert {path: path.stat().st_mtime_ns for path in weights} == weights


@pytest.mark.filterwarnings("ignore")
def test_divergence_is_a_row(pictures):
    base = {"optim.name": "sgd", "train.steps": 20}
    study = tiny({"seed": [0], "optim.lr": [1e6], "loss": [{"name": "ce"}]}, base)
    frame = compare(study, pictures / "out", jobs=1)
    assert set(frame["status"]) == {"diverged"}
    assert frame["reason"].str.contains("not finite").all()
    assert not frame["reason"].str.contains("cells/").any()  # the row says which cell it is


def test_an_error_is_a_row_and_other_cells_are_trained(pictures, monkeypatch):
    real = work.train_fold

    def broken(config, fold, **settings):
        if config.loss.name == "dice":
            raise RuntimeError("no such GPU")
        return real(config, fold, **settings)

    monkeypatch.setattr(work, "train_fold", broken)
    frame = compare(tiny({"seed": [0]}), pictures / "out", jobs=1).set_index("label")
    assert set(frame.loc["ce", "status"]) == {"ok"}
    assert set(frame.loc["dice", "reason"]) == {"RuntimeError: no such GPU"}
    monkeypatch.setattr(work, "train_fold", real)
    assert set(compare(tiny({"seed": [0]}), pictures / "out", jobs=1)["status"]) == {"ok"}


def test_a_loss_must_fit_the_classes(pictures):
    losses = [{"name": "ce"}, {"name": "ce", "params": {"class_weights": [1.0, 2.0]}}]
    with pytest.raises(ValueError, match="ce.class_weights=.1.0, 2.0..: loss.*class_weights"):
        compare(tiny({"loss": losses}), pictures / "out", jobs=1)
    assert not (pictures / "out").exists()


def test_channels_and_scores_must_fit_the_data(pictures):
    with pytest.raises(ValueError, match="channels: 3; the images have 0 to 2"):
        compare(tiny({"channels": [[3]]}), pictures / "out", jobs=1)
    with pytest.raises(ValueError, match="score: score is measured on volumes, which png_folder"):
        compare(tiny(score="score"), pictures / "out", jobs=1)
    assert not (pictures / "out").exists()


def test_a_cell_sees_the_channels_of_its_input(pictures):
    study = tiny({"channels": [[1], [0, 1]], "loss": [{"name": "ce"}]})
    (_, one), (_, both) = (_one(study, pictures, number) for number in (0, 1))
    assert one["parameters"] < both["parameters"] and one["loss_end"] != both["loss_end"]


def test_channels_last_changes_speed_alone(pictures):
    (_, plain), (_, found) = (
        _one(tiny(base={"train.channels_last": last}), pictures / str(last))
        for last in (False, True)
    )
    assert found["loss_end"] == pytest.approx(plain["loss_end"], rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_is_the_gpus_where_there_is_one(pictures):
    _, found = _one(tiny(), pictures)
    assert found["device"] == "cuda" and found["peak_mb"] > 0


@pytest.mark.parametrize("scales", [False, True])
def test_a_cell_weighs_the_classes_of_the_losses_inside_its_loss(pictures, scales):
    """Class weights for deep_supervision once passed the check and failed in the cell."""
    params = {"loss": "ce"} if scales else {"terms": [{"loss": "ce"}, {"loss": "ce"}]}
    name = "deep_supervision" if scales else "weighted_sum"
    inside = {"name": name, "params": params, "class_weights": "inverse"}
    alone = {"name": "ce", "class_weights": "inverse"}
    study = tiny({"loss": [alone, {"label": "inside", "value": inside}]})
    (_, plain), (_, found) = (_one(study, pictures, number) for number in (0, 1))
    times = 1 if scales else 2
    assert found["loss_first"] == pytest.approx(times * plain["loss_first"], rel=1e-5)


def test_the_verb_says_what_it_is():
    assert verb.__doc__.startswith("gutseg bench STUDY")
