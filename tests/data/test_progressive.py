"""Training images that grow over the budget; what is predicted keeps the last size."""

import numpy as np
import pytest
import torch
from bench_cases import write_pictures

from gutseg import epochs, experiment
from gutseg.config import load
from gutseg.data.sampler import BatchSampler, Growth
from gutseg.engine.budget import Meter
from gutseg.engine.distributed import World
from gutseg.training import train_fold

HERE = World(0, 1, torch.device("cpu"))
STAGES = [(0.0, (16, 16)), (0.4, (16, 24)), (0.75, (24, 32))]


def test_the_size_of_a_batch_by_its_number():
    growth = Growth(STAGES, 8)
    assert [growth.at(n)[1] for n in range(8)] == [16, 16, 16, 16, 24, 24, 32, 32]
    assert growth.at(80) == (24, 32)  # patience does not end a budget of epochs early
    timed = Growth(STAGES, None)
    sizes = []
    for timed.spent in (0.0, 0.39, 0.4, 0.74, 0.75, 1.0):
        sizes.append(timed.at(99)[1])
    assert sizes == [16, 16, 24, 24, 32, 32]


def test_an_epoch_that_is_dealt_again_has_the_same_sizes():
    sampler = BatchSampler(np.ones(12, bool), 4, seed=0)
    assert {batch.size for batch in sampler} == {None}
    sampler.growth = Growth(STAGES, 12)
    found = []
    for epoch in (0, 3, 1, 2, 1):
        sampler.set_epoch(epoch)
        found.append([batch.size[1] for batch in sampler])
    assert found == [[16, 16, 16], [32, 32, 32], [16, 16, 24], [24, 24, 24], [16, 16, 24]]


@pytest.fixture(scope="module")
def yaml(tmp_path_factory):
    root = tmp_path_factory.mktemp("progressive")
    path = root / "grown.yaml"
    path.write_text(
        f"runs: {root / 'runs'}\ndata: {{source: png_folder, folder: "
        f"{write_pictures(root / 'data')}, folds: 2}}\n"
        "geometry: {size: [24, 32]}\nmodel: {name: unet, params: {widths: [4, 8]}}\n"
        "train: {steps: 8, steps_per_epoch: 3, batch_size: 2, monitor: val_loss,\n"
        "  tensorboard: false, progressive: [[0, [16, 16]], [0.4, [16, 24]], [0.75, [24, 32]]]}\n"
        "loss: {name: ce}\n"
    )
    return path


CROPS = ["crop={size: [24, 32]}", "geometry.kind=native"]


def _sizes(config):
    """Height and width of the batches of the first three epochs, and whether labels have them."""
    data = experiment.source(config)
    made = epochs.batches(config, data, experiment.rows(config, data), 0)
    order, found = epochs.sampler(config, made, HERE), []
    for epoch in range(3):
        order.set_epoch(epoch)
        batches = [made[item] for item in order]
        assert all(b["images"].shape[2:] == b["target"].shape[1:] for b in batches)
        found += [tuple(b["images"].shape[2:]) for b in batches]
    return found


@pytest.mark.parametrize("changes", [[], CROPS, [*CROPS, "augment.name=flips"]])
def test_images_and_crops_grow_and_labels_with_them(yaml, changes):
    # of eight steps from .4 on: from the fifth; from .75 on: from the seventh
    expected = 4 * [(16, 16)] + 2 * [(16, 24)] + 3 * [(24, 32)]
    assert _sizes(load(yaml, changes)) == expected
    more = ["data.oversample={any: 2}", "train.accumulate=2", "train.steps=4"]
    assert _sizes(load(yaml, [*changes, *more])) == expected


def _watched(monkeypatch):
    """Whether the network trained and the size of its images, call by call."""
    seen, made = [], experiment.model

    def network(*given):
        built = made(*given)
        built.register_forward_pre_hook(
            lambda module, images: seen.append((module.training, tuple(images[0].shape[2:])))
        )
        return built

    monkeypatch.setattr(experiment, "model", network)
    return seen


@pytest.mark.parametrize("kind", ["resize", "body"])
def test_crops_of_a_window_are_predicted_as_whole_windows(cache, tmp_path, kind, monkeypatch):
    path = tmp_path / "crops.yaml"
    path.write_text(
        f"data: {{folder: {cache}, folds: 2}}\ngeometry: {{kind: {kind}, size: [48, 56]}}\n"
        f"crop: {{size: [24, 32], foreground: 0.5}}\nruns: {tmp_path / 'runs'}\n"
        "model: {name: unet, params: {widths: [4, 8]}}\n"
        "train: {steps: 2, batch_size: 2, monitor: val_loss, tensorboard: false}\n"
    )
    seen = _watched(monkeypatch)
    row = train_fold(load(path), 0)
    assert {size for training, size in seen if training} == {(24, 32)}
    assert {size for training, size in seen if not training} == {(48, 56)}
    assert np.isfinite(row["val_loss"]) and row["dice"] >= 0  # compared at native size


TIMED = ["train.steps=null", "train.steps_per_epoch=null", "train.seconds=0.001"]


@pytest.mark.parametrize("budget", [[], TIMED])
def test_the_network_is_measured_at_the_last_size(yaml, budget, monkeypatch, tmp_path):
    """Of eight steps, and of seconds on a clock that goes by steps."""
    if budget:
        monkeypatch.setattr(Meter, "share", lambda _, step: step / 8)
    seen = _watched(monkeypatch)
    train_fold(load(yaml, [*budget, f"runs={tmp_path}"]), 0)
    expected = 4 * [(16, 16)] + 2 * [(16, 24)] + 2 * [(24, 32)]
    assert [size for training, size in seen if training] == expected
    assert {size for training, size in seen if not training} == {(24, 32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("geometry.size=[24, 24]", r"train.progressive: it ends with \[24, 32\] and geometry.size"),
        ("crop={size: [24, 24]}", r"train.progressive: it ends with \[24, 32\] and crop.size is"),
        ("train.progressive=[[0, [16, 16]], [0.5, [24, 31.5]]]", "train.progressive.1.1.1: "),
        ("train.progressive=[[0, [16, 16]], [0.5, [true, 32]]]", "train.progressive.1.1.0: "),
        ("geometry.kind=pad", "train.progressive: geometry.kind pad resamples nothing"),
        ("train.progressive=[[0.1, [16, 16]], [0.5, [24, 32]]]", "hold from 0.1, 0.5 on; expected"),
        ("train.progressive=[[0, [16, 16]], [0, [24, 32]]]", "hold from 0, 0 on; expected"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(yaml, change, message):
    with pytest.raises(ValueError, match=message):
        load(yaml, [change])
