"""Schedules, optimisers, precision, seeds and checkpoints."""

import copy
import io
import math
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gutseg.config.training import Optim, Train
from gutseg.engine import checkpoint, precision, provenance
from gutseg.engine.distributed import seed_everything
from gutseg.engine.optim import Schedule, optimizer


def test_cosine_schedule_at_five_points():
    schedule = Schedule(Optim(lr=1.0, final_lr_ratio=0.1), steps=110, warmup_steps=10)
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(9) == pytest.approx(1.0)
    assert schedule(10) == pytest.approx(1.0)
    assert schedule(60) == pytest.approx(0.55)
    assert schedule(110) == schedule(500) == pytest.approx(0.1)


def test_poly_and_constant_schedules():
    poly = Schedule(Optim(lr=2.0, schedule="poly", final_lr_ratio=0.0, power=0.9), steps=100)
    assert poly(50) == pytest.approx(2 * 0.5**0.9)
    steep = Optim(lr=2.0, schedule="poly", final_lr_ratio=0.0, power=2.0)
    assert Schedule(steep, steps=100)(50) == pytest.approx(0.5)
    constant = Schedule(Optim(lr=2.0, schedule="constant"), steps=100)
    assert {constant(step) for step in (0, 50, 99)} == {2.0}


def test_one_cycle_at_its_turning_points():
    """A 25th, half-way up at 15 of 100 steps, the top at 30, half-way down at 65."""
    cycle = Schedule(Optim(lr=1.0, schedule="one_cycle", final_lr_ratio=0.1), steps=100)
    assert [cycle(step) for step in (0, 15, 30, 65, 100)] == pytest.approx(
        [0.04, 0.52, 1.0, 0.55, 0.1]
    )
    with pytest.raises(ValueError, match="warmup_epochs: 2, but schedule one_cycle has its own"):
        Optim(schedule="one_cycle", warmup_epochs=2)


def test_an_encoder_waits_and_then_learns_at_a_share_of_the_rate():
    optim = Optim(lr=1.0, schedule="constant", encoder_lr_ratio=0.2, frozen_epochs=1.5)
    schedule = Schedule.of(optim, Train(epochs=4, accumulate=2), batches=7)  # 4 steps an epoch
    assert (schedule.steps, schedule.frozen_steps) == (16, 6)
    assert [schedule(step, encoder=True) for step in (0, 5, 6, 15)] == [0, 0, 0.2, 0.2]
    assert schedule(0) == schedule(15) == 1.0
    share = Optim(frozen_epochs=0.2)
    timed = Schedule.of(share, Train(seconds=3.0), batches=7)
    assert (timed.steps, timed.frozen_steps) == (3000, 600)
    for budget in (Train(seconds=3.0), Train(steps=7), Train(epochs=1)):
        with pytest.raises(ValueError, match="frozen_epochs: 1 freeze the encoder for the whole"):
            Schedule.of(Optim(frozen_epochs=1), budget, batches=7)


def test_the_encoder_is_what_a_module_of_that_name_holds():
    model = nn.ModuleDict({"encoder": nn.Conv2d(1, 2, 3), "encoders_friend": nn.Conv2d(2, 1, 3)})
    plain = optimizer(model, Optim())
    assert len(plain.param_groups) == 2 and not any(g["encoder"] for g in plain.param_groups)
    apart = optimizer(model, Optim(encoder_lr_ratio=0.5, weight_decay=0.3)).param_groups
    shapes = {
        (group["encoder"], group["weight_decay"]): [tuple(one.shape) for one in group["params"]]
        for group in apart
    }
    assert shapes == {
        (False, 0.3): [(1, 2, 3, 3)],
        (False, 0.0): [(1,)],
        (True, 0.3): [(2, 1, 3, 3)],
        (True, 0.0): [(2,)],
    }
    with pytest.raises(ValueError, match="this network has no part called encoder"):
        optimizer(nn.Conv2d(1, 1, 3), Optim(frozen_epochs=1))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_biases_and_norms_are_not_decayed(name):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    built = optimizer(model, Optim(name=name, lr=0.1, weight_decay=0.3, momentum=0.8))
    decayed, free = built.param_groups
    assert [w.dim() for w in decayed["params"]] == [4]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    assert len(free["params"]) == 3
    momentum = decayed["momentum"] if name == "sgd" else decayed["betas"][0]
    assert momentum == 0.8


def test_the_first_step_of_adamw_worked_by_hand_in_any_memory_format():
    """w (1 - lr · decay) - lr g / (|g| + eps), and a saved state goes on as the one in memory."""
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 3, 3).to(memory_format=torch.channels_last)
    built = optimizer(conv, Optim(lr=0.1, weight_decay=0.5))
    assert all(group["fused"] for group in built.param_groups)
    before = [weights.detach().clone() for weights in conv.parameters()]
    images = torch.rand(2, 4, 6, 6).to(memory_format=torch.channels_last)
    conv(images).square().sum().backward()
    built.step()
    for weights, old, decay in zip(conv.parameters(), before, (0.5, 0.0), strict=True):
        step = weights.grad / (weights.grad.abs() + 1e-8)
        torch.testing.assert_close(weights.detach(), old * (1 - 0.1 * decay) - 0.1 * step)
    stream = io.BytesIO()
    torch.save(built.state_dict(), stream)
    twin = copy.deepcopy(conv)
    resumed = optimizer(twin, Optim(lr=0.1, weight_decay=0.5))
    resumed.load_state_dict(torch.load(io.BytesIO(stream.getvalue()), weights_only=True))
    for network, optimiser in ((conv, built), (twin, resumed)):
        optimiser.zero_grad()
        network(images).square().sum().backward()
        optimiser.step()
    assert torch.equal(conv.weight, twin.weight) and torch.equal(conv.bias, twin.bias)


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
    with pytest.raises(FileNotFoundError, match="train this fold first"):
        checkpoint.load(tmp_path / "c.pt")


