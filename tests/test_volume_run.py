"""A network of volumes through every verb, and what its config refuses."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from folders import draw, write_csv, write_scan
from kills import killed_after

from gutseg import experiment, runs
from gutseg.blend import blend
from gutseg.config import Blend, dump, load, load_blend
from gutseg.config.blend import Member
from gutseg.engine import checkpoint
from gutseg.inference.oof import load as load_prediction
from gutseg.inference.volumes import VolumePredictor
from gutseg.predict import predict
from gutseg.score import score
from gutseg.submit import submit
from gutseg.train import train
from gutseg.training import train_fold

TINY = """
geometry: {kind: resize, size: [24, 32]}
stack: {slices: 1}
volume: {patch: [4, 16, 16]}
augment: {name: mild}
model: {name: dynunet, params: {dims: 3, widths: [4, 4, 8]}}
loss: {name: bce_dice, params: {dice_weight: 2.0}}
optim: {lr: 2e-2}
train: {steps: 4, steps_per_epoch: 2, batch_size: 2, tensorboard: false, score_every: 2}
predict: {batch_size: 4}
"""


@pytest.fixture(scope="module")
def volumes(trained, tmp_path_factory):
    """A config beside the run of a network of images, and its run folder, trained and predicted."""
    folder = tmp_path_factory.mktemp("volumes")
    config = folder / "tiny3d.yaml"
    config.write_text(f"runs: {folder / 'runs'}\n{TINY}")
    places = [f"data.folder={trained.cache}", f"data.folds={trained.folds}"]
    train(config, places, jobs=1)
    predict(folder / "runs" / "tiny3d")
    return config, places, folder / "runs" / "tiny3d"


def test_a_run_is_scored_and_blended_with_one_of_images(trained, volumes, tmp_path, capsys):
    _, _, run = volumes
    assert len(list(run.glob("fold*/oof/*.npz"))) == 6
    score(run, by="fold", json=tmp_path / "score.json")
    assert "fold 1" in capsys.readouterr().out
    last = [pd.read_csv(run / f"fold{fold}" / "metrics.csv").iloc[-1] for fold in (0, 1)]
    assert [row["steps"] for row in last] == [4, 4]
    found = json.loads((tmp_path / "score.json").read_text())["score"]
    # what training measured on whole scans is what score finds in the files
    assert np.mean([row["score"] for row in last]) == pytest.approx(found, abs=0.02)
    blend([run, trained.run], tmp_path / "both", trials=4)
    solved = load_blend(tmp_path / "both" / "blend.yaml")
    assert solved.score > 0.3


def test_submission_and_out_of_fold_predictions_come_from_the_same_windows(
    trained, volumes, tmp_path
):
    _, _, run = volumes
    members = [Member(run=run, folds=[0], weight=1.0), Member(run=trained.run, folds=[0])]
    for number, kept in enumerate((members[:1], members)):
        dump(Blend(members=kept), tmp_path / f"{number}.yaml")
    ensemble = runs.ensemble(tmp_path / "1.yaml")
    volume, flat = ensemble.predictors
    assert isinstance(volume, VolumePredictor) and not isinstance(flat, VolumePredictor)
    fold = runs.open_fold(run / "fold0")
    name, z = next(iter(fold.planes.items()))
    scan = fold.data.scan(name)
    oof = load_prediction(run / "fold0" / "oof" / f"{name}.npz", 3, z, scan.shape[1:])
    np.testing.assert_array_equal(volume(scan, z), oof)
    # of one slice, as in the hidden test, and of more than a patch
    rows = [
        row
        for name, depth in (("case7_day0", 1), ("case8_day0", 5))
        for row in write_scan(tmp_path, name, *draw(depth, 40, 48, 0), part="test")
    ]
    write_csv(tmp_path / "sample_submission.csv", [(*row[:2], "") for row in rows], "predicted")
    submit(tmp_path / "1.yaml", tmp_path, tmp_path / "submission.csv")
    assert len(pd.read_csv(tmp_path / "submission.csv")) == 3 * 6


def test_predictions_go_out_of_date_with_the_windows(volumes, tmp_path):
    _, _, run = volumes
    fold = runs.open_fold(run / "fold0")

    def note(**changes):
        volume = fold.config.volume.model_copy(update=changes)
        config = fold.config.model_copy(update={"volume": volume})
        return runs.Fold(**{**vars(fold), "config": config}).made_with("none").settings

    assert note() == note(foreground=0.9)
    assert len({note(), note(overlap=0.25), note(patch=(4, 16, 24))}) == 3


def test_a_killed_training_resumes_bit_for_bit(volumes, tmp_path):
    config, places, run = volumes
    settings = load(config, [*places, f"runs={tmp_path}"])
    with killed_after(epochs=1):
        train_fold(settings, 0)
    train_fold(settings, 0)
    one, two = (
        checkpoint.load(folder / "fold0" / "last.pt")["learner"]
        for folder in (run, tmp_path / "tiny3d")
    )
    assert one["step"] == two["step"] == 4
    assert all(torch.equal(one["model"][key], two["model"][key]) for key in one["model"])


@pytest.mark.parametrize(
    "changes",
    [
        ["model.presence={gate: multiply}", "train.channels_last=true", "train.tail=2"],
        ["model.params.deep_supervision=true", "model.initial_bias=log_odds"],
        ["loss={name: distance_ce}", "data.params.binary=true"],
        ["train.seconds=0.2", "train.steps=null", "train.steps_per_epoch=null"],
    ],
)
def test_what_a_config_can_add_trains_in_three_dimensions(volumes, tmp_path, changes):
    config, places, _ = volumes
    fewer = ["train.steps=2", "train.monitor=val_loss", "train.score_every=9"]
    settings = load(config, [*places, *fewer, *changes, f"runs={tmp_path}"])
    row = train_fold(settings, 0)
    assert np.isfinite(row["val_loss"]) and row["steps"] >= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("volume=null", r"model.params.dims: 3 takes volumes; say .* volume=\{patch: "),
        ("model.params.dims=2", "volume: 'dynunet' takes images; give model.params.dims=3"),
        ("model={name: unet5}", "volume: 'unet5' takes images; .* or leave volume out"),
        ("stack.slices=3", "stack.slices: 3, but a network of volumes .*; expected 1"),
        ("crop={size: [16, 16]}", r"crop: \[16, 16\], but a network of vol.* expected None"),
        ("data.empty_share=0.5", "data.empty_share: 0.5, but .*; expected 1.0"),
        ("data.source=isbi", "data.source: 'isbi', but .*; expected 'competition'"),
        ("volume.patch=[0, 16, 16]", "volume.patch.0: .*greater than or equal to 1"),
        ("volume.overlap=1", "volume.overlap: .*less than or equal to 0.9"),
        ("train.batch_size=5000000", "train.batch_size: 5000000 images of 4 x 16 x 16 take 19 GB"),
    ],
)
def test_a_config_that_mixes_images_and_volumes_is_refused(volumes, change, message):
    config, places, _ = volumes
    with pytest.raises(ValueError, match=message):
        load(config, [*places, change])


def test_attention_and_folds_that_divide_scans_are_refused(volumes, tmp_path):
    config, places, _ = volumes
    asked = load(config, [*places, "model.attention={local_levels: [1]}"])
    with pytest.raises(ValueError, match="model.attention: .* give a U-shaped one of images"):
        experiment.model(asked, 1, 3)
    data = experiment.source(asked)
    table = pd.DataFrame({"id": data.index["id"], "fold": data.index["z"] % 2})
    table.to_csv(tmp_path / "blocks.csv", index=False)
    divided = load(config, [*places, f"data.folds={tmp_path / 'blocks.csv'}"])
    with pytest.raises(ValueError, match="volume needs all slices of a scan, and .*blocks.csv div"):
        experiment.rows(divided, data)
