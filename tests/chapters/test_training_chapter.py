"""The chapter on training, on run folders written by hand: every number can be worked out."""

import json
import math

import numpy as np
import pytest

from gutseg.chapters.training import sections
from gutseg.chapters.training.lattice import TRIED, draws
from gutseg.config import Config, dump
from gutseg.data.folds import FULL

HEADER = "epoch,lr,train_loss,train_bce,train_dice,steps,seconds,data_wait,peak_mb,"
HEADER += "val_loss,val_bce,val_dice,dice,dice_stomach,hausdorff,score,seconds_test"
# the score is best in epoch 1, the loss of held-out images lowest in epoch 2
ROWS = (
    "0,0.003,1.0,0.4,0.6,10,30,0.5,100,0.9,0.3,0.6,0.2,0.1,0.4,0.50,6",
    "1,0.002,0.8,0.3,0.5,20,10,0.1,110,0.7,0.2,0.5,0.5,0.3,0.2,0.80,6",
    "2,0.001,0.6,0.2,0.4,30,20,0.2,120,0.6,0.1,0.5,0.4,0.2,0.3,0.70,6",
)
OTHER = tuple(row.replace("0.80,6", "0.60,6") for row in ROWS)
META = {"commit": "abc123+", "gutseg": "0.1.0", "python": "3.11", "machine": "a laptop"}