def _flipped(path):
    """Turn one bit of the weights over."""
    content = bytearray(path.read_bytes())
    place = content.index(torch.full((64,), 1.5).numpy().tobytes()) + 17
    content[place] ^= 8
    path.write_bytes(content)


def _zip_without_data(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")


# what it is called -> (how a file comes to be so, what is said of it)
BROKEN = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:700]), "is not a checkpoint that"),
    "cut at the end": (
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        "is not a checkpoint that",
    ),
    "text": (lambda path: path.write_text("weights: all\n"), "is not a checkpoint that torch can"),
    "flipped": (_flipped, r"is damaged: the checksum of its part \S*data/0 differs"),
    "foreign class": (
        lambda path: torch.save({"model": nn.Linear(1, 1)}, path),
        r"holds code \(torch.nn.modules.linear.Linear\) where plain tensors",
    ),
    "function": (
        lambda path: torch.save({"model": math.sqrt}, path),
        r"holds code \(math.sqrt\) where plain tensors",
    ),
    "cut at the start": (
        lambda path: path.write_bytes(path.read_bytes()[64:]),
        r"is damaged \(OSError\)",
    ),
    "pickle": (
        lambda path: path.write_bytes(pickle.dumps({"w": [1.0]}, protocol=4)),
        "is not a checkpoint that torch can read",
    ),
    "zip without data": (_zip_without_data, "is not a checkpoint that torch can read"),
    "safetensors": (
        lambda path: save_file({"w": torch.ones(2)}, path),
        "is not a checkpoint that torch can read",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_checkpoint_is_named_in_one_sentence(tmp_path, recwarn, kind):
    path = tmp_path / "best.pt"
    checkpoint.save(path, {"model": {"w": torch.full((64,), 1.5)}})
    breaks, said = BROKEN[kind]
    breaks(path)
    with pytest.raises(ValueError, match=f"best.pt {said}") as caught:
        checkpoint.load(path)
    message = str(caught.value)
    assert message.endswith("; train this fold again or copy the file again")
    assert "weights_only" not in message and "\n" not in message and not recwarn.list


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"w": torch.ones(2)}, "holds no weights under the key 'model'"),
        ([torch.ones(2)], "holds no weights under the key 'model'"),
        ({"model": {}}, "holds no weights under the key 'model'"),
        ({"model": {"w": 1.0}}, "holds no weights under the key 'model'"),
        (
            {"model": {"w": torch.ones(2), "b": torch.tensor([1.0, math.nan])}},
            r"holds weights that are not finite \(1 tensor \(b\)\); .* lower optim.lr under",
        ),
        (
            {"model": {"n": torch.tensor(3), "v": torch.tensor(-math.inf).half()}},
            r"holds weights that are not finite \(1 tensor \(v\)\)",
        ),
    ],
)
def test_weights_are_refused_unless_finite(tmp_path, content, said):
    torch.save(content, tmp_path / "best.pt")
    with pytest.raises(ValueError, match=f"best.pt {said}"):
        checkpoint.weights(tmp_path / "best.pt")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda state: state.pop("0.weight"),
            r"1 tensor \(0.weight\) missing; put the config.yaml",
        ),
        (lambda state: state.update(x=torch.ones(1)), r"1 tensor \(x\) left over; put"),
        (
            lambda state: state.update({"0.bias": torch.ones(7), "1.bias": torch.ones(1, 4)}),
            r"2 tensors \(0.bias, 1.bias\) of another shape; put",
        ),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, change, said):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    state = {key: value + 1 for key, value in network.state_dict().items()}
    checkpoint.fill(network, state, tmp_path / "best.pt")
    assert torch.equal(network.state_dict()["0.bias"], state["0.bias"])
    change(state)
    with pytest.raises(ValueError, match=f"best.pt does not fit the network .*: {said}"):
        checkpoint.fill(network, state, tmp_path / "best.pt")


def test_weights_of_a_bundle_are_those_of_best_pt_without_a_pickle(tmp_path):
    tied = torch.arange(6.0).reshape(2, 3)
    state = {"a": tied, "b": tied, "turned": tied.T, "count": torch.tensor(3)}
    checkpoint.save(tmp_path / "best.pt", {"model": state})
    path = tmp_path / "weights.safetensors"
    checkpoint.save_weights(path, checkpoint.weights(tmp_path / "best.pt"))
    found = checkpoint.weights(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
    assert checkpoint.weights_file(tmp_path) == tmp_path / "best.pt"
    (tmp_path / "best.pt").unlink()
    assert checkpoint.weights_file(tmp_path) == path
    checkpoint.save_weights(path, {"a": torch.tensor([1.0, math.nan])})
    with pytest.raises(ValueError, match=r"safetensors holds weights that are not finite \(1 tens"):
        checkpoint.weights(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="weights.safetensors is not a readable safetensors"):
        checkpoint.weights(path)
    path.unlink()
    assert checkpoint.weights_file(tmp_path) == tmp_path / "best.pt"  # which errors then name


def test_a_library_that_is_not_installed_has_no_version(monkeypatch):
    """Kaggle's image lacks segmentation-models-pytorch, and trains networks without it."""

    def version(name):
        if name == "timm":
            raise provenance.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(provenance, "version", version)
    found = provenance.provenance(5, "folds")["libraries"]
    assert found == dict.fromkeys(provenance.LIBRARIES, "1.0") | {"timm": None}
