"""Schedules, optimisers, precision, seeds and checkpoints."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from gutseg.engine import checkpoint, precision
from gutseg.engine.optim import optimizer
from gutseg.engine.schedule import Schedule
from gutseg.engine.seeding import seed_everything


def test_cosine_schedule_at_five_points():
    schedule = Schedule(1.0, steps=110, warmup_steps=10, final=0.1)
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(9) == pytest.approx(1.0)
    assert schedule(10) == pytest.approx(1.0)
    assert schedule(60) == pytest.approx(0.55)
    assert schedule(110) == schedule(500) == pytest.approx(0.1)


def test_poly_and_constant_schedules():
    poly = Schedule(2.0, steps=100, kind="poly", final=0.0, power=0.9)
    assert poly(50) == pytest.approx(2 * 0.5**0.9)
    assert Schedule(2.0, steps=100, kind="poly", final=0.0, power=2.0)(50) == pytest.approx(0.5)
    assert {Schedule(2.0, steps=100, kind="constant")(step) for step in (0, 50, 99)} == {2.0}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_biases_and_norms_are_not_decayed(name):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    built = optimizer(model, name, lr=0.1, weight_decay=0.3, momentum=0.8)
    decayed, free = built.param_groups
    assert [w.dim() for w in decayed["params"]] == [4]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    assert len(free["params"]) == 3
    momentum = decayed["momentum"] if name == "sgd" else decayed["betas"][0]
    assert momentum == 0.8


def test_cpu_trains_in_float32_without_a_scaler():
    chosen = precision.choose(torch.device("cpu"), amp=True)
    assert chosen.dtype is None and not chosen.scaler.is_enabled()


@pytest.mark.parametrize(
    ("bf16", "amp", "dtype", "scaled"),
    [
        (True, True, torch.bfloat16, False),
        (False, True, torch.float16, True),
        (True, False, None, False),
    ],
)
def test_gpu_takes_bf16_only_where_it_is_native(monkeypatch, bf16, amp, dtype, scaled):
    def is_supported(including_emulation: bool = True) -> bool:
        return bf16 or including_emulation  # a T4 says yes unless emulation is left out

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    chosen = precision.choose(torch.device("cuda"), amp=amp)
    assert chosen.dtype == dtype and chosen.scaler.is_enabled() == scaled


def test_seeds_come_from_seed_epoch_and_rank():
    def draw(*place):
        seed_everything(*place)
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    assert draw(1, 2, 3) == draw(1, 2, 3)
    others = [draw(0, 2, 3), draw(1, 0, 3), draw(1, 2, 0), draw(1, -1, 3)]
    for other in others:
        assert all(a != b for a, b in zip(draw(1, 2, 3), other, strict=True))


def test_checkpoints_hold_plain_data_only(tmp_path):
    checkpoint.save(tmp_path / "a.pt", {"model": {"w": torch.ones(2)}, "history": [{"x": 1.5}]})
    assert checkpoint.load(tmp_path / "a.pt")["history"] == [{"x": 1.5}]
    torch.save({"model": math.sqrt, "code": nn.Linear(1, 1)}, tmp_path / "b.pt")
    with pytest.raises(ValueError, match="b.pt is not a readable checkpoint"):
        checkpoint.load(tmp_path / "b.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="a.pt is not a readable checkpoint"):
        checkpoint.load(tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match="train this fold first"):
        checkpoint.load(tmp_path / "c.pt")
