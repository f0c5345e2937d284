"""A GPU that torch cannot compute on is named before weights are loaded."""

import logging

import pytest
import torch

from gutseg import experiment, gpu
from gutseg.inference import dealing
from gutseg.kaggle import machine

# torch 2.10 for CUDA 12.8, as Kaggle's image has it
BUILT = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.mark.parametrize(
    ("built", "capability", "runs"),
    [
        (BUILT, (6, 0), False),  # P100
        (BUILT, (7, 5), True),  # T4
        (BUILT, (8, 9), True),  # L4: machine code of 8.6 runs on later 8.x
        (BUILT, (10, 3), True),
        (BUILT, (11, 0), False),  # nothing of 11.x, and nothing to compile
        ([*BUILT, "compute_120"], (13, 0), True),  # the driver compiles it
        (["compute_75"], (7, 0), False),
        (["sm_90a"], (9, 0), True),
        (["sm_90a"], (9, 5), False),
        (["gfx942"], (9, 4), True),  # AMD's
    ],
)
def test_which_gpus_a_torch_was_built_for(built, capability, runs):
    assert gpu.covers(built, capability) is runs


@pytest.fixture
def p100(monkeypatch):
    """torch as it is on Kaggle with a P100: there is CUDA, and the first operation would die."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (6, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Tesla P100-PCIE-16GB")


def test_a_p100_is_named_and_the_cpu_computes(p100, caplog):
    assert experiment.device() == torch.device("cpu")
    assert dealing.devices(None) == [torch.device("cpu")]
    found = "the GPU Tesla P100-PCIE-16GB is of compute capability 6.0 and torch "
    assert found in caplog.text and "was built for sm_70, sm_75" in caplog.text


@pytest.fixture
def images(tmp_path):
    """A sample of 100 slices; the ids of three classes count once."""
    ids = [f"case1_day0_slice_{n:04d}" for n in range(1, 101)]
    rows = [f"{name},{organ},\n" for name in ids for organ in ("large_bowel", "stomach")]
    (tmp_path / "sample_submission.csv").write_text("id,class,predicted\n" + "".join(rows))
    return tmp_path


def test_the_cpu_takes_over_only_where_it_has_the_time(p100, images, monkeypatch, caplog):
    monkeypatch.setattr(machine.runs, "ensemble", lambda path: None)
    monkeypatch.setattr(machine, "seconds_per_slice", lambda ensemble: 36.0)
    with caplog.at_level(logging.WARNING):
        machine.check_gpu(images / "blend.yaml", images)
    assert "100 slices take about 1.0 of 9 hours, so the CPU predicts; to be faster" in caplog.text
    monkeypatch.setattr(machine, "seconds_per_slice", lambda ensemble: 270.0)
    late = "100 slices take about 7.5 of 9 hours, too long: set machine_shape to NvidiaTeslaT4"
    with pytest.raises(ValueError, match=f"Tesla P100.*; on the CPU {late}"):
        machine.check_gpu(images / "blend.yaml", images)


def test_without_a_gpu_nothing_is_measured(images, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine.check_gpu(images / "no such blend.yaml", images)


def test_the_trial_counts_slices(monkeypatch):
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
    asked = []
    found = machine.seconds_per_slice(lambda scan, z: asked.append((scan.shape, len(z))))
    assert found == 0.5 and asked == [((4, 266, 266), 1), ((4, 266, 266), 4)]
