"""What `model:` adds to a row, from a YAML to trained weights and predictions."""

import subprocess
import sys

import pandas as pd
import pytest
import torch
from kills import killed_after
from pictures import SMALL, write_isbi, write_nuclei

from gutseg import experiment, runs
from gutseg.config import load
from gutseg.engine import checkpoint
from gutseg.engine.distributed import World
from gutseg.training import train_fold

HERE = World(0, 1, torch.device("cpu"))
DATA = {
    "nuclei": "data: {source: png_folder, folder: FOLDER, folds: 2, params: {ignore: 255}}\n"
    "loss: {name: ce}",
    "isbi": "data: {source: isbi, folder: FOLDER, folds: 2}\nloss: {name: bce_dice}",
}
ALL = [
    "train.steps=6",
    "train.steps_per_epoch=3",
    "train.ema=0.5",
    "train.tail=3",
    "model.presence={weight: 0.5, gate: multiply}",
    "model.attention={local_levels: [0], external_levels: [-1], local_heads: 2}",
    "model.initial_bias=log_odds",
    "model.params.deep_supervision=true",
    "model.params.widths=[4, 8, 8]",
]
DEEP = {
    "nuclei": "loss={name: deep_supervision, params: {loss: ce}}",
    "isbi": "loss={name: deep_supervision, params: {loss: bce_dice}}",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("options")
    for name, write in (("nuclei", write_nuclei), ("isbi", write_isbi)):
        text = DATA[name].replace("FOLDER", str(write(root / name)))
        (root / f"{name}.yaml").write_text(f"runs: {root / 'runs'}\n{text}\n{SMALL}")
    return root


def _settings(folders, name, *overrides):
    return load(folders / f"{name}.yaml", list(overrides))


@pytest.mark.parametrize("name", DATA)
def test_all_options_train_together_and_resume_bit_for_bit(folders, tmp_path, name):
    """And the best weights fill the network that the config.yaml beside them makes."""
    loss = [DEEP["isbi"]] if name == "isbi" else []
    configs = [_settings(folders, name, *ALL, *loss, f"runs={tmp_path / run}") for run in "ab"]
    train_fold(configs[0], 0)
    with killed_after(epochs=1):
        train_fold(configs[1], 0)
    train_fold(configs[1], 0)
    one, two = (checkpoint.load(tmp_path / run / name / "fold0" / "last.pt") for run in "ab")
    for key in ("model", "average"):
        states = [state["learner"][key] for state in (one, two)]
        assert all(torch.equal(states[0][part], states[1][part]) for part in states[0])
    table = pd.read_csv(tmp_path / "b" / name / "fold0" / "metrics.csv")
    assert (table["train_presence"] > 0).all() and "tail_median" in table
    terms = [f"train_{term}" for term in ("scale0", "scale1", "presence")]
    assert table["train_loss"].to_numpy() == pytest.approx(table[terms].sum(axis=1).to_numpy())
    folder = tmp_path / "a" / name / "fold0"
    network = runs.predictor(runs.open_fold(folder), device=HERE.device).model
    best = checkpoint.weights(folder / "best.pt")
    assert all(torch.equal(value, best[key]) for key, value in network.state_dict().items())
    assert network(torch.rand(1, network.network.encoder[0][0][0].in_channels, 32, 32)).dim() == 4


def test_the_loss_of_the_head_falls(folders, tmp_path):
    """Crops with and without discs: after 60 steps the head tells them apart better."""
    changes = ["train.steps=60", "train.steps_per_epoch=20", "model.presence={weight: 1.0}"]
    train_fold(_settings(folders, "nuclei", *changes, f"runs={tmp_path}"), 0)
    table = pd.read_csv(tmp_path / "nuclei" / "fold0" / "metrics.csv")
    assert table["train_presence"].iloc[-1] < 0.8 * table["train_presence"].iloc[0]


@pytest.mark.parametrize("name", DATA)
def test_the_first_bias_is_of_the_shares_of_the_training_fold(folders, name):
    config = _settings(folders, name, "model.initial_bias=log_odds")
    data = experiment.source(config)
    table = experiment.rows(config, data)
    loss = experiment.criterion(config)
    learner = experiment.learner(config, data, loss, 30, 0, HERE)
    shares = data.class_shares(table[table["fold"] != 0])
    assert shares != data.class_shares(table)
    bias = learner.model.head.bias
    found = bias.softmax(dim=0) if name == "nuclei" else bias.sigmoid()
    assert found.tolist() == pytest.approx(shares, rel=1e-4)


def test_any_loss_compares_every_scale_of_a_network_with_deep_supervision(folders):
    """As the loss of that name does around it, class weights and all."""
    weighted = "loss={name: ce, class_weights: inverse}"
    explicit = "loss={name: deep_supervision, class_weights: inverse, params: {loss: ce}}"
    scales = [torch.randn(2, 3, 32 // 2**level, 32 // 2**level) for level in range(3)]
    target = torch.randint(0, 3, (2, 32, 32))
    found = []
    for loss in (weighted, explicit):
        config = _settings(folders, "nuclei", "model.params.deep_supervision=true", loss)
        data = experiment.source(config)
        criterion = experiment.criterion(config, data, data.index)
        value, terms = criterion(scales, target)
        found.append((value.item(), set(terms)))
    assert found[0] == found[1] and found[0][1] == {"scale0", "scale1", "scale2"}
    plain = experiment.criterion(_settings(folders, "nuclei", weighted), data, data.index)
    assert plain(scales[0], target)[0] != criterion(scales, target)[0]
    assert plain(scales[0], target)[0] == criterion(scales[0], target)[0]


def test_the_paths_of_a_deep_u_net_plus_plus_weigh_the_same_without_being_asked(folders):
    criterion = experiment.criterion(_settings(folders, "isbi", "model={name: unetpp_deep}"))
    outputs, target = [torch.zeros(1, 1, 8, 8)] * 4, torch.zeros(1, 1, 8, 8)
    values = [term.item() for term in criterion(outputs, target)[1].values()]
    assert len(values) == 4 and values == pytest.approx([values[0]] * 4) and values[0] > 0


@pytest.mark.parametrize("name", DATA)
def test_a_gate_knows_whether_classes_exclude_each_other(folders, name):
    config = _settings(folders, name, "model.presence={gate: multiply}")
    network = experiment.network(config, 3, 2)
    assert network.gate.exclusive == (name == "nuclei") and network.gate.effect == "multiply"
    assert experiment.network(_settings(folders, name), 3, 2).state_dict().keys() == {
        key.removeprefix("network.") for key in network.state_dict() if "presence" not in key
    }


def test_the_class_head_of_unet_3_is_trained_though_no_other_is_asked_for(folders, tmp_path):
    params = "{widths: [4, 8, 8], gate: multiply, deep_supervision: true}"
    changes = [f"model={{name: unet3p, params: {params}}}", DEEP["nuclei"], "train.steps=2"]
    train_fold(_settings(folders, "nuclei", *changes, f"runs={tmp_path}"), 0)
    folder = tmp_path / "nuclei" / "fold0"
    table = pd.read_csv(folder / "metrics.csv")
    terms = [f"train_{term}" for term in ("scale0", "scale1", "presence")]
    assert (table["train_presence"] > 0).all()
    assert table["train_loss"].to_numpy() == pytest.approx(table[terms].sum(axis=1).to_numpy())
    assert runs.predictor(runs.open_fold(folder), device=HERE.device).model.gate.exclusive


@pytest.mark.slow
def test_all_options_train_under_torchrun(folders, tmp_path):
    """DistributedDataParallel stops at a parameter that no rank's loss reaches."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "gutseg.train", str(folders / "nuclei.yaml"), "--fold", "0", *ALL]
    command += [f"runs={tmp_path}", "train.accumulate=2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    last = pd.read_csv(tmp_path / "nuclei" / "fold0" / "metrics.csv").iloc[-1]
    assert last["steps"] == 6 and last["train_presence"] > 0