def write_fold(run, fold, rows=ROWS, *, meta=META, header=HEADER, **settings):
    """Write what training leaves in a fold's folder; settings: sections of the config."""
    folder = run / fold
    folder.mkdir(parents=True)
    train = {"epochs": 3, **settings.pop("train", {})}
    dump(
        Config.model_validate({"name": run.name, "train": train, **settings}),
        folder / "config.yaml",
    )
    (folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def parts_of(*runs):
    """All parts of a report on runs by name, and all that its sections say."""
    found = sections(runs)
    parts = {part.name: part for section in found for part in section.parts}
    assert sum(len(section.parts) for section in found) == len(parts), "a name is used twice"
    assert len({section.key for section in found}) == len(found)
    return parts, " ".join(section.about for section in found)


def series_of(chart):
    return {one.name: one for one in chart.series}


@pytest.fixture
def run(tmp_path):
    write_fold(tmp_path / "first", "fold0")
    write_fold(tmp_path / "first", "fold1", OTHER)
    return tmp_path / "first"


def test_a_line_per_fold_and_a_dot_on_the_epoch_that_is_kept(run):
    parts, _ = parts_of(run)
    loss = series_of(parts["training_first_loss"])
    assert loss["fold 0"].y == [1.0, 0.8, 0.6] and not loss["fold 0"].dashed
    assert loss["fold 0, held out"].y == [0.9, 0.7, 0.6] and loss["fold 0, held out"].dashed
    assert loss["fold 0"].colour == loss["fold 0, held out"].colour != loss["fold 1"].colour
    # on the loss of held-out images, in the epoch of the best score
    kept = loss["fold 0, kept: epoch 1"]
    # from the lowest value of the chart to the highest
    assert (kept.x, kept.y) == ([1, 1], [0.6, 1.0])
    assert kept.labels[0] == "fold 0, kept: epoch 1, 0.7" and kept.colour == loss["fold 0"].colour
    assert loss["fold 1, kept: epoch 2"].labels[0].endswith(" 0.6")
    score = series_of(parts["training_first_score"])
    assert score["fold 0, kept: epoch 1"].labels[1].endswith(" 0.8")
    assert series_of(parts["training_first_loss_dice"])["fold 0, held out"].y == [0.6, 0.5, 0.5]
    assert series_of(parts["training_first_lr"]).keys() == {"fold 0", "fold 1"}
    assert series_of(parts["training_first_seconds"])["fold 0, validation"].y == [6, 6, 6]
    assert series_of(parts["training_first_memory"])["fold 1"].y == [100, 110, 120]
    assert parts["training_first_data_wait"].y_range == (0.0, 1.0)
    assert "fold 0 ends at 0.7, kept at 0.8" in parts["training_first_score"].about
    stomach = series_of(parts["training_first_dice_by_class"])["stomach"]
    assert stomach.y == pytest.approx([0.1, 0.3, 0.2])


def test_epochs_without_a_measure_leave_no_gap(tmp_path):
    rows = [ROWS[0], ROWS[1].replace("0.2,0.80", ","), ROWS[2]]
    write_fold(tmp_path / "x", "fold0", rows)
    score = series_of(parts_of(tmp_path / "x")[0]["training_x_score"])
    assert (score["fold 0"].x, score["fold 0"].y) == ([0, 2], [0.5, 0.7])


def test_a_loss_of_one_term_has_no_chart_of_it(tmp_path):
    header = HEADER.replace("train_dice", "other").replace("val_dice", "another")
    write_fold(tmp_path / "one", "fold0", header=header)
    assert not [name for name in parts_of(tmp_path / "one")[0] if "_loss_" in name]


def test_what_a_fold_cost_and_gave(run):
    table = parts_of(run)[0]["training_folds"].frame
    first, second = (row for _, row in table.iterrows())
    assert (first["kept epoch"], first["kept"], first["last"]) == (1, 0.8, 0.7)
    assert (second["kept epoch"], second["kept"], second["last"]) == (2, 0.7, 0.7)
    assert first["lowest val_loss in epoch"] == 2
    assert first["minutes"] == pytest.approx(1) and first["steps"] == 30
    assert first["minutes of validation"] == pytest.approx(0.3)
    # (.5 * 30 + .1 * 10 + .2 * 20) / 60 seconds, not the mean of the three shares
    assert first["waiting for data"] == pytest.approx(20 / 60)
    assert first["peak MB"] == 120 and first["trained"] == "3 of 3 epochs"


def test_measures_of_the_kept_epochs_with_their_mean(run):
    frame = parts_of(run)[0]["training_first_measures"].frame
    assert frame.loc["val_loss", ["fold 0", "fold 1"]].tolist() == [0.7, 0.6]
    assert frame.loc["val_loss", "mean"] == pytest.approx(0.65)
    # of two folds: |a - b| / sqrt 2
    assert frame.loc["val_loss", "standard deviation"] == pytest.approx(0.1 / math.sqrt(2))
    assert not {"epoch", "seconds", "peak_mb", "lr"} & set(frame.index)


def test_pooled_measures_are_those_of_images_that_stand_alone(tmp_path):
    header = HEADER.replace("accuracy", "x").replace(",hausdorff,", ",pooled.iou,")
    write_fold(tmp_path / "volumes", "fold0", header=header)
    write_fold(tmp_path / "images", "fold0", header=header.replace(",dice,", ",pooled.dice_fg,"))
    parts, _ = parts_of(tmp_path / "volumes", tmp_path / "images")
    assert "pooled.iou" not in parts["training_volumes_measures"].frame.index
    assert parts["training_images_measures"].frame.loc["pooled.iou", "fold 0"] == 0.2
    assert series_of(parts["training_images_pooled_dice_fg"])["fold 0"].y == [0.2, 0.5, 0.4]


@pytest.mark.parametrize(
    ("train", "said"),
    [
        # (.8 + .7) / 2 in the kept epochs, (.7 + .7) / 2 in the last ones
        ({}, "best score count, which was measured on the very images that the fold holds out"),
        ({}, "the kept epochs have 0.7500 on average and the last ones 0.7000"),
        ({"monitor": None}, "the last epoch's weights count; nothing was picked"),
        ({"monitor": "pooled.iou"}, "pooled.iou was measured once or never"),
        (
            {"monitor": "hausdorff"},
            "the kept epochs have 0.2000 on average and the last ones 0.3000",
        ),
        ({"ema": 0.98}, "a moving average over the steps (decay 0.98)"),
    ],
)
def test_which_weights_count_and_what_picking_gained(tmp_path, train, said):
    write_fold(tmp_path / "x", "fold0", train=train)
    write_fold(tmp_path / "x", "fold1", OTHER, train=train)
    parts, about = parts_of(tmp_path / "x")
    assert said in about
    marked = any("fold 0, kept" in name for name in series_of(parts["training_x_loss"]))
    assert marked == (train.get("monitor") != "pooled.iou")


def test_all_patients_hold_nobody_out(tmp_path):
    header, rows = HEADER.split(",val_loss")[0], [row.rsplit(",", 8)[0] for row in ROWS]
    write_fold(tmp_path / "x", FULL, rows, header=header, train={"monitor": None})
    parts, about = parts_of(tmp_path / "x")
    assert "x, full: the last epoch's weights count; it has seen all images" in about
    assert series_of(parts["training_x_loss"]).keys() == {"full"}
    assert "training_x_score" not in parts


def test_one_epoch_is_a_table_and_no_curve(tmp_path):
    write_fold(tmp_path / "x", "fold0", ROWS[:1], train={"epochs": 1})
    parts, about = parts_of(tmp_path / "x")
    assert "one epoch was measured, so that there are no curves" in about
    assert parts["training_x_measures"].frame.loc["score", "fold 0"] == 0.5
    assert not hasattr(parts["training_x_measures"], "series") and "training_x_loss" not in parts


def test_runs_are_compared_by_the_mean_over_folds(run, tmp_path):
    write_fold(tmp_path / "second", "fold0", ROWS[:2], train={"epochs": 2})
    parts, _ = parts_of(run, tmp_path / "second")
    compared = series_of(parts["compared_training_score"])
    assert compared["first"].y == pytest.approx([0.5, 0.7, 0.7])
    assert compared["second"].y == [0.5, 0.8] and compared["second"].x == [0, 1]


def test_only_what_differs_from_the_defaults_is_listed(tmp_path):
    unet = {"name": "unet", "params": {"widths": [8, 16]}, "presence": {"gate": "multiply"}}
    data = {"folder": "/home/somebody/cache", "folds": "folds/organs_5fold.csv"}
    write_fold(tmp_path / "x", "fold0", model=unet, data=data, augment={"name": "mild"})
    noisy = {"name": "elastic_blur_noise", "params": {"noise": 0.2}}
    write_fold(tmp_path / "y", "fold0", optim={"lr": 0.02}, augment=noisy)
    frame = parts_of(tmp_path / "x", tmp_path / "y")[0]["training_settings"].frame
    assert frame.loc["optim.lr"].tolist() == ["0.001", "0.001", "0.02"]
    assert frame.loc["model.name"].tolist() == ["hybrid4", "unet", "hybrid4"]
    assert frame.loc["model.params.widths", "x"] == "[8, 16]"
    assert frame.loc["model.presence.gate"].tolist() == ["null", "multiply", "–"]
    # that of mild is its own default, the other one's is not
    assert frame.loc["augment.params.noise"].tolist() == ["0.03 or 0.05", "0.03", "0.2"]
    assert "somebody" not in frame.to_string()
    for key in ("data.folder", "data.folds", "name", "runs", "optim.momentum", "model.params.norm"):
        assert key not in frame.index
    assert frame.loc["train.epochs"].tolist() == ["40", "3", "3"]


def test_versions_name_the_folds_where_they_differ(tmp_path):
    write_fold(tmp_path / "x", "fold0", train={"patience": 2, "accumulate": 4})
    other = META | {"commit": "def456", "libraries": {"torch": "2.10"}}
    write_fold(tmp_path / "x", "fold1", meta=other, train={"patience": 2, "accumulate": 4})
    facts = parts_of(tmp_path / "x")[0]["training_versions"].frame["x"]
    assert facts["commit"] == "abc123+ (fold 0); def456 (fold 1)"
    assert facts["machine"] == "a laptop" and facts["torch"] == "2.10"
    assert facts["budget"] == "3 epochs, or 2 epochs without a better score"
    assert facts["images of a step"] == "64"


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "metrics.csv").write_bytes(b"\x89PNG\0\0"), "metrics.csv is not"),
        (lambda f: (f / "metrics.csv").write_text(""), "metrics.csv is empty"),
        (lambda f: (f / "metrics.csv").write_text("epoch,score\n"), "has a header but no epoch"),
        (
            lambda f: (f / "metrics.csv").write_text("epoch,score\n0,x\n"),
            "row 2: score 'x' is not a",
        ),
        (
            lambda f: (f / "metrics.csv").write_text("epoch,score\n0,1\n2,1\n"),
            "do not count up from",
        ),
        (
            lambda f: (f / "metrics.csv").write_text("score,score\n0,1\n"),
            "its header lists score twice",
        ),
        (lambda f: (f / "metrics.csv").unlink(), "metrics.csv does not exist"),
        (lambda f: (f / "config.yaml").unlink(), "config.yaml does not exist; copy it back"),
        (lambda f: (f / "config.yaml").write_text("name: [x"), "is not valid YAML"),
    ],
)
def test_a_damaged_fold_is_a_sentence_and_the_others_are_shown(run, break_it, said):
    break_it(run / "fold0")
    parts, about = parts_of(run)
    assert "first, fold0 is left out: " in about and said in about and "Traceback" not in about
    assert "fold 1" in series_of(parts["training_first_loss"])
    assert "fold 0" not in series_of(parts["training_first_loss"])


