"""One trainer for all data: folders of images from a YAML to their scores, crops, budgets."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from kills import killed_after
from pictures import SMALL, write_isbi, write_nuclei

from gutseg import blends, epochs, experiment, models, runs
from gutseg.blend import blend
from gutseg.config import Blend, Train, dump, load
from gutseg.config.blend import Member
from gutseg.data.batches import Crops
from gutseg.data.sources.pictures import Pictures, picture
from gutseg.engine import checkpoint
from gutseg.engine.budget import spent
from gutseg.engine.distributed import World
from gutseg.inference.evaluate import Evaluator
from gutseg.inference.predictor import Predictor
from gutseg.predict import predict
from gutseg.score import score
from gutseg.train import train
from gutseg.training import train_fold

HERE = World(0, 1, torch.device("cpu"))
DATA = {
    "nuclei": "data: {source: png_folder, folder: FOLDER, folds: 2, params: {ignore: 255}}\n"
    "loss: {name: ce, class_weights: inverse}",
    "isbi": "data: {source: isbi, folder: FOLDER, folds: 2}\nloss: {name: bce_dice}",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A YAML a source, beside the data that it names."""
    root = tmp_path_factory.mktemp("pictures")
    for name, write in (("nuclei", write_nuclei), ("isbi", write_isbi)):
        text = DATA[name].replace("FOLDER", str(write(root / name)))
        (root / f"{name}.yaml").write_text(f"runs: {root / 'runs'}\n{text}\n{SMALL}")
    return root


def _settings(folders, *overrides, name="nuclei"):
    return load(folders / f"{name}.yaml", list(overrides))


@pytest.mark.parametrize("name", DATA)
def test_images_that_stand_alone_are_trained_predicted_and_scored(folders, name, tmp_path, capsys):
    train(folders / f"{name}.yaml", jobs=1)
    run = folders / "runs" / name
    predict(run)
    assert sorted(path.stem for path in run.glob("fold*/oof/*.npz")) == list("012345")
    capsys.readouterr()
    score(run, by="class,fold", json=tmp_path / "score.json")
    shown = capsys.readouterr().out
    assert "pixel accuracy" in shown and "fold 1" in shown and "precision" in shown
    found = json.loads((tmp_path / "score.json").read_text())["pooled"]
    assert found["iou"] > 0.4
    for fold in (0, 1):
        last = pd.read_csv(run / f"fold{fold}" / "metrics.csv").iloc[-1]
        assert last["steps"] == 30 and last["parameters"] > 1000
        # of bytes, whose rounding may turn a pixel over
        scored = blends.out_of_fold(run, None, str(fold)).pooled["all"]
        for key, value in scored.items():
            assert value == pytest.approx(last[f"pooled.{key}"], abs=0.01, nan_ok=True)
    with pytest.raises(ValueError, match="--by case: .* holds no volumes; choices: class, fold"):
        score(run, by="case")
    with pytest.raises(ValueError, match="--metric one_sided: .* so it has no competition score"):
        score(run, metric="one_sided")
    with pytest.raises(ValueError, match="a blend is chosen by the competition score"):
        blend([run], tmp_path / "blend")
    written = Blend(members=[Member(run=run, folds=[0, 1])])
    dump(written, tmp_path / "blend.yaml")
    with pytest.raises(ValueError, match="images that stand alone; score each run by itself"):
        score(tmp_path / "blend.yaml")
    with pytest.raises(ValueError, match=r"fold0 was trained on \w+; a blend predicts the comp"):
        runs.ensemble(tmp_path / "blend.yaml")


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"steps": 9}, "3 of 9 steps"),
        ({"seconds": 8.0}, "2.5 of 8 seconds"),
        ({}, "1 of 40 epochs"),
    ],
)
def test_a_part_of_a_budget_is_told_in_its_own_unit(budget, words):
    assert spent([{"steps": 3, "seconds": 2.5}], Train(**budget)) == words


def test_changed_images_and_labels_make_predictions_out_of_date(folders, tmp_path):
    data = write_nuclei(tmp_path / "nuclei")
    changes = [f"data.folder={data}", f"runs={tmp_path}", "train.steps=2"]
    train(folders / "nuclei.yaml", changes, jobs=1)
    predict(tmp_path / "nuclei")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "nuclei").glob("fold*/oof/*.npz")}
    (data / "images" / "2.png").write_bytes((data / "images" / "4.png").read_bytes())
    with pytest.raises(ValueError, match="out of date, changed since are 1 scan .2. of the cache"):
        score(tmp_path / "nuclei")
    predict(tmp_path / "nuclei")
    assert [p.stem for p, at in before.items() if p.stat().st_mtime_ns != at] == ["2"]
    for name in "135":  # other labels, other folds
        (data / "labels" / f"{name}.png").unlink()
        (data / "images" / f"{name}.png").unlink()
    with pytest.raises(ValueError, match="was trained on other folds: the images or labels have"):
        predict(tmp_path / "nuclei")


