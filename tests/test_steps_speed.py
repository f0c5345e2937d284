"""The benchmark of training steps: both candidates take the same step, and --quick ends."""

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import steps
from gutseg.engine.cpu_layers import Depthwise, DepthwiseSame

UNET = steps.CASES[0]


@pytest.fixture(autouse=True)
def same_threads():
    """Give torch back the threads that the benchmark takes from it."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_gpu_gets_all_that_is_fast_and_a_processor_float32():
    gpu, cpu = (steps.read_config(*UNET, device) for device in ("cuda", "cpu"))
    assert gpu.train.amp and gpu.train.channels_last and gpu.train.compile and gpu.train.workers
    assert not cpu.train.amp and not cpu.train.compile and not cpu.train.workers
    assert cpu.train.channels_last
    assert gpu.optim.name == cpu.optim.name == "adamw"


@pytest.mark.parametrize(("channels_last", "quick"), [(True, 16), (False, 0)])
def test_a_training_on_a_processor_takes_the_faster_layers(channels_last, quick):
    config = steps.read_config(steps.LITE0, steps.NARROW, "cpu")
    train = config.train.model_copy(update={"channels_last": channels_last})
    network = steps.make_learner(config.model_copy(update={"train": train})).model
    found = [layer for layer in network.modules() if isinstance(layer, Depthwise | DepthwiseSame)]
    assert len(found) == quick


def test_both_take_the_same_step():
    assert steps.SAME["cpu"] <= 1e-5
    # the first step is compared there; after it the weights give the same loss as well
    pair = steps.make_pair(steps.read_config(*UNET, "cpu"))
    assert float(pair.ours()) == pytest.approx(float(pair.plain()), abs=1e-3)


def test_quick_prints_a_row_for_each_network_and_the_waiting(
    cache: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(steps, "CASES", [UNET])
    monkeypatch.setattr(steps, "WORKERS", {"cpu": (0,)})
    monkeypatch.setattr(steps, "write_cache", lambda folder: cache)
    monkeypatch.setattr(sys, "argv", ["steps", "--quick", "--out", str(tmp_path / "steps.md")])
    steps.main(steps.run)
    text = (tmp_path / "steps.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| unet, 64x96 |"))
    plain, ours, ratio, *_, plain_mb, our_mb = (float(cell) for cell in row.split("|")[2:-1])
    assert ratio == pytest.approx(ours / plain, rel=0.02)
    assert min(plain_mb, our_mb) > 8 * 16 * 64 * 96 * 4 / 1e6  # one map of the finest level
    assert "in 2 steps" in text