def test_unfinished_folds_and_lost_notes_are_said_and_shown(run):
    (run / "fold1" / "metrics.csv").write_text("\n".join([HEADER, *ROWS[:2]]))
    (run / "fold0" / "meta.json").write_text("{")
    parts, about = parts_of(run)
    assert (
        "first, fold1 is not finished, so that its curves may still change: 2 of 3 epochs." in about
    )
    assert "fold0/meta.json is not valid JSON" in about
    assert parts["training_folds"].frame["trained"].tolist()[1] == "2 of 3 epochs, not finished"
    assert series_of(parts["training_first_score"])["fold 1"].y == [0.5, 0.8]


def test_what_is_no_run_is_said(tmp_path, run):
    (found,) = sections([tmp_path / "nowhere"])
    assert "nowhere is left out: it is not a run folder" in found.about and not found.parts
    assert sections([])[0].about == "No run was given."
    _, about = parts_of(run, tmp_path / "nowhere")
    assert "it is not a run folder" in about


def test_runs_of_one_name_are_told_apart(run, tmp_path):
    places = [tmp_path / name for name in ("again/first", "settings", "compared", "folds")]
    for place in places:
        write_fold(place, "fold0")
    parts, _ = parts_of(run, *places)
    assert {"training_first_loss", "training_first_2_loss"} <= parts.keys()