def test_losses_of_a_block_start_from_equal_weights_and_see_equal_crops(folders):
    """Two configs that differ in the loss alone; another seed or fold differs in all."""

    def start(*overrides, fold=0):
        config = _settings(folders, *overrides)
        data = experiment.source(config)
        table = experiment.rows(config, data)
        batches = epochs.batches(config, data, table[table["fold"] != fold], fold)
        loss = experiment.criterion(config, data, table)
        learner = experiment.learner(config, data, loss, 30, fold, HERE)
        return learner.model.state_dict(), [batches[step] for step in range(3)]

    def same(one, other):
        weights = all(torch.equal(one[0][key], other[0][key]) for key in one[0])
        pairs = list(zip(one[1], other[1], strict=True))
        return weights, all(
            torch.equal(a["images"], b["images"]) and torch.equal(a["target"], b["target"])
            for a, b in pairs
        )

    first = start()
    assert same(first, start("loss={name: generalised_dice}")) == (True, True)
    assert same(first, start("seed=1")) == same(first, start(fold=1)) == (False, False)
    assert same(first, start("augment.name=flips")) == (True, False)


def test_what_lies_below_an_ignore_mask_changes_nothing(folders):
    """Neither loss nor gradient nor measures: of class numbers, and of classes that overlap."""
    random = np.random.default_rng(0)
    unknown = random.random((40, 40)) < 0.3
    config = _settings(folders, "train.batch_size=2")
    for mode, loss in (("multiclass", "ce"), ("multiclass", "dice"), ("multilabel", "bce_dice")):
        image = random.random((40, 40, 3))
        labels = random.integers(0, 3, (40, 40))
        other = np.where(unknown, (labels + 1) % 3, labels)
        found = []
        for one in (labels, other):
            plane = picture("a", image, one, ignore=unknown)
            # as it lies below the mask
            object.__setattr__(plane, "labels", one[None].astype(np.uint8))
            data = Pictures([plane], experiment.inputs(config), ("a", "b", "c"), mode)
            changes = {"name": loss, "params": {"mode": mode}, "class_weights": None}
            settings = config.model_copy(update={"loss": config.loss.model_copy(update=changes)})
            criterion = experiment.criterion(settings, data, data.index)
            batch = epochs.batches(settings, data, data.index, 0)[0]
            logits = torch.linspace(-2, 2, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
            logits.requires_grad_()
            total, _ = criterion(logits, batch["target"], ignore=batch["ignore"])
            total.backward()
            network = torch.nn.Conv2d(3, 3, 1)
            torch.nn.init.constant_(network.weight, 0.3)
            torch.nn.init.constant_(network.bias, -0.2)
            evaluate = Evaluator(
                data,
                data.index,
                lambda model, mode=mode, data=data: Predictor(
                    model, data.inputs, device=HERE.device, mode=mode
                ),
                criterion,
            )
            found.append((total, logits.grad, evaluate(network, False), batch["target"]))
        (a, grad_a, row_a, target_a), (b, grad_b, row_b, target_b) = found
        assert not torch.equal(target_a, target_b)
        assert torch.equal(a, b) and torch.equal(grad_a, grad_b)
        assert row_a.keys() == row_b.keys()
        assert all(row_a[key] == pytest.approx(row_b[key], nan_ok=True, rel=0) for key in row_a)


def test_a_budget_of_steps_ends_exactly_and_resumes_bit_for_bit(folders, tmp_path):
    """70 batches in epochs of 16, two a step; killed after the second epoch."""
    changes = [
        "train.steps=35",
        "train.steps_per_epoch=16",
        "train.accumulate=2",
        "optim.warmup_epochs=1",
    ]
    straight = _settings(folders, *changes, f"runs={tmp_path / 'a'}")
    train_fold(straight, 0)
    stopped = _settings(folders, *changes, f"runs={tmp_path / 'b'}")
    with killed_after(epochs=2):
        train_fold(stopped, 0)
    train_fold(stopped, 0)
    one, two = (checkpoint.load(tmp_path / run / "nuclei" / "fold0" / "last.pt") for run in "ab")
    assert [row["steps"] for row in one["history"]] == [8, 16, 24, 32, 35]
    weights = [state["learner"]["model"] for state in (one, two)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    clocks = ("seconds", "seconds_test", "seconds_per_step", "data_wait", "peak_mb")
    for row, other in zip(one["history"], two["history"], strict=True):
        for key in row.keys() - clocks:
            assert row[key] == pytest.approx(other[key], rel=0, nan_ok=True), key


def test_an_encoder_file_with_other_content_is_not_the_one_a_run_began_with(folders, tmp_path):
    file = tmp_path / "encoder.pth"
    encoder = models.build("smp", 3, 3, encoder="tu-test_resnet").encoder
    torch.save(encoder.state_dict(), file)
    model = f"model={{name: smp, encoder_weights: {file}, params: {{encoder: tu-test_resnet}}}}"
    config = _settings(folders, model, "train.steps=1", f"runs={tmp_path}")
    train_fold(config, 0)
    note = json.loads((tmp_path / "nuclei" / "fold0" / "meta.json").read_text())
    assert note["encoder_weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    train_fold(config, 0)
    torch.save({key: value + 1 for key, value in encoder.state_dict().items()}, file)
    message = "model.encoder_weights: .*encoder.pth has changed since .*fold0 was trained; put"
    with pytest.raises(ValueError, match=message):
        train_fold(config, 0)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="encoder.pth does not exist; give a local .pth"):
        train_fold(config, 0)


@pytest.mark.parametrize("crop", [True, False])
def test_a_budget_of_seconds_ends(folders, tmp_path, crop):
    changes = ["train.steps=null", "train.seconds=0.5", "train.tail=5", f"runs={tmp_path}"]
    changes += [] if crop else ["crop=null", "geometry={kind: resize, size: [32, 32]}"]
    config = _settings(folders, *changes)
    row = train_fold(config, 0)
    assert 0.5 <= row["seconds"] < 5 and row["steps"] > 1
    assert 0 < row["lr"] < 5e-3  # a cosine near its end
    assert 0 <= row["tail_q1"] <= row["tail_median"] <= row["tail_q3"] <= 1
    before = checkpoint.load(tmp_path / "nuclei" / "fold0" / "last.pt")["learner"]["step"]
    assert train_fold(config, 0)["steps"] == before  # nothing is left to spend


def test_folds_of_images_that_stand_alone_are_a_number(folders):
    with pytest.raises(ValueError, match="data.folds: x.csv is a file, .* example data.folds=5"):
        train_fold(_settings(folders, "data.folds=x.csv"), 0)
    with pytest.raises(ValueError, match="folds = 7; expected 2 to 6, the number of groups"):
        train_fold(_settings(folders, "data.folds=7"), 0)


def test_what_cannot_be_monitored_is_named_before_training(folders, tmp_path):
    with pytest.raises(ValueError, match="train.monitor: 'score' is not measured on data.source"):
        train_fold(_settings(folders, "train.monitor=score", f"runs={tmp_path}"), 0)
    assert not (tmp_path / "nuclei" / "fold0" / "config.yaml").exists()


def test_whole_images_of_several_sizes_make_no_batch(folders, tmp_path):
    with pytest.raises(ValueError, match="images of a batch differ in size: .* give crop.size"):
        train_fold(_settings(folders, "crop=null", f"runs={tmp_path}"), 0)


def test_crops_hold_a_share_of_the_empty_planes(cache, folders):
    """Of the competition: whoever shows no organ is drawn once, by the seed."""
    config = _settings(
        folders,
        "data={source: competition, folder: " + str(cache) + ", folds: 2, empty_share: 0.5}",
        "loss={name: bce_dice}",
        "channels=[1]",
        "stack.slices=3",
    )
    data = experiment.source(config)
    table = experiment.rows(config, data)
    made = epochs.batches(config, data, table, 0)
    assert isinstance(made, Crops) and made[3]["images"].shape == (4, 1, 32, 32)
    empty = (~data.shows_object(table)).sum()
    kept = (~data.shows_object(made.rows)).sum()
    assert kept == round(0.5 * empty)
    assert len(made.rows) == len(table) - empty + kept


def test_ranks_whose_clocks_differ_stop_together(folders, tmp_path):
    """A budget of seconds under torchrun: one rank more for a step would wait for ever."""
    changes = ["train.steps=null", "train.seconds=0.3", f"runs={tmp_path}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "gutseg.train", str(folders / "nuclei.yaml"), "--fold", "0", *changes]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    last = pd.read_csv(tmp_path / "nuclei" / "fold0" / "metrics.csv").iloc[-1]
    assert last["epoch"] == 0 and last["seconds"] >= 0.3 and last["pooled.iou"] > 0
