import dataclasses
import math

import numpy as np
import pytest
import torch
from bench_cases import blobs, tiny

from gutseg.data.sources.labelled import folds
from gutseg.study.cell import Cell, Trainer, run
from gutseg.study.grid import cells

CPU = torch.device("cpu")


def _cell(bench, number=0, **changes) -> Cell:
    return cells(bench)[number].model_copy(update=changes)


def _trainer(bench, number) -> Trainer:
    return Trainer(_cell(bench, number), bench, blobs(), np.array([0, 2, 4]), CPU)


def test_losses_are_compared_on_the_same_weights_and_crops():
    bench = tiny()
    one, other = _trainer(bench, 0), _trainer(bench, 1)
    assert one.cell.loss.name != other.cell.loss.name
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert np.array_equal(one.crops.batch(2)[0], other.crops.batch(2)[0])


def test_another_seed_and_another_fold_start_elsewhere():
    bench = tiny()
    starts = [next(_trainer(bench, number).model.parameters()) for number in (0, 2, 4)]
    assert not torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


def test_a_cell_gives_the_same_numbers_again():
    bench = tiny(tail=2, hard_shares=[8])
    one, again = (run(_cell(bench), bench, blobs()) for _ in range(2))
    for key in ("loss_first", "loss_end", "iou", "dice.large", "tail_median", "hard8.small"):
        assert one[key] == again[key]
    assert one["status"] == "ok" and one["steps"] == 3 and one["images"] == 3
    assert one["seconds_per_step"] > 0 and one["peak_mb"] >= 0 and one["background"] == "ground"


def test_training_learns():
    bench = tiny(budget={"steps": 60}, optim={"schedule": "cosine"})
    found = run(_cell(bench, lr=0.02), bench, blobs())
    assert found["loss_end"] < found["loss_first"] / 2
    assert found["iou.large"] > 0.5


def test_a_budget_of_seconds_ends_in_time():
    bench = tiny(budget={"seconds": 0.2})
    found = run(_cell(bench), bench, blobs())
    assert 0.2 <= found["seconds"] < 2 and found["steps"] >= 1


def test_multilabel_with_maps():
    losses = [{"name": "boundary_aware", "maps": {"band": {"width": 2}}}]
    bench = tiny(losses=losses)
    found = run(_cell(bench), bench, blobs(mode="multilabel"))
    assert found["status"] == "ok" and math.isfinite(found["iou"])
    assert found["iou"] == found["iou_fg"] and found["background"] == ""


def test_the_weights_are_of_the_training_images_alone():
    data, bench = blobs(), tiny(losses=[{"name": "ce", "class_weights": "inverse"}])
    data.labels[0][:] = 1
    fold = [0 in held_out for held_out in folds(data, 2, 0)].index(True)
    found = run(_cell(bench, fold=fold), bench, data)
    assert found["share.large"] == pytest.approx(49 / 576)
    training = np.setdiff1d(range(6), folds(data, 2, 0)[fold])
    trainer = Trainer(_cell(bench, fold=fold), bench, data, training, CPU)
    weights = trainer.criterion.function.keywords["class_weights"]
    assert weights[1] / weights[0] == pytest.approx(found["share.ground"] / found["share.large"])


def test_a_binary_network_is_trained_beside_and_its_background_reused():
    plain, bench = tiny(), tiny(background_from={"name": "ce"}, budget={"steps": 40})
    found = run(_cell(bench, lr=0.02), bench, blobs())
    assert found["binary.iou.object"] > 0.4 and found["binary.recall.background"] > 0.4
    assert found["reuse.iou"] != found["iou"]
    assert not any(key.startswith("reuse.") for key in run(_cell(plain), plain, blobs()))


def test_a_cell_sees_the_channels_of_its_input():
    data = blobs()
    noise = np.random.default_rng(1).random((24, 24, 1), np.float32)
    images = [np.concatenate([noise, image], axis=2) for image in data.images]
    both = dataclasses.replace(data, images=images)
    bench = tiny(inputs=[{"label": "last", "channels": [1]}, {"label": "both"}])
    found = [run(cell, bench, both) for cell in cells(bench)[:3:2]]
    alone = run(_cell(tiny()), tiny(), data)
    assert found[0]["loss_end"] == alone["loss_end"] != found[1]["loss_end"]
    assert found[1]["parameters"] > found[0]["parameters"] == alone["parameters"]


def test_an_input_reaches_the_crops():
    params = {"displacement": 0.05}
    moved = {"label": "moved", "flips": False, "preset": "elastic_blur_noise", "params": params}
    bench = tiny(inputs=[{"quarter_turns": False}, moved], losses=[{"name": "ce"}])
    still, moved = (_trainer(bench, number).crops for number in (0, 1))
    assert (still.flips, still.quarter_turns, still.augmenter) == (True, False, None)
    assert (moved.flips, moved.quarter_turns) == (False, True)
    assert moved.augmenter.compose.transforms[0].displacement == 0.05


def test_channels_last_changes_speed_alone():
    bench = tiny(channels_last=True)
    found, plain = run(_cell(bench), bench, blobs()), run(_cell(tiny()), tiny(), blobs())
    assert found["loss_end"] == pytest.approx(plain["loss_end"], rel=1e-4)
    trainer = _trainer(bench, 0)
    weights = next(p for p in trainer.model.parameters() if p.ndim == 4 and p.shape[1] > 1)
    assert weights.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore")
def test_divergence_is_a_row():
    bench = tiny(optim={"name": "sgd"}, budget={"steps": 20})
    found = run(_cell(bench, lr=1e30), bench, blobs())
    assert found["status"] == "diverged"
    assert "the loss is nan in step" in found["reason"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("decay", "reason"),
    [(100, "weights are not finite after step 1 ("), (0, "the network answers NaN to image")],
)
def test_a_network_without_an_answer_has_diverged(decay, reason):
    """The loss is looked at before the step that ruins the weights; NaN predicts no object."""
    bench = tiny(optim={"name": "sgd", "weight_decay": decay}, budget={"steps": 1})
    found = run(_cell(bench, lr=1e38), bench, blobs())
    assert found["status"] == "diverged" and found["reason"].startswith(reason)


def test_an_exception_is_a_row():
    bench = tiny()
    loss = bench.losses[0].model_copy(update={"params": {"class_weights": [1.0]}})
    found = run(_cell(bench, loss=loss), bench, blobs())
    assert found["status"] == "failed" and ": " in found["reason"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_is_the_gpus_where_there_is_one():
    bench = tiny()
    found = run(_cell(bench), bench, blobs())
    assert found["device"] == "cuda" and found["peak_mb"] > 0


@pytest.mark.parametrize("scales", [False, True])
def test_a_cell_weighs_the_classes_of_the_losses_inside_its_loss(scales):
    """Class weights for deep_supervision once passed the check and failed in the cell."""
    params = {"loss": "ce"} if scales else {"terms": [{"loss": "ce"}, {"loss": "ce"}]}
    name = "deep_supervision" if scales else "weighted_sum"
    inside = {"name": name, "params": params, "class_weights": "inverse", "label": "inside"}
    alone = {"name": "ce", "class_weights": "inverse"}
    bench = tiny(losses=[alone, inside])
    plain, found = (run(_cell(bench, number), bench, blobs()) for number in (0, 1))
    assert (found["status"], found["reason"]) == ("ok", "")
    times = 1 if scales else 2
    assert found["loss_first"] == pytest.approx(times * plain["loss_first"], rel=1e-5)