def test_lattice_masks_and_image_are_mirrored_together():
    images = np.random.default_rng(0).random((1, 3, 32, 48)).astype(np.float32)
    labels = np.arange(32 * 48).reshape(1, 32, 48).astype(np.uint8)
    config = Config(name="x", augment={"name": "flips"})
    drawn, masks, lines = draws(config, images, labels)
    assert drawn.shape == (1 + TRIED, 3, 32, 48) and lines.dtype == bool
    # 32 // 8 is below six pixels: lines 3, 9, 15, ... and the pixels between as they were
    assert np.flatnonzero(lines[0].all(axis=1)).tolist() == [3, 9, 15, 21, 27]
    assert (drawn[0][:, lines[0]] == 1).all()
    np.testing.assert_array_equal(drawn[0][:, ~lines[0]], images[0][:, ~lines[0]])
    mirrored = (drawn[1:] != drawn[0]).any(axis=(1, 2, 3))
    assert 0 < mirrored.sum() < TRIED
    for number in range(TRIED):
        step = -1 if mirrored[number] else 1
        np.testing.assert_array_equal(drawn[1 + number], drawn[0][:, :, ::step])
        np.testing.assert_array_equal(masks[1 + number], labels[0][:, ::step])
        np.testing.assert_array_equal(lines[1 + number], lines[0][:, ::step])


def test_lines_of_a_large_image_are_thicker():
    images, labels = np.zeros((1, 1, 512, 520), np.float32), np.zeros((1, 512, 520), np.uint8)
    lines = draws(Config(name="x"), images, labels)[2][0]
    assert np.flatnonzero(lines.all(axis=1))[:6].tolist() == [32, 33, 34, 96, 97, 98]


@pytest.mark.parametrize("name", ["mild", "elastic_blur_noise", "winner1"])
def test_what_bends_the_image_bends_masks_and_lattice(name):
    inside = np.hypot(*(np.mgrid[:96, :96] - 50)) < 30
    images = 0.2 + 0.3 * inside[None, None].astype(np.float32)
    drawn, masks, lines = draws(
        Config(name="x", augment={"name": name}), images, inside[None].astype(np.uint8)
    )
    bent = (lines[1:] != lines[0]).any(axis=(1, 2))
    assert bent.sum() > 4
    for number in 1 + np.flatnonzero(bent):
        image, mask, line = drawn[number, 0], masks[number] > 0, lines[number]
        edge = mask[1:-1, 1:-1] != mask[2:, 2:]
        assert edge.any()
        # with the lines' neighbours left out, the mask is where the image is brighter
        near = line.copy()
        for axis in (0, 1):
            near |= np.roll(near, 1, axis) | np.roll(near, -1, axis)
        body = (image > 0.05) & ~near
        assert image[body & mask].mean() > image[body & ~mask].mean() + 0.1
        assert image[line].mean() > image[~near].mean() + 0.2


def test_the_picture_is_of_the_runs_data_where_they_are_there(tmp_path, cache):
    folds = tmp_path / "folds.csv"
    folds.write_text("case,fold\n1,0\n2,0\n3,1\n4,1\n5,1\n")
    shared = {
        "augment": {"name": "elastic_blur_noise"},
        "stack": {"slices": 3},
        "geometry": {"kind": "resize", "size": [48, 64]},
    }
    data = {"folder": str(cache), "folds": str(folds)}
    write_fold(tmp_path / "there", "fold0", data=data, **shared)
    write_fold(tmp_path / "gone", "fold0", data=data | {"folder": str(tmp_path / "no")}, **shared)
    write_fold(tmp_path / "plain", "fold0", data=data)
    found = sections([tmp_path / name for name in ("there", "gone", "plain")])[-1]
    assert "gone is left out: " in found.about and "plain augments nothing." in found.about
    (shown,) = found.parts
    assert shown.png.startswith(b"\x89PNG") and shown.name == "augmentation_there"
    # of a training patient of fold 0
    assert shown.caption.split()[1].split("_")[0] in ("case3", "case4", "case5")
    assert "`elastic_blur_noise` (displacement 0.03, noise 0.05)" in shown.caption
