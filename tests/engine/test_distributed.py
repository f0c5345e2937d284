"""Two processes over gloo: sums, gradients and losses as one process would have them."""

import inspect
import socket
from itertools import product

import pytest
import torch
import torch.multiprocessing as mp
from loss_cases import loss_of, native
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gutseg.engine.distributed import destroy, init
from gutseg.losses import LOSSES, Criterion

# Lovász sorts the pixels of the batch it is given: a loss of every rank's own.
GATHERED = [name for name in LOSSES if name != "lovasz"]
# Four images on two ranks, by where the second one's begin.
SPLITS = {"2:2": 2, "3:1": 3}


def _region_cases() -> dict[str, tuple[str, dict]]:
    """Every loss with a `reduction` under each way to add up, by what it is called."""
    axes = {
        "mode": ["multilabel", "multiclass"],
        "reduction": ["batch", "sample"],
        "absent": ["skip", "penalise", "one"],
        "class_weights": [None, [0.2, 0.3, 0.5]],
    }
    cases = {}
    for name in LOSSES:
        parameters = inspect.signature(LOSSES[name].build).parameters
        if "reduction" not in parameters:
            continue
        known = {key: values for key, values in axes.items() if key in parameters}
        if name == "bce_dice":
            known["mode"] = ["multilabel"]
        for values in product(*known.values()):
            params = dict(zip(known, values, strict=True))
            cases[f"{name} {' '.join(map(str, values))}"] = (name, params)
    return cases


REGION = _region_cases()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 8, 8, generator=generator)
    target = (torch.rand(4, 3, 8, 8, generator=generator) < 0.3).float()
    target[2:, 1] = 0  # the second rank alone would call this class absent
    return images, target


def _sparse_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and a target whose classes are absent in some images, all of them in the last."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 3, 6, 5, generator=generator)
    target = (torch.rand(4, 3, 6, 5, generator=generator) < 0.3).float()
    target[2:, 1] = 0
    target[0, 2] = target[3] = 0
    return logits, target


def _region_loss(case: str, logits: torch.Tensor, part: slice) -> torch.Tensor:
    name, params = REGION[case]
    target = _sparse_batch()[1]
    if params["mode"] == "multiclass":
        target = native("ce", target)
    return loss_of(name, logits[part], target[part], **params)


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, 3, 3, padding=1)


def _worker(rank: int, port: int, results: dict) -> None:
    import os

    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    world = init()
    images, target = (part[2 * rank : 2 * rank + 2] for part in _batch())
    found = {"sum": world.all_reduce(torch.tensor([1.0 + rank])).item()}
    for name in GATHERED:
        model = DistributedDataParallel(_model())
        loss = loss_of(name, model(images), native(name, target))
        loss.backward()
        found[name] = (loss.item(), model.module.weight.grad.flatten().tolist())
    for split, case in product(SPLITS, REGION):
        logits = _sparse_batch()[0].requires_grad_()
        part = slice(SPLITS[split], 4) if rank else slice(0, SPLITS[split])
        loss = _region_loss(case, logits, part)
        loss.backward()
        found[split, case] = (loss.item(), logits.grad.flatten().tolist())
    different = nn.Linear(2, 2)
    nn.init.constant_(different.weight, rank + 1.0)
    world.broadcast(different)
    found["copied"] = different.weight.sum().item()
    with torch.no_grad():  # validation: every rank for itself, no waiting for the other
        found["alone"] = Criterion("dice")(_model()(images), target)[0].item()
    results[rank] = found
    world.barrier()
    destroy(world)


@pytest.fixture(scope="module")
def results():
    with mp.Manager() as manager:
        shared = manager.dict()
        mp.spawn(_worker, (_free_port(), shared), nprocs=2)
        return dict(shared)


def test_tensors_add_up_over_ranks(results):
    assert results[0]["sum"] == results[1]["sum"] == 3


@pytest.mark.parametrize("name", GATHERED)
def test_loss_and_gradient_are_those_of_the_whole_batch(results, name):
    """Dice sums are gathered: the mean of two ranks' Dice losses would be another number."""
    model = _model()
    images, target = _batch()
    loss = loss_of(name, model(images), native(name, target))
    loss.backward()
    for rank in (0, 1):
        value, gradient = results[rank][name]
        assert value == pytest.approx(loss.item(), abs=1e-6)
        assert gradient == pytest.approx(model.weight.grad.flatten().tolist(), abs=1e-6)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("case", REGION)
def test_region_losses_at_any_split_are_those_of_the_whole_batch(results, split, case):
    """Gradients are averaged over ranks, as DistributedDataParallel does it."""
    logits = _sparse_batch()[0].requires_grad_()
    loss = _region_loss(case, logits, slice(None))
    loss.backward()
    values, gradients = zip(*(results[rank][split, case] for rank in (0, 1)), strict=True)
    assert values == pytest.approx([loss.item()] * 2, abs=1e-6)
    mean = torch.tensor(gradients).mean(0).reshape(logits.shape)
    torch.testing.assert_close(mean, logits.grad, atol=1e-6, rtol=1e-4)


def test_without_gradients_ranks_do_not_wait_for_each_other(results):
    images, target = _batch()
    for rank in (0, 1):
        part = slice(2 * rank, 2 * rank + 2)
        alone = Criterion("dice")(_model()(images[part]), target[part])[0].item()
        assert results[rank]["alone"] == pytest.approx(alone, abs=1e-6)


def test_rank_zero_is_copied(results):
    assert results[1]["copied"] == 4.0


def test_a_single_process_is_a_world_of_one(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = init()
    assert (world.rank, world.size, world.is_main) == (0, 1, True)
    assert world.all_reduce(torch.ones(2)).tolist() == [1, 1]
    destroy(world)
